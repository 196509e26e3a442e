// The Backend of this machine's processor: oneDNN for convolution and matrix products, own loops
// (threads by ParallelFor, vectors by Simd) for the rest. Everything runs synchronously.
//
// Layout is NHWC throughout. With oneDNN 2.6.3 on AVX-512 machines all convolutions of the usual
// networks pick its JIT kernels in that layout (brgconv forward, jit backward) and come within 10%
// of its blocked formats, so activations are never reordered; only filters are.
#pragma once

#include <cstdint>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cpu/dnnl_util.h"
#include "engine/backend/workspace.h"

namespace encke::cpu {

class ConvPlan;
class MatmulPlan;
struct ConvBuffers;
struct ConvCall;
struct MatmulBuffers;
struct MatmulCall;

class CpuBackend : public Backend {
 public:
  CpuBackend();
  ~CpuBackend() override;

  std::string name() const override;
  Allocator& allocator() override { return *allocator_; }
  bool Supports(DType compute) const override;
  // About a share of the last cache, so that what one layer writes is still there when the next one
  // reads it.
  int64_t SliceBytes() const override { return 16 << 20; }
  std::unique_ptr<ActivationStore> NewActivationStore(const StoreOptions& options) override {
    return NewCompressedStore(*allocator_, options);
  }
  void Synchronize() override {}

  int64_t ConvWorkspaceBytes(const ConvOptions& options, const Shape& x, const Shape& y,
                             DType dtype, Pass pass) override;
  int64_t FullyConnectedWorkspaceBytes(const Shape& x, const Shape& y, DType dtype,
                                       Pass pass) override;
  void LendWorkspace(void* memory, int64_t bytes) override { workspace_.Lend(memory, bytes); }

  void ConvForward(const ConvOptions& options, const Tensor& x, const Tensor& w, const Tensor* bias,
                   const Tensor& y) override;
  void ConvBackwardData(const ConvOptions& options, const Tensor& dy, const Tensor& w,
                        const Tensor& dx) override;
  void ConvBackwardFilter(const ConvOptions& options, const Tensor& x, const Tensor& dy,
                          const Tensor& dw, const Tensor* dbias, bool accumulate) override;

  void FullyConnectedForward(const Tensor& x, const Tensor& w, const Tensor* bias,
                             const Tensor& y) override;
  void FullyConnectedBackwardData(const Tensor& dy, const Tensor& w, const Tensor& dx) override;
  void FullyConnectedBackwardFilter(const Tensor& x, const Tensor& dy, const Tensor& dw,
                                    const Tensor* dbias, bool accumulate) override;

  void MaxPoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y,
                      const Tensor& index) override;
  void MaxPoolBackward(const PoolOptions& options, const Tensor& index, const Tensor& dy,
                       const Tensor& dx) override;
  void AveragePoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y) override;
  void AveragePoolBackward(const PoolOptions& options, const Tensor& dy, const Tensor& dx) override;

  void BatchNormMoments(const Tensor& x, const Tensor& moments, bool accumulate) override;
  void BatchNormStatistics(float epsilon, float momentum, const Tensor& moments, const Tensor& mean,
                           const Tensor& inv_std, const Tensor& running_mean,
                           const Tensor& running_variance) override;
  void BatchNormApply(const NormChannels& norm, const Tensor& x, const Tensor& y) override;
  void BatchNormApplyAdd(const NormChannels& norm, const Tensor& x, const Tensor& addend,
                         const Tensor& y) override;
  void BatchNormInference(float epsilon, bool relu, const Tensor& x, const Tensor& gamma,
                          const Tensor& beta, const Tensor& mean, const Tensor& variance,
                          const Tensor& y) override;
  void BatchNormInvert(const NormChannels& norm, const Tensor& sum, const Tensor& shortcut,
                       const Tensor& x) override;
  void BatchNormBackwardSums(const NormChannels& norm, const Tensor& x, const Tensor& y,
                             const Tensor& dy, const Tensor& sums, bool accumulate) override;
  void BatchNormBackwardApply(const NormChannels& norm, const Tensor& x, const Tensor& y,
                              const Tensor& sums, int64_t count, const Tensor& dy,
                              const Tensor& dx) override;
  void BatchNormParameterGradients(const Tensor& sums, const Tensor& dgamma, const Tensor& dbeta,
                                   bool accumulate) override;

  void ReluForward(const Tensor& x, const Tensor& y) override;
  void ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) override;
  void PackMask(const Tensor& x, const Tensor& bits) override;
  void ReluBackwardFromMask(const Tensor& bits, const Tensor& dy, const Tensor& dx) override;

  void LrnForward(const LrnOptions& options, const Tensor& x, const Tensor& y) override;
  void LrnBackward(const LrnOptions& options, const Tensor& x, const Tensor& dy,
                   const Tensor& dx) override;

  void Dropout(const DropoutMask& mask, const Tensor& x, const Tensor& y) override;

  void Add(const Tensor& a, const Tensor& b, const Tensor& y) override;
  void AddRelu(const Tensor& a, const Tensor& b, const Tensor& y) override;
  void AddReluBackward(const Tensor& y, const Tensor& a, const Tensor& b,
                       const Tensor& dx) override;
  void CopyChannels(const Tensor& src, int64_t src_channel, const Tensor& dst, int64_t dst_channel,
                    int64_t channels) override;
  void Copy(const Tensor& src, const Tensor& dst) override;
  void Fill(const Tensor& x, float value) override;
  void PackBits(const Tensor& x, int bits, const Tensor& packed) override;
  void UnpackBits(const Tensor& packed, int bits, const Tensor& x) override;
  void CopyToHost(const Tensor& src, void* dst) override;
  void CopyFromHost(const void* src, const Tensor& dst) override;
  std::unique_ptr<HostCopy> StartCopyToHost(const std::vector<Tensor>& tensors) override;
  void NormalizeImage(const Tensor& image, const std::vector<float>& mean,
                      const std::vector<float>& std, const Tensor& y) override;

  void SoftmaxCrossEntropyForward(const Tensor& logits, const Tensor& labels, float smoothing,
                                  const Tensor& probabilities, const Tensor& loss) override;
  void SoftmaxCrossEntropyBackward(const Tensor& probabilities, const Tensor& labels,
                                   float smoothing, float scale, const Tensor& dlogits) override;

  void FindRepeatedPixel(const Tensor& x, int64_t channels, const Tensor& number) override;
  void MarkPixels(const Tensor& x, int64_t channels, const Tensor& number, bool repeated,
                  const Tensor& image) override;

  double SumOfSquares(const Tensor& x) override;
  double SumOfMagnitudes(const Tensor& x) override;
  std::unique_ptr<HostCopy> StartSumOfSquares(const Tensor& x) override;
  std::unique_ptr<HostCopy> StartSumOfMagnitudes(const Tensor& x) override;
  bool AllFinite(const std::vector<Tensor>& tensors) override;

  void SgdStep(const SgdOptions& options, const Tensor& w, const Tensor& dw,
               const Tensor& velocity) override;
  void UpdateAverage(float decay, const Tensor& x, const Tensor& average) override;

 private:
  ConvPlan& PlanConv(const ConvCall& call);
  void RunConv(const ConvCall& call, const ConvBuffers& buffers);
  MatmulPlan& PlanMatmul(const MatmulCall& call);
  // Scratch lies in the workspace behind the first `offset` bytes, which are the caller's.
  void RunMatmul(const MatmulCall& call, const MatmulBuffers& buffers, int64_t offset);

  std::unique_ptr<Allocator> allocator_;
  Workspace workspace_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  PrimitiveCache<ConvPlan> conv_plans_;
  PrimitiveCache<MatmulPlan> matmul_plans_;
};

// The backend, or Error(DEVICE) when oneDNN cannot start on this machine.
std::unique_ptr<Backend> NewCpuBackend();

}  // namespace encke::cpu
