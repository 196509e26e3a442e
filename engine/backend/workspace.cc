#include "engine/backend/workspace.h"

namespace encke {

void Workspace::Lend(void* memory, int64_t bytes) {
  lent_ = static_cast<char*>(memory);
  lent_bytes_ = memory == nullptr ? 0 : bytes;
}

void Workspace::Reserve(int64_t bytes) {
  if (bytes <= lent_bytes_) {  // nothing also without a lender
    memory_ = lent_;
    bytes_ = lent_bytes_;
    return;
  }
  if (own_ == nullptr || own_->bytes() < bytes) {
    own_.reset();  // first, so that the two never exist together
    own_ = allocator_->Allocate(bytes, MemoryCategory::WORKSPACE);
  }
  memory_ = static_cast<char*>(own_->data());
  bytes_ = own_->bytes();
}

}  // namespace encke
