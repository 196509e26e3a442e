// The Backend of an NVIDIA GPU: cuDNN for convolution, cuBLAS for matrix products, own kernels for
// the rest. Work goes to one stream, in order, and nothing waits for it but the methods that hand
// numbers to the host.
//
// Everything is a function of its inputs: sums run in a fixed order, there are no atomic additions,
// and of cuDNN's algorithms only those that repeat themselves are used. (Which of them is used was
// measured, see conv_choices.h; two machines may choose differently.)
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/conv_choices.h"
#include "engine/backend/cuda/conv_problem.h"
#include "engine/backend/cuda/cuda_allocator.h"
#include "engine/backend/cuda/gpus.h"
#include "engine/backend/cuda/handles.h"
#include "engine/backend/cuda/host_copies.h"
#include "engine/backend/workspace.h"

namespace encke::cuda {

class ConvAlgorithm;

class CudaBackend : public Backend {
 public:
  CudaBackend(const Gpu& gpu, const BackendOptions& options);
  ~CudaBackend() override;

  std::string name() const override;
  Allocator& allocator() override { return allocator_; }
  Allocator& host_allocator() override { return host_allocator_; }
  bool Supports(DType compute) const override;
  // Some 0.05 ms of an H100's memory traffic, ten times what a launch costs.
  int64_t SliceBytes() const override { return 128 << 20; }
  bool LargerSlicesAreFaster() const override { return true; }
  std::unique_ptr<ActivationStore> NewActivationStore(const StoreOptions& options) override;
  bool PoolWorksAside() const override { return true; }
  int64_t PoolScratchBytes(const Shape& value, DType dtype, Tier tier, const std::string& codec,
                           bool exact) const override;
  int64_t PoolRoomBytes(const Shape& value, DType dtype) const override;
  void Synchronize() override;

  // What own kernels and the codec launch on.
  cudaStream_t stream() const { return stream_.get(); }

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
  void CopyToHost(const Tensor& src, void* dst) override { host_copies_.ToHost(src, dst); }
  void CopyFromHost(const void* src, const Tensor& dst) override {
    host_copies_.FromHost(src, dst);
  }
  void BeginCopyFromHost(const void* src, const Tensor& dst) override;
  std::unique_ptr<HostCopy> StartCopyToHost(const std::vector<Tensor>& tensors) override {
    return host_copies_.Start(tensors);
  }
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

  // Convolutions met so far that run in plain loops because cuDNN has nothing for them.
  int64_t direct_convolutions() const { return direct_convolutions_; }

 private:
  // conv.cc
  struct ConvOperands {  // as forward names them; the one that the kind of problem makes is written
    const void *x, *w, *y;
  };
  ConvAlgorithm& AlgorithmOf(const ConvProblem& problem);
  void RunConv(const ConvProblem& problem, const ConvOperands& operands, bool accumulate);
  void RunOnCudnn(const ConvProblem& problem, const ConvLayout& layout, ConvAlgorithm& algorithm,
                  const ConvOperands& operands, bool accumulate);
  // windows.cu
  void RunDirect(const ConvProblem& problem, const ConvOperands& operands, bool accumulate);
  void PadImage(const ConvProblem& problem, const void* x, void* padded);
  void CropImage(const ConvProblem& problem, const void* padded, void* x);

  // fully_connected.cc
  const void* PrepareFullyConnected(int64_t filter_bytes, const Tensor* w, DType dtype);

  // elementwise.cu
  void ConvertBuffer(const void* from, DType from_type, void* to, DType to_type, int64_t n);
  // dw += gradient, which has the activations' type.
  void AddFilterGradient(const void* gradient, DType dtype, float* dw, int64_t n);
  void AddBias(const Tensor& y, const Tensor& bias);
  // batch_norm.cu
  void SumRows(const Tensor& dy, const Tensor& sum, bool accumulate);
  double* PartialSumsFor(int64_t channels);

  const Gpu gpu_;
  const BackendOptions options_;
  const CurrentDevice current_;
  CudaAllocator allocator_;
  PinnedAllocator host_allocator_;
  Stream stream_, uploads_;
  Event uploaded_;
  HostCopies host_copies_{stream_.get()};
  CudnnHandle cudnn_;
  CublasHandle cublas_;
  Workspace workspace_;
  Workspace partial_sums_;          // grows with the channels
  std::shared_ptr<Buffer> result_;  // pinned, where AllFinite's arrives
  ConvChoices conv_choices_;
  std::map<std::string, std::unique_ptr<ConvAlgorithm>> conv_algorithms_;  // by ConvProblem::Key()
  int64_t direct_convolutions_ = 0;
};

// The backend of GPU `index`, or the Error that CheckGpu throws.
std::unique_ptr<Backend> NewCudaBackend(int index, const BackendOptions& options);

}  // namespace encke::cuda
