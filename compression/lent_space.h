// A stack at the upper end of a buffer whose owner works at its lower end: what a plan's arena does
// not need at the moment holds encoded chunks meanwhile.
//
//   0            floor                      top                          end
//   | the owner's  | free for pieces of this  | pieces, the last on the left |
//
// The owner's part grows and shrinks. A piece says how far the owner will reach while it is there,
// its floor, and is placed above. Like in a slab, a piece freed below the top (here: to the right
// of another) waits for those placed after it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/memory.h"

namespace encke {

// Not thread-safe.
class LentSpace {
 public:
  struct Place {
    uint8_t* data;
    uint32_t index;  // for Free
  };

  // From now on pieces go to `buffer`; nullptr: nowhere. REQUIRES: no piece is left.
  void Reset(std::shared_ptr<Buffer> buffer);
  // Room for `size` bytes, none of them below `floor` (bytes from the buffer's beginning).
  std::optional<Place> Take(int64_t size, int64_t floor);
  // REQUIRES: from Take, not freed before.
  void Free(uint32_t index);

 private:
  struct Extent {
    int64_t end;
    bool live;
  };

  std::shared_ptr<Buffer> buffer_;
  std::vector<Extent> extents_;  // in the order of placing; the last one begins at `top_`
  int64_t top_ = 0;
};

}  // namespace encke
