// Convolution: cuDNN's algorithm, and what happens around it.
#include <algorithm>

#include "engine/backend/cuda/conv_algorithm.h"
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/core/error.h"
#include "engine/core/log.h"

namespace encke::cuda {
namespace {

void CheckFilter(const ConvProblem& problem, const Tensor& w) {
  ENCKE_CHECK(w.shape() == problem.filter(), w.shape().ToString(), " for ",
              problem.filter().ToString());
  ENCKE_CHECK(w.dtype() == DType::F32, NameOf(w.dtype()));
}

}  // namespace

ConvAlgorithm& CudaBackend::AlgorithmOf(const ConvProblem& problem) {
  const std::string key = problem.Key();
  std::unique_ptr<ConvAlgorithm>& algorithm = conv_algorithms_[key];
  if (algorithm != nullptr) return *algorithm;
  algorithm = std::make_unique<ConvAlgorithm>(cudnn_.get(), problem.AsCudnnTakesIt(),
                                              conv_choices_.Find(key));
  if (algorithm->empty()) {
    ++direct_convolutions_;
    LogWarning(StrCat("cuDNN has no kernel for this convolution, which will be slow: ", key));
  }
  return *algorithm;
}

int64_t CudaBackend::ConvWorkspaceBytes(const ConvOptions& options, const Shape& x, const Shape& y,
                                        DType dtype, Pass pass) {
  ConvProblem problem{ConvKind::FORWARD, options, x, y, dtype, options_.tf32};
  problem.Check();
  int64_t bytes = 0;
  const auto ask = [&](ConvKind kind) {
    problem.kind = kind;
    ConvAlgorithm& algorithm = AlgorithmOf(problem);
    const ConvLayout layout = LayOut(problem, /*accumulate=*/true, algorithm.scratch_bytes());
    bytes = std::max(bytes, layout.total());
  };
  if (pass == Pass::FORWARD) {
    ask(ConvKind::FORWARD);
    return bytes;
  }
  ask(ConvKind::BACKWARD_DATA);
  ask(ConvKind::BACKWARD_FILTER);
  return bytes;
}

void CudaBackend::RunConv(const ConvProblem& problem, const ConvOperands& operands,
                          bool accumulate) {
  problem.Check();
  ConvAlgorithm& algorithm = AlgorithmOf(problem);
  if (!algorithm.empty()) {
    const ConvLayout layout = LayOut(problem, accumulate, algorithm.scratch_bytes());
    // What is chosen by measuring has to fit beside what the same problem needs when it adds.
    workspace_.Reserve(LayOut(problem, /*accumulate=*/true, algorithm.scratch_bytes()).total());
    RunOnCudnn(problem, layout, algorithm, operands, accumulate);
  }
  if (algorithm.empty()) RunDirect(problem, operands, accumulate);  // also when all plans failed
}

void CudaBackend::RunOnCudnn(const ConvProblem& problem, const ConvLayout& layout,
                             ConvAlgorithm& algorithm, const ConvOperands& operands,
                             bool accumulate) {
  const auto at = [&](int64_t offset) { return offset < 0 ? nullptr : workspace_.At(offset); };
  void *filter = at(layout.filter), *padded = at(layout.padded), *scratch = at(layout.scratch);
  const bool to_filter = problem.kind == ConvKind::BACKWARD_FILTER;
  const bool to_image = problem.kind == ConvKind::BACKWARD_DATA;
  const int64_t filter_elements = problem.filter().elements();
  if (filter != nullptr && !to_filter)
    ConvertBuffer(operands.w, DType::F32, filter, problem.dtype, filter_elements);
  if (padded != nullptr && !to_image) PadImage(problem, operands.x, padded);

  const ConvPointers pointers = {padded != nullptr ? padded : const_cast<void*>(operands.x),
                                 filter != nullptr ? filter : const_cast<void*>(operands.w),
                                 const_cast<void*>(operands.y)};
  if (!algorithm.settled()) {
    algorithm.Measure(cudnn_.get(), stream_.get(), pointers, scratch,
                      workspace_.bytes() - LayOut(problem, /*accumulate=*/true, 0).scratch);
    if (algorithm.empty()) {
      LogWarning(StrCat("every kernel of cuDNN fails for this convolution: ", problem.Key()));
      ++direct_convolutions_;
      return;
    }
    conv_choices_.Add(problem.Key(), algorithm.choice());
  }
  algorithm.Run(cudnn_.get(), pointers, scratch);

  if (padded != nullptr && to_image) CropImage(problem, padded, const_cast<void*>(operands.x));
  if (filter == nullptr || !to_filter) return;
  auto* dw = static_cast<float*>(const_cast<void*>(operands.w));
  if (accumulate) {
    AddFilterGradient(filter, problem.dtype, dw, filter_elements);
  } else {
    ConvertBuffer(filter, problem.dtype, dw, DType::F32, filter_elements);
  }
}

void CudaBackend::ConvForward(const ConvOptions& options, const Tensor& x, const Tensor& w,
                              const Tensor* bias, const Tensor& y) {
  const ConvProblem problem{ConvKind::FORWARD, options,   x.shape(),
                            y.shape(),         x.dtype(), options_.tf32};
  CheckFilter(problem, w);
  ENCKE_CHECK(x.dtype() == y.dtype(), NameOf(x.dtype()), " and ", NameOf(y.dtype()));
  RunConv(problem, {x.raw(), w.raw(), y.raw()}, false);
  if (bias != nullptr) AddBias(y, *bias);
}

void CudaBackend::ConvBackwardData(const ConvOptions& options, const Tensor& dy, const Tensor& w,
                                   const Tensor& dx) {
  const ConvProblem problem{
      ConvKind::BACKWARD_DATA, options, dx.shape(), dy.shape(), dx.dtype(), options_.tf32};
  CheckFilter(problem, w);
  ENCKE_CHECK(dx.dtype() == dy.dtype(), NameOf(dx.dtype()), " and ", NameOf(dy.dtype()));
  RunConv(problem, {dx.raw(), w.raw(), dy.raw()}, false);
}

void CudaBackend::ConvBackwardFilter(const ConvOptions& options, const Tensor& x, const Tensor& dy,
                                     const Tensor& dw, const Tensor* dbias, bool accumulate) {
  const ConvProblem problem{
      ConvKind::BACKWARD_FILTER, options, x.shape(), dy.shape(), x.dtype(), options_.tf32};
  CheckFilter(problem, dw);
  ENCKE_CHECK(x.dtype() == dy.dtype(), NameOf(x.dtype()), " and ", NameOf(dy.dtype()));
  RunConv(problem, {x.raw(), dw.raw(), dy.raw()}, accumulate);
  if (dbias != nullptr) SumRows(dy, *dbias, accumulate);
}

}  // namespace encke::cuda
