#include "compression/cuda/host_reader.h"

namespace encke::cuda {

const uint8_t* HostReader::Bring(int number, const uint8_t* from, uint64_t bytes,
                                 cudaStream_t decoder) {
  if (slots_[last_].number != number) last_ = 1 - last_;
  Slot& slot = slots_[last_];
  if (slot.number != number) {
    Copy(from, bytes, &slot);
    slot.number = number;
  }
  slot.copied.MakeWait(decoder);
  return static_cast<const uint8_t*>(slot.memory->data());
}

void HostReader::Copy(const uint8_t* from, uint64_t bytes, Slot* slot) {
  slot->number = -1;
  const auto wanted = static_cast<int64_t>(bytes);
  if (slot->memory == nullptr || slot->memory->bytes() < wanted) {
    slot->decoded.Wait();
    slot->memory.reset();
    slot->memory = allocator_.Allocate(wanted, MemoryCategory::WORKSPACE);
  }
  slot->decoded.MakeWait(stream_.get());
  ENCKE_CODEC_CUDA(
      cudaMemcpyAsync(slot->memory->data(), from, bytes, cudaMemcpyHostToDevice, stream_.get()));
  slot->copied.Record(stream_.get());
}

void HostReader::Decoded(cudaStream_t decoder) { slots_[last_].decoded.Record(decoder); }

}  // namespace encke::cuda
