// Which slices of which saved values are in the pool. Internal to engine/graph.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "compression/activation_store.h"
#include "engine/graph/saved_codings.h"

namespace encke {

// A value is stored slice by slice as forward makes it; backward may ask for it in other slices.
// What is still there at the end (an error has ended the run) is given back.
class SavedSlices {
 public:
  // For one iteration; what is learnt in it goes to `codings`.
  SavedSlices(ActivationStore* store, SavedCodings* codings, int64_t iteration)
      : store_(store), codings_(codings), iteration_(iteration) {}
  ~SavedSlices();
  SavedSlices(const SavedSlices&) = delete;
  SavedSlices& operator=(const SavedSlices&) = delete;

  // Keeps `slice`, whose first sample is number `first` of the batch, of saved value `saved`, which
  // is `value` of the graph. All slices of a value come with the same options.
  StoredValue Put(int saved, int value, int64_t first, const Tensor& slice,
                  const PutOptions& options);
  // What Get with the same arguments will ask for (ActivationStore::Prefetch).
  void Prefetch(int saved, int64_t first, const Tensor& out);
  // The tensor of the slice that begins with sample `first` may be overwritten from now on.
  void BeforeOverwrite(int saved, int64_t first);
  // Fills `out` with samples from number `first` on, unless they are kept in place. REQUIRES: they
  // were Put, and not forgotten.
  void Get(int saved, int64_t first, const Tensor& out);
  // Forgets `count` samples from number `first` on: once for each sample.
  void Forget(int saved, int64_t first, int64_t count);

 private:
  struct Entry {
    int id;         // in the store
    int64_t first;  // sample
    int64_t count;
    int64_t left;  // not released yet
  };

  // Calls visit(entry, first, count) for the samples of [first, first + count) that each entry has.
  template <typename Visit>
  void ForEachEntry(int saved, int64_t first, int64_t count, const Visit& visit);

  ActivationStore* store_;
  SavedCodings* codings_;
  int64_t iteration_;
  std::map<int, std::vector<Entry>> entries_;                 // by saved value
  std::map<int, std::shared_ptr<const ValueCoding>> learnt_;  // by saved value
};

}  // namespace encke
