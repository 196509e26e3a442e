// Primitives that treat each element by itself, and copies.
#include <algorithm>

#include "engine/backend/cuda/cuda_backend.h"
#include "engine/backend/cuda/elementwise_ops.h"
#include "engine/backend/cuda/kernels.cuh"

namespace encke::cuda {
namespace {

template <typename T>
void CopyUnits(cudaStream_t stream, int64_t rows, const void* src, int64_t src_channels,
               int64_t src_channel, void* dst, int64_t dst_channels, int64_t dst_channel,
               int64_t channels) {
  constexpr int64_t kUnit = sizeof(T);
  Each(stream, rows * channels / kUnit,
       CopyChannelsOp<T>{static_cast<const T*>(src), src_channels / kUnit, src_channel / kUnit,
                         static_cast<T*>(dst), dst_channels / kUnit, dst_channel / kUnit,
                         channels / kUnit});
}

}  // namespace

void CudaBackend::ReluForward(const Tensor& x, const Tensor& y) {
  CheckAlike(x, y);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), x.elements(), ReluOp(), y.data<T>(), x.data<T>());
  });
}

void CudaBackend::ReluBackward(const Tensor& y, const Tensor& dy, const Tensor& dx) {
  CheckAlike(y, dy);
  CheckAlike(dy, dx);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), y.elements(), ReluGradientOp(), dx.data<T>(), y.data<T>(), dy.data<T>());
  });
}

void CudaBackend::Dropout(const DropoutMask& mask, const Tensor& x, const Tensor& y) {
  ENCKE_CHECK(mask.p >= 0.0f && mask.p < 1.0f && mask.first >= 0, mask.p, mask.first);
  CheckAlike(x, y);
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), x.elements(), DropoutOp(mask), y.data<T>(), x.data<T>());
  });
}

void CudaBackend::Add(const Tensor& a, const Tensor& b, const Tensor& y) {
  CheckAlike(a, b);
  CheckAlike(a, y);
  WithFloatType(a.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), y.elements(), AddOp(), y.data<T>(), a.data<T>(), b.data<T>());
  });
}

void CudaBackend::AddRelu(const Tensor& a, const Tensor& b, const Tensor& y) {
  CheckAlike(a, b);
  CheckAlike(a, y);
  WithFloatType(a.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), y.elements(), AddReluOp(), y.data<T>(), a.data<T>(), b.data<T>());
  });
}

void CudaBackend::AddReluBackward(const Tensor& y, const Tensor& a, const Tensor& b,
                                  const Tensor& dx) {
  CheckAlike(y, a);
  CheckAlike(y, b);
  CheckAlike(y, dx);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), y.elements(), AddReluGradientOp(), dx.data<T>(), y.data<T>(), a.data<T>(),
        b.data<T>());
  });
}

void CudaBackend::AddBias(const Tensor& y, const Tensor& bias) {
  ENCKE_CHECK(bias.elements() == y.shape().c, bias.elements(), " for ", y.shape().c);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), y.elements(), BiasOp{bias.data<float>(), y.shape().c}, y.data<T>(),
        y.data<T>());
  });
}

void CudaBackend::AddFilterGradient(const void* gradient, DType dtype, float* dw, int64_t n) {
  WithFloatType(dtype, [&](auto type) {
    using T = decltype(type);
    Map(stream_.get(), n, AddOp(), dw, dw, static_cast<const T*>(gradient));
  });
}

void CudaBackend::CopyChannels(const Tensor& src, int64_t src_channel, const Tensor& dst,
                               int64_t dst_channel, int64_t channels) {
  const Shape s = src.shape(), d = dst.shape();
  ENCKE_CHECK(s.n == d.n && s.h == d.h && s.w == d.w, s.ToString(), " to ", d.ToString());
  ENCKE_CHECK(src_channel >= 0 && src_channel + channels <= s.c, src_channel, " + ", channels);
  ENCKE_CHECK(dst_channel >= 0 && dst_channel + channels <= d.c, dst_channel, " + ", channels);
  ENCKE_CHECK(src.dtype() == dst.dtype(), NameOf(src.dtype()), " to ", NameOf(dst.dtype()));
  // In the largest unit of memory that everything is a multiple of.
  const int64_t size = SizeOf(src.dtype());
  const uint64_t all =
      reinterpret_cast<uintptr_t>(src.raw()) | reinterpret_cast<uintptr_t>(dst.raw()) |
      static_cast<uint64_t>((s.c | src_channel | d.c | dst_channel | channels) * size);
  const auto copy = [&](auto unit) {
    CopyUnits<decltype(unit)>(stream_.get(), s.n * s.h * s.w, src.raw(), s.c * size,
                              src_channel * size, dst.raw(), d.c * size, dst_channel * size,
                              channels * size);
  };
  if (all % 16 == 0) return copy(uint4());
  if (all % 4 == 0) return copy(uint32_t());
  if (all % 2 == 0) return copy(uint16_t());
  copy(uint8_t());
}

void CudaBackend::ConvertBuffer(const void* from, DType from_type, void* to, DType to_type,
                                int64_t n) {
  if (from_type == to_type) {
    ENCKE_CUDA(
        cudaMemcpyAsync(to, from, n * SizeOf(to_type), cudaMemcpyDeviceToDevice, stream_.get()));
    return;
  }
  WithFloatType(from_type, [&](auto from_value) {
    WithFloatType(to_type, [&](auto to_value) {
      Map(stream_.get(), n, CopyOp(), static_cast<decltype(to_value)*>(to),
          static_cast<const decltype(from_value)*>(from));
    });
  });
}

void CudaBackend::Copy(const Tensor& src, const Tensor& dst) {
  ENCKE_CHECK(src.elements() == dst.elements(), src.elements(), " to ", dst.elements());
  ConvertBuffer(src.raw(), src.dtype(), dst.raw(), dst.dtype(), src.elements());
}

void CudaBackend::Fill(const Tensor& x, float value) {
  WithFloatType(x.dtype(), [&](auto type) {
    Map(stream_.get(), x.elements(), FillOp{value}, x.data<decltype(type)>());
  });
}

void CudaBackend::BeginCopyFromHost(const void* src, const Tensor& dst) {
  ENCKE_CUDA(cudaMemcpyAsync(dst.raw(), src, dst.bytes(), cudaMemcpyHostToDevice, uploads_.get()));
  uploaded_.Record(uploads_.get());
  uploaded_.HoldBack(stream_.get());
}

void CudaBackend::NormalizeImage(const Tensor& image, const std::vector<float>& mean,
                                 const std::vector<float>& std, const Tensor& y) {
  CheckSameShape(image, y);
  const int64_t channels = image.shape().c;
  ENCKE_CHECK(channels <= kMaxImageChannels, channels);
  ENCKE_CHECK(
      static_cast<int64_t>(mean.size()) == channels && static_cast<int64_t>(std.size()) == channels,
      mean.size(), " and ", std.size(), " for ", channels);
  NormalizeImageOp op;
  op.channels = channels;
  std::copy(mean.begin(), mean.end(), op.mean);
  std::copy(std.begin(), std.end(), op.std);
  WithFloatType(y.dtype(), [&](auto type) {
    Map(stream_.get(), y.elements(), op, y.data<decltype(type)>(), image.data<uint8_t>());
  });
}

void CudaBackend::SgdStep(const SgdOptions& options, const Tensor& w, const Tensor& dw,
                          const Tensor& velocity) {
  CheckSameShape(w, dw);
  if (velocity.defined()) CheckSameShape(w, velocity);
  ENCKE_CHECK(velocity.defined() || options.momentum == 0.0f, options.momentum);
  Each(stream_.get(), w.elements(),
       SgdOp{options, dw.data<float>(), w.data<float>(),
             velocity.defined() ? velocity.data<float>() : nullptr});
}

void CudaBackend::UpdateAverage(float decay, const Tensor& x, const Tensor& average) {
  CheckSameShape(x, average);
  Map(stream_.get(), x.elements(), AverageOp{decay}, average.data<float>(), average.data<float>(),
      x.data<float>());
}

}  // namespace encke::cuda
