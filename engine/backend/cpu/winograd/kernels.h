// The inner loops of Winograd's convolution F(4x4, 3x3), once for each instruction set (A. Lavin,
// S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, section 4).
//
// A tile of 4x4 results of a 3x3 filter takes 6x6 pixels and, for each pair of channels, 36
// products in place of 144:
//
//   forward, backward data   y  = A^T [ sum over c of (G w G^T) * (B^T x B) ] A
//   backward filter          dw = G^T [ sum over tiles of (A dy A^T) * (B^T x B) ] G
//
// * multiplies the 36 positions one by one, so that for each position the sum is a matrix product.
// Channels are the vectors' lanes. In transformed memory, position p of a tile, or of a filter,
// lies `stride` floats behind position p - 1.
#pragma once

#include <cstdint>

namespace encke::cpu::winograd {

constexpr int64_t kTile = 4;          // results of a tile in each direction
constexpr int64_t kTaps = 3;          // of the filter in each direction
constexpr int64_t kWindow = 6;        // pixels that a tile reads in each direction
constexpr int64_t kPositions = 36;    // kWindow^2
constexpr int64_t kChannelStep = 16;  // channels are multiples of it

// c [rows, columns] = a [rows, inner] b [inner, columns], or c += where `accumulate`. Each element
// is summed in the order of `inner`. a(i, j) is a[i * a_row + j * a_inner]; rows of b and c are
// contiguous. REQUIRES: rows % kRowStep == 0, columns % kChannelStep == 0.
struct Product {
  int64_t rows, inner, columns;
  const float* a;
  int64_t a_row, a_inner;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  bool accumulate;
};

constexpr int64_t kRowStep = 8;

// Each transform works on `channels` channels, a multiple of kChannelStep.
struct Kernels {
  const char* name;
  // out = B^T x B; pixels: where each of the 6x6 begins.
  void (*transform_input)(const float* const* pixels, int64_t channels, float* out, int64_t stride);
  // out = A dy A^T; pixels: where each of the 4x4 begins.
  void (*transform_gradient)(const float* const* pixels, int64_t channels, float* out,
                             int64_t stride);
  // out = G w G^T; taps: where each of the 3x3 begins.
  void (*transform_filter)(const float* const* taps, int64_t channels, float* out, int64_t stride);
  // pixels = A^T in A + bias. Null pixels are left out; so is a null bias.
  void (*transform_output)(const float* in, int64_t stride, const float* bias, int64_t channels,
                           float* const* pixels);
  // taps = G^T in G, or taps += where `accumulate`.
  void (*transform_filter_gradient)(const float* in, int64_t stride, int64_t channels,
                                    bool accumulate, float* const* taps);
  void (*multiply)(const Product& product);
};

const Kernels& Avx2Kernels();    // AVX2, FMA
const Kernels& Avx512Kernels();  // AVX-512 F

}  // namespace encke::cpu::winograd
