// Which pixels repeat one another.
#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/kernels.cuh"
#include "engine/backend/cuda/pixel_ops.h"

namespace encke::cuda {
namespace {

static_assert(kMostSampledPixels * (sizeof(uint64_t) + sizeof(int32_t)) <=
                  2 * kMaxSumBlocks * sizeof(double) * 32 * 8,
              "a sample fits where partial sums do");

int64_t Pixels(const Tensor& x) { return x.elements() / x.shape().c; }

// Calls f(numbers, T()) with the PixelNumbers of x, which are of T.
template <typename F>
void WithNumbers(const Tensor& x, int64_t channels, const F& f) {
  ENCKE_CHECK(channels > 0 && channels <= x.shape().c, channels, " of ", x.shape().c);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    f(PixelNumbers<T>(x.data<T>(), x.shape().c, channels), type);
  });
}

// By one block.
__global__ void __launch_bounds__(kThreads)
    MostFrequentKernel(int64_t sampled, const uint64_t* sample, const int32_t* counts,
                       uint64_t* number) {
  __shared__ uint64_t numbers[kThreads];
  __shared__ int32_t most[kThreads];
  PixelCount best;
  for (int64_t i = threadIdx.x; i < sampled; i += kThreads) {
    best = MoreOften(best, {sample[i], counts[i]});
  }
  numbers[threadIdx.x] = best.number;
  most[threadIdx.x] = best.count;
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) {
      const unsigned other = threadIdx.x + half;
      best = MoreOften(best, {numbers[other], most[other]});
      numbers[threadIdx.x] = best.number;
      most[threadIdx.x] = best.count;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *number = best.number;
}

}  // namespace

void CudaBackend::FindRepeatedPixel(const Tensor& x, int64_t channels, const Tensor& number) {
  ENCKE_CHECK(number.bytes() == sizeof(uint64_t), number.bytes());
  const int64_t pixels = Pixels(x), sampled = SampledPixels(pixels);
  auto* sample = reinterpret_cast<uint64_t*>(PartialSumsFor(1));
  auto* counts = reinterpret_cast<int32_t*>(sample + kMostSampledPixels);
  WithNumbers(x, channels, [&](const auto& numbers, auto type) {
    Each(stream_.get(), sampled, SamplePixelOp<decltype(type)>{numbers, sampled, pixels, sample});
  });
  Each(stream_.get(), sampled, CountPixelOp{sample, sampled, counts});
  MostFrequentKernel<<<1, kThreads, 0, stream_.get()>>>(sampled, sample, counts,
                                                        static_cast<uint64_t*>(number.raw()));
  ENCKE_CUDA(cudaGetLastError());
}

void CudaBackend::MarkPixels(const Tensor& x, int64_t channels, const Tensor& number, bool repeated,
                             const Tensor& image) {
  ENCKE_CHECK(number.bytes() == sizeof(uint64_t), number.bytes());
  ENCKE_CHECK(Pixels(image) == Pixels(x) && image.dtype() == x.dtype(), image.shape().ToString());
  WithNumbers(x, channels, [&](const auto& numbers, auto type) {
    using T = decltype(type);
    Each(stream_.get(), image.elements(),
         MarkPixelOp<T>{numbers, static_cast<const uint64_t*>(number.raw()), repeated,
                        image.shape().c, image.data<T>()});
  });
}

}  // namespace encke::cuda
