#include "compression/lent_space.h"

#include <utility>

#include "engine/core/error.h"

namespace encke {

void LentSpace::Reset(std::shared_ptr<Buffer> buffer) {
  ENCKE_CHECK(extents_.empty(), extents_.size(), " pieces are left");
  buffer_ = std::move(buffer);
  top_ = buffer_ != nullptr ? buffer_->bytes() : 0;
}

std::optional<LentSpace::Place> LentSpace::Take(int64_t size, int64_t floor) {
  if (floor < 0 || top_ - size < floor) return std::nullopt;
  extents_.push_back({top_, true});
  top_ -= size;
  return Place{static_cast<uint8_t*>(buffer_->data()) + top_,
               static_cast<uint32_t>(extents_.size() - 1)};
}

void LentSpace::Free(uint32_t index) {
  ENCKE_CHECK(index < extents_.size() && extents_[index].live, index);
  extents_[index].live = false;
  while (!extents_.empty() && !extents_.back().live) {
    top_ = extents_.back().end;
    extents_.pop_back();
  }
}

}  // namespace encke
