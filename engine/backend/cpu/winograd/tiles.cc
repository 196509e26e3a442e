#include "engine/backend/cpu/winograd/tiles.h"

#include <algorithm>
#include <oneapi/dnnl/dnnl.hpp>

#include "engine/backend/cpu/simd.h"
#include "engine/core/memory.h"

namespace encke::cpu::winograd {

const Kernels* BestKernels() {
  const auto allowed = [](int isa) {  // a set of bits, which later ones contain
    return (static_cast<int>(dnnl::get_effective_cpu_isa()) & isa) == isa;
  };
  const VectorUnit unit = DetectVectorUnit();
  if (unit == VectorUnit::AVX512 && allowed(dnnl_cpu_isa_avx512_core)) return &Avx512Kernels();
  return unit != VectorUnit::NONE && allowed(dnnl_cpu_isa_avx2) ? &Avx2Kernels() : nullptr;
}

void TransformTiles(const TileGrid& grid, const TileSquares& squares, TileTransform transform,
                    const float* data, const float* zeros, int64_t channels, int64_t first,
                    int64_t count, const TileLayout& layout, float* out) {
  const float* pixels[kPositions];
  for (int64_t i = 0; i < count; ++i) {
    squares.Locate(grid, first + i, data, zeros, pixels);
    transform(pixels, channels, out + i * layout.row, layout.stride);
  }
  std::fill(pixels, pixels + kPositions, zeros);
  for (int64_t i = count; i < RoundUp(count, kRowStep); ++i)
    transform(pixels, channels, out + i * layout.row, layout.stride);
}

}  // namespace encke::cpu::winograd
