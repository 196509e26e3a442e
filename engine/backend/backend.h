// What a device must be able to compute: the primitives that layers, optimizer and executor are
// written in. backend/cpu implements them with oneDNN, backend/cuda with cuDNN, cuBLAS and own
// kernels.
//
// Tensors are NHWC. Activations and their gradients are F32 or BF16, all of one call alike;
// parameters, their gradients, statistics and optimizer state are F32 always (a backend converts
// parameters on the fly when activations are BF16). Outputs are allocated by the caller; sizes are
// checked. A method may run asynchronously on the backend's one stream, in order; Synchronize()
// waits. Not thread-safe: one thread drives a backend.
//
// "accumulate" adds to what the output holds instead of overwriting it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "compression/activation_store.h"
#include "compression/codec.h"
#include "engine/core/memory.h"
#include "engine/core/tensor.h"

namespace encke {

enum class Pass { FORWARD, BACKWARD };

inline constexpr int64_t kWorkspaceAlignment = 256;  // cuBLAS asks for that

// Sizes in pixels, of height and width apart. Padding may differ at the two ends (Keras' "same",
// Caffe's ceil mode).
struct ConvOptions {
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;  // 1 = dense
  int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  int64_t groups = 1;
};

struct PoolOptions {
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_left = 0;  // at the far ends windows simply end with the input; the
                                      // output shape says how many
  bool count_include_pad =
      false;  // average: divide by the kernel's size, not by the pixels inside the input
              // (padded area reaches pad_top/pad_left beyond either end, as in PyTorch)
};

struct LrnOptions {  // Krizhevsky et al. 2012, section 3.3, with PyTorch's and Caffe's alpha / size
  int64_t size = 5;  // channels in the window
  float alpha = 1e-4f, beta = 0.75f, k = 1.0f;
};

// What batch norm does to each channel, all [1,1,1,C] F32.
struct NormChannels {
  Tensor mean, inv_std, gamma, beta;
  bool relu = false;  // a ReLU follows
};

struct DropoutMask {
  float p = 0.5f;  // of an element to be dropped
  uint64_t seed = 0, stream = 0;
  int64_t first = 0;  // element of the mask that falls on element 0
};

struct SgdOptions {
  float learning_rate = 0.1f;
  float momentum = 0.9f;
  float weight_decay = 0.0f;
  bool nesterov = false;
  float gradient_scale = 1.0f;  // applied to the gradient first (clipping)
};

// Bytes under way from the device to the host. REQUIRES: the backend outlives it.
class HostCopy {
 public:
  virtual ~HostCopy() = default;
  // Waits until they have arrived: those of all tensors, one behind the other; owned by this.
  virtual const void* Wait() = 0;
};

// How a backend computes.
struct BackendOptions {
  bool tf32 = true;  // on a GPU, fp32 products may be rounded to tf32 (10 bits of mantissa)
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string name() const = 0;  // for people: library, version, instruction set
  virtual Allocator& allocator() = 0;
  // Host memory that the device copies from fastest; that of a CPU is its own.
  virtual Allocator& host_allocator() { return allocator(); }
  virtual bool Supports(DType compute) const = 0;
  // What the tensors of a layer may take in a slice of the batch, unless asked for otherwise.
  virtual int64_t SliceBytes() const = 0;
  // Whether larger ones take less time, so that they are worth memory that is free.
  virtual bool LargerSlicesAreFaster() const { return false; }
  // The pool that encodes saved values where they are, on the device.
  virtual std::unique_ptr<ActivationStore> NewActivationStore(const StoreOptions& options) = 0;
  // Whether that pool encodes and decodes beside the computation, so that it pays to Prefetch.
  virtual bool PoolWorksAside() const { return false; }
  // The part of WORKSPACE that this pool will need for a value that is put in this shape; `exact`:
  // without loss.
  virtual int64_t PoolScratchBytes(const Shape& value, DType dtype, Tier tier,
                                   const std::string& codec, bool exact) const {
    return StoreScratchBytes(value, dtype, tier, exact ? CodecForExact(codec) : codec);
  }
  // What the pool needs free, of the memory that values are kept in, while such a value is encoded.
  virtual int64_t PoolRoomBytes(const Shape& /*value*/, DType /*dtype*/) const { return 0; }
  virtual void Synchronize() = 0;

  // Scratch of library calls, which the plan asks for beforehand: the most that any call of a pass
  // takes.
  virtual int64_t ConvWorkspaceBytes(const ConvOptions& options, const Shape& x, const Shape& y,
                                     DType dtype, Pass pass) = 0;
  virtual int64_t FullyConnectedWorkspaceBytes(const Shape& x, const Shape& y, DType dtype,
                                               Pass pass) = 0;
  // Until memory is lent again, scratch lies in these bytes, which are the caller's, at a multiple
  // of kWorkspaceAlignment in a buffer of allocator(); nullptr: none. What they do not hold is in a
  // buffer of the backend's own, grown on demand and charged as WORKSPACE.
  virtual void LendWorkspace(void* memory, int64_t bytes) = 0;

  // Convolution. x [N,H,W,C], w [K,R,S,C/groups], y [N,P,Q,K]; bias and its gradient [1,1,1,K] or
  // null.
  virtual void ConvForward(const ConvOptions& options, const Tensor& x, const Tensor& w,
                           const Tensor* bias, const Tensor& y) = 0;
  virtual void ConvBackwardData(const ConvOptions& options, const Tensor& dy, const Tensor& w,
                                const Tensor& dx) = 0;
  virtual void ConvBackwardFilter(const ConvOptions& options, const Tensor& x, const Tensor& dy,
                                  const Tensor& dw, const Tensor* dbias, bool accumulate) = 0;

  // Fully connected: y[N,K] = x[N,C] w[K,C]^T + bias, with x's h, w, c taken together as C.
  virtual void FullyConnectedForward(const Tensor& x, const Tensor& w, const Tensor* bias,
                                     const Tensor& y) = 0;
  virtual void FullyConnectedBackwardData(const Tensor& dy, const Tensor& w, const Tensor& dx) = 0;
  virtual void FullyConnectedBackwardFilter(const Tensor& x, const Tensor& dy, const Tensor& dw,
                                            const Tensor* dbias, bool accumulate) = 0;

  // Max pooling. `index`: U8 tensor of y's shape, the winner's place kh * kernel_w + kw inside its
  // window (the first of equals); may be undefined at evaluation. REQUIRES: kernel_h * kernel_w <=
  // 256.
  virtual void MaxPoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y,
                              const Tensor& index) = 0;
  virtual void MaxPoolBackward(const PoolOptions& options, const Tensor& index, const Tensor& dy,
                               const Tensor& dx) = 0;
  virtual void AveragePoolForward(const PoolOptions& options, const Tensor& x, const Tensor& y) = 0;
  virtual void AveragePoolBackward(const PoolOptions& options, const Tensor& dy,
                                   const Tensor& dx) = 0;

  // Batch norm over n, h, w, in parts, so that a batch can go through it slice by slice.
  // Adds the slice's moments to those of the slices before, or begins anew. moments F32 [1,1,3,C]:
  // number of elements, mean, sum of squared differences from the mean.
  virtual void BatchNormMoments(const Tensor& x, const Tensor& moments, bool accumulate) = 0;
  // Once for a batch: mean and inv_std = 1 / sqrt(biased variance + epsilon) [1,1,1,C]. The running
  // ones follow as r = (1 - momentum) * r + momentum * batch, with the unbiased variance
  // (PyTorch's).
  virtual void BatchNormStatistics(float epsilon, float momentum, const Tensor& moments,
                                   const Tensor& mean, const Tensor& inv_std,
                                   const Tensor& running_mean, const Tensor& running_variance) = 0;
  // y = (x - mean) * inv_std * gamma + beta, and its ReLU where norm.relu; y may be x.
  virtual void BatchNormApply(const NormChannels& norm, const Tensor& x, const Tensor& y) = 0;
  // As Apply without ReLU, then Add of `addend`, then ReluForward where norm.relu, bit for bit; y
  // may be x or `addend`.
  virtual void BatchNormApplyAdd(const NormChannels& norm, const Tensor& x, const Tensor& addend,
                                 const Tensor& y) = 0;
  // The same with running statistics, inv_std = 1 / sqrt(variance + epsilon); y may be x.
  virtual void BatchNormInference(float epsilon, bool relu, const Tensor& x, const Tensor& gamma,
                                  const Tensor& beta, const Tensor& mean, const Tensor& variance,
                                  const Tensor& y) = 0;
  // The x for which Apply without ReLU, and a shortcut added, gives `sum`:
  // x = mean + (sum - shortcut - beta) / (inv_std * gamma). x may be `sum`. REQUIRES: gamma != 0.
  virtual void BatchNormInvert(const NormChannels& norm, const Tensor& sum, const Tensor& shortcut,
                               const Tensor& x) = 0;
  // sums F32 [1,1,2,C]: sum of dy, sum of dy * (x - mean) * inv_std, over the slices so far. With
  // norm.relu dy counts only where the output was above 0: as `y` says, or, where that is
  // undefined, as computing it again from x says.
  virtual void BatchNormBackwardSums(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                     const Tensor& dy, const Tensor& sums, bool accumulate) = 0;
  // `sums` of the whole batch, which has `count` elements a channel; dx may be dy.
  virtual void BatchNormBackwardApply(const NormChannels& norm, const Tensor& x, const Tensor& y,
                                      const Tensor& sums, int64_t count, const Tensor& dy,
                                      const Tensor& dx) = 0;
  virtual void BatchNormParameterGradients(const Tensor& sums, const Tensor& dgamma,
                                           const Tensor& dbeta, bool accumulate) = 0;

  // y = max(x, 0); y may be x. NaN passes, so that a failure is seen where it starts.
  virtual void ReluForward(const Tensor& x, const Tensor& y) = 0;
  // dx = y > 0 ? dy : 0; dx may be dy.
  virtual void ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) = 0;
  // `bits`: U8 tensor of at least (elements + 7) / 8 bytes, bit i % 8 of byte i / 8 is x[i] > 0.
  virtual void PackMask(const Tensor& x, const Tensor& bits) = 0;
  virtual void ReluBackwardFromMask(const Tensor& bits, const Tensor& dy, const Tensor& dx) = 0;

  // Local response normalisation across channels.
  virtual void LrnForward(const LrnOptions& options, const Tensor& x, const Tensor& y) = 0;
  virtual void LrnBackward(const LrnOptions& options, const Tensor& x, const Tensor& dy,
                           const Tensor& dx) = 0;

  // y[i] = keep(seed, stream, first + i) ? x[i] / (1 - p) : 0, a pure function of its arguments
  // (`first`: where a slice begins); y may be x. The same call on the gradient is the backward
  // pass.
  virtual void Dropout(const DropoutMask& mask, const Tensor& x, const Tensor& y) = 0;

  // y = a + b; y may be a or b.
  virtual void Add(const Tensor& a, const Tensor& b, const Tensor& y) = 0;
  // As Add, then ReluForward, bit for bit; y may be a or b.
  virtual void AddRelu(const Tensor& a, const Tensor& b, const Tensor& y) = 0;
  // dx = y > 0 ? a + b : 0, two contributions to dy; dx may be a or b.
  virtual void AddReluBackward(const Tensor& y, const Tensor& a, const Tensor& b,
                               const Tensor& dx) = 0;
  // dst[..., dst_channel : dst_channel + channels] = src[..., src_channel : src_channel + channels]
  virtual void CopyChannels(const Tensor& src, int64_t src_channel, const Tensor& dst,
                            int64_t dst_channel, int64_t channels) = 0;
  // dst = src, converted between F32 and BF16 where they differ.
  virtual void Copy(const Tensor& src, const Tensor& dst) = 0;
  virtual void Fill(const Tensor& x, float value) = 0;
  // x U8 with elements below 2^bits (bits 1, 2 or 4), `packed` U8 of at least (elements * bits + 7)
  // / 8 bytes: element i takes bits [i * bits, (i + 1) * bits), low bits first.
  virtual void PackBits(const Tensor& x, int bits, const Tensor& packed) = 0;
  virtual void UnpackBits(const Tensor& packed, int bits, const Tensor& x) = 0;
  // Waits for the stream.
  virtual void CopyToHost(const Tensor& src, void* dst) = 0;
  // What is at `src` may change afterwards. May wait for the stream, too.
  virtual void CopyFromHost(const void* src, const Tensor& dst) = 0;
  // As CopyFromHost, but beside the work issued before, none of which uses `dst`, and perhaps
  // without waiting: `src` must stay until numbers that were computed later are on the host.
  virtual void BeginCopyFromHost(const void* src, const Tensor& dst) { CopyFromHost(src, dst); }
  // Begins to copy tensors, small ones, as they are at this point of the stream; waits for nothing.
  virtual std::unique_ptr<HostCopy> StartCopyToHost(const std::vector<Tensor>& tensors) = 0;
  // y = (image / 255 - mean[c]) / std[c]; image U8 [N,H,W,C], C entries each.
  virtual void NormalizeImage(const Tensor& image, const std::vector<float>& mean,
                              const std::vector<float>& std, const Tensor& y) = 0;

  // Softmax and cross-entropy over c. labels I32 [N]; label smoothing s as in PyTorch: target
  // (1-s)*onehot + s/C. probabilities F32 of logits' shape, loss F32 [N].
  virtual void SoftmaxCrossEntropyForward(const Tensor& logits, const Tensor& labels,
                                          float smoothing, const Tensor& probabilities,
                                          const Tensor& loss) = 0;
  // dlogits = scale * (probabilities - target)
  virtual void SoftmaxCrossEntropyBackward(const Tensor& probabilities, const Tensor& labels,
                                           float smoothing, float scale, const Tensor& dlogits) = 0;

  // Pixels of x that are equal in `channels` of its channels, evenly spread, repeat one another.
  // `number` (U8, 8 bytes, for MarkPixels): which of them is met most often, among at most
  // kMostSampledPixels (pixel_number.h) that are spread over x; none where none is met twice. Those
  // that are 0 in all these channels do not count.
  virtual void FindRepeatedPixel(const Tensor& x, int64_t channels, const Tensor& number) = 0;
  // image [N,H,W,any] = 1 in all channels where the pixel of x is the one of that number (or,
  // unless `repeated`, where it is not), else 0. `channels` as for FindRepeatedPixel.
  virtual void MarkPixels(const Tensor& x, int64_t channels, const Tensor& number, bool repeated,
                          const Tensor& image) = 0;

  // Reductions, in double, returned to the host (they wait for the stream).
  virtual double SumOfSquares(const Tensor& x) = 0;
  virtual double SumOfMagnitudes(const Tensor& x) = 0;
  // The same as a copy of one double, which waits for nothing (StartCopyToHost).
  virtual std::unique_ptr<HostCopy> StartSumOfSquares(const Tensor& x) = 0;
  virtual std::unique_ptr<HostCopy> StartSumOfMagnitudes(const Tensor& x) = 0;
  virtual bool AllFinite(const std::vector<Tensor>& tensors) = 0;
  bool AllFinite(const Tensor& x) { return AllFinite(std::vector<Tensor>{x}); }

  // g = gradient_scale * dw + weight_decay * w;  v = momentum * v + g;  w -= learning_rate *
  // (nesterov ? g + momentum*v : v) (PyTorch's form.) velocity may be undefined when momentum is 0.
  virtual void SgdStep(const SgdOptions& options, const Tensor& w, const Tensor& dw,
                       const Tensor& velocity) = 0;
  // average = decay * average + (1 - decay) * x
  virtual void UpdateAverage(float decay, const Tensor& x, const Tensor& average) = 0;
};

// The backend of `device`. Error(DEVICE) when this build or this machine has none.
std::unique_ptr<Backend> NewBackend(const Device& device, const BackendOptions& options = {});

}  // namespace encke
