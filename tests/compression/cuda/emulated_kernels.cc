// The codec's kernels for tests of the pool: warps without a grid
// (tests/compression/cuda/emulation.h).
#include "compression/cuda/codec_kernels.h"
#include "tests/compression/cuda/emulation.h"
#include "tests/emulated_gpu/emulated_gpu.h"

namespace encke::cuda {

uint64_t DenseScratchBytes(const Chunking&, int) { return 64; }
int DenseWarps(int, const Chunking&) { return 1; }

void LaunchEncode(const StoredValueView& view, const void* value, const DeviceCoding& coding,
                  uint8_t*, int, cudaStream_t stream) {
  emulated_gpu::Enqueue(stream, [=] { testing::EmulateEncode(view, value, coding, false); });
}

void LaunchDecode(const StoredValueView& view, const DecodeSpan& span, const DeviceCoding& coding,
                  uint8_t*, int, cudaStream_t stream) {
  emulated_gpu::Enqueue(stream, [=] { testing::EmulateDecode(view, span, coding, true); });
}

}  // namespace encke::cuda
