// What the pool has learnt of saved values, to be used again for some iterations.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "compression/activation_store.h"
#include "compression/value_coding.h"

namespace encke {

// A value is learnt anew when its bound has moved, when it takes other bytes than it did with what
// was learnt of it, and after some iterations anyway: few at first, when everything moves and the
// peak of a run is set.
class SavedCodings {
 public:
  // PutOptions::prior for value `value` of the graph, which is about to be put with `options`;
  // nullptr: learn.
  std::shared_ptr<const LearntCoding> PriorOf(int value, const PutOptions& options,
                                              int64_t iteration) const;
  // The value took `stored` with what PriorOf had given.
  void Used(int value, const StoredValue& stored);
  // The value was put without a prior, took `stored`, and `coding` was learnt.
  void Learnt(int value, const PutOptions& options, int64_t iteration, const StoredValue& stored,
              const ValueCoding& coding);

  // Everything is learnt anew: what was learnt last was not of values as they usually are.
  void Forget() { known_.clear(); }

  // State for checkpoints, as JSON text; without it a resumed run would learn at other iterations
  // than one that went through, and store other bytes.
  std::string Save() const;
  // Error(DATA) for a text that is damaged, or tables with which no codec can work.
  void Restore(const std::string& state);

 private:
  struct Known {
    std::shared_ptr<const LearntCoding> coding;
    std::string codec;
    double bound = 0;       // of all channels when it was learnt
    int64_t iteration = 0;  // likewise
    double share = 0;       // stored over raw bytes, likewise
    bool drifted = false;
  };

  std::map<int, Known> known_;  // by value
};

}  // namespace encke
