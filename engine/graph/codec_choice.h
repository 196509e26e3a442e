// Which codec takes a value whose policy is adaptive (SavedPolicy): fast, where by what values took
// in the iteration before the pool then holds no more than the plan foresees, else dense. Bounds
// are tightest in a run's first iterations, which set the peak: then dense keeps to the plan, and
// later fast does.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "compression/activation_store.h"

namespace encke {

// Deterministic: same sizes, same codecs.
class CodecChoice {
 public:
  // Of an iteration, in which each value is chosen for once and then stored, slice by slice.
  void Start() { held_ = 0; }
  // The codec, "fast" or "dense", for `raw_bytes` of value `value` of the graph. `foreseen`: bytes
  // that the values chosen for in this iteration may take, this one included.
  const std::string& Choose(int value, int64_t raw_bytes, int64_t foreseen);
  // A slice of the value was stored; where sizes come late, on a GPU, what it was the time before.
  // What others than the two codecs took tells nothing.
  void Stored(int value, const StoredValue& stored);
  // All are dense in the next iteration: bounds have moved, or the last one's values were not as
  // they usually are.
  void Forget() { seen_.clear(); }

  // State for checkpoints, as JSON text: a resumed run chooses as one that went through, where
  // sizes do not come late.
  std::string Save() const;
  void Restore(const std::string& state);  // Error(DATA) when it is damaged

 private:
  // What a value took when it was stored last.
  struct Seen {
    std::string codec;
    int64_t raw_bytes = 0, stored_bytes = 0;
  };

  std::map<int, Seen> seen_;  // by value
  int64_t held_ = 0;          // bytes that the values chosen for are expected to take
};

}  // namespace encke
