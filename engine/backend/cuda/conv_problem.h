// A convolution as the CUDA backend sees it: what is asked, in which form cuDNN gets it, and how
// the workspace is divided. Host logic without CUDA.
//
// cuDNN takes NHWC activations and KRSC filters of one type, any groups, strides and dilations, and
// padding that is the same at both ends. So
//   - padding that differs is made explicit: x is copied into a larger, zeroed image (and dx is
//     computed for that image, and its middle copied out);
//   - in BF16 the fp32 filter is converted on the way in, and its gradient on the way out;
//   - a filter gradient that is added to another goes through a copy.
#pragma once

#include <cstdint>
#include <string>

#include "engine/backend/backend.h"

namespace encke::cuda {

enum class ConvKind { FORWARD, BACKWARD_DATA, BACKWARD_FILTER };
const char* NameOf(ConvKind kind);  // "forward", ...

struct ConvProblem {
  ConvKind kind = ConvKind::FORWARD;
  ConvOptions options;
  Shape x, y;
  DType dtype = DType::F32;  // of activations
  bool tf32 = true;          // fp32 products may be rounded to tf32

  // Aborts unless the shapes fit.
  void Check() const;
  Shape filter() const { return {y.c, options.kernel_h, options.kernel_w, x.c / options.groups}; }
  bool NeedsPadding() const;
  // What cuDNN is asked: this, with explicit padding where it NeedsPadding().
  ConvProblem AsCudnnTakesIt() const;
  // All of it as a line of text, a key.
  std::string Key() const;
};

// Offsets of pieces in the workspace; -1: not needed.
struct ConvLayout {
  int64_t filter = -1;  // of the activations' type, or fp32 to be added
  int64_t padded = -1;  // the larger image
  int64_t scratch = 0;  // cuDNN's own, last
  int64_t total() const { return scratch + scratch_bytes; }
  int64_t scratch_bytes = 0;
};

// `accumulate`: of BACKWARD_FILTER, whether to make room for adding.
ConvLayout LayOut(const ConvProblem& problem, bool accumulate, int64_t scratch_bytes);

}  // namespace encke::cuda
