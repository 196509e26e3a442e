// What brings offloaded values back: copies from page-locked memory on a stream of their own.
#pragma once

#include <array>
#include <memory>

#include "compression/cuda/cuda_check.h"
#include "engine/core/memory.h"

namespace encke::cuda {

// Two values may be under way, one being copied while the other is decoded. They stay until others
// take their places: parts of a value that are decoded one after the other cost one copy.
class HostReader {
 public:
  // Device memory comes from `allocator`, as WORKSPACE: twice the largest value copied so far.
  explicit HostReader(Allocator& allocator) : allocator_(allocator) {}
  ~HostReader() { cudaStreamSynchronize(stream_.get()); }

  // Begins to copy, unless value `number` is still there, and makes `decoder` wait for it; returns
  // where the bytes will be on the device until the call of Decoded, which has to follow. REQUIRES:
  // they have been written; no other value ever has this number.
  const uint8_t* Bring(int number, const uint8_t* from, uint64_t bytes, cudaStream_t decoder);
  // What `decoder` has been told so far is all that reads what the last Bring returned.
  void Decoded(cudaStream_t decoder);

 private:
  struct Slot {
    int number = -1;  // of the value in it; -1: none
    std::shared_ptr<Buffer> memory;
    CodecEvent copied, decoded;
  };

  void Copy(const uint8_t* from, uint64_t bytes, Slot* slot);

  Allocator& allocator_;
  CodecStream stream_;
  std::array<Slot, 2> slots_;
  size_t last_ = 0;  // the slot of the last Bring
};

}  // namespace encke::cuda
