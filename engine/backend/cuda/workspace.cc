#include "engine/backend/cuda/workspace.h"

#include <algorithm>

namespace encke::cuda {

void Workspace::Reserve(int64_t bytes) {
  if (buffer_ != nullptr && buffer_->bytes() >= bytes) return;
  buffer_.reset();
  buffer_ = allocator_->Allocate(std::max<int64_t>(bytes, 1), MemoryCategory::WORKSPACE);
}

}  // namespace encke::cuda
