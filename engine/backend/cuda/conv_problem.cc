#include "engine/backend/cuda/conv_problem.h"

#include "engine/core/error.h"

namespace encke::cuda {
namespace {

int64_t OutputSize(int64_t input, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride) {
  return (input + pads - (kernel - 1) * dilation - 1) / stride + 1;
}

int64_t Aligned(int64_t bytes) { return RoundUp(bytes, kWorkspaceAlignment); }

}  // namespace

const char* NameOf(ConvKind kind) {
  switch (kind) {
    case ConvKind::FORWARD:
      return "forward";
    case ConvKind::BACKWARD_DATA:
      return "backward data";
    case ConvKind::BACKWARD_FILTER:
      return "backward filter";
  }
  return "?";
}

void ConvProblem::Check() const {
  const ConvOptions& o = options;
  ENCKE_CHECK(x.c % o.groups == 0 && y.c % o.groups == 0, x.c, " and ", y.c, " in ", o.groups);
  const int64_t p = OutputSize(x.h, o.pad_top + o.pad_bottom, o.kernel_h, o.dilation_h, o.stride_h);
  const int64_t q = OutputSize(x.w, o.pad_left + o.pad_right, o.kernel_w, o.dilation_w, o.stride_w);
  ENCKE_CHECK(y.n == x.n && y.h == p && y.w == q, x.ToString(), " to ", y.ToString());
}

bool ConvProblem::NeedsPadding() const {
  return options.pad_top != options.pad_bottom || options.pad_left != options.pad_right;
}

ConvProblem ConvProblem::AsCudnnTakesIt() const {
  ConvProblem problem = *this;
  if (!NeedsPadding()) return problem;
  ConvOptions& o = problem.options;
  problem.x.h += o.pad_top + o.pad_bottom;
  problem.x.w += o.pad_left + o.pad_right;
  o.pad_top = o.pad_bottom = o.pad_left = o.pad_right = 0;
  return problem;
}

std::string ConvProblem::Key() const {
  const ConvOptions& o = options;
  return StrCat(NameOf(kind), ' ', encke::NameOf(dtype), tf32 && dtype == DType::F32 ? " tf32" : "",
                " x ", x.n, ',', x.h, ',', x.w, ',', x.c, " y ", y.h, ',', y.w, ',', y.c, " k ",
                o.kernel_h, ',', o.kernel_w, " s ", o.stride_h, ',', o.stride_w, " d ",
                o.dilation_h, ',', o.dilation_w, " p ", o.pad_top, ',', o.pad_bottom, ',',
                o.pad_left, ',', o.pad_right, " g ", o.groups);
}

ConvLayout LayOut(const ConvProblem& problem, bool accumulate, int64_t scratch_bytes) {
  ConvLayout layout;
  layout.scratch_bytes = scratch_bytes;
  const int64_t element = SizeOf(problem.dtype);
  const bool adds = problem.kind == ConvKind::BACKWARD_FILTER && accumulate;
  if (problem.dtype != DType::F32 || adds) {
    layout.filter = layout.scratch;
    layout.scratch += Aligned(problem.filter().elements() * element);
  }
  if (problem.NeedsPadding()) {
    layout.padded = layout.scratch;
    layout.scratch += Aligned(problem.AsCudnnTakesIt().x.elements() * element);
  }
  return layout;
}

}  // namespace encke::cuda
