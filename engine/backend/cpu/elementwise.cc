// Primitives that treat each element, or each run of channels, by itself.
#include <algorithm>
#include <array>
#include <cstring>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/core/error.h"

namespace encke::cpu {
namespace {

void CopyBytes(const void* from, void* to, int64_t bytes) {
  ParallelFor(bytes, 4 * kElementGrain, [=](int64_t begin, int64_t end) {
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                end - begin);
  });
}

class FinishedCopy : public HostCopy {
 public:
  void Append(const Tensor& tensor) {
    const auto* from = static_cast<const uint8_t*>(tensor.raw());
    bytes_.insert(bytes_.end(), from, from + tensor.bytes());
  }
  const void* Wait() override { return bytes_.data(); }

 private:
  std::vector<uint8_t> bytes_;
};

}  // namespace

void CpuBackend::Add(const Tensor& a, const Tensor& b, const Tensor& y) {
  CheckAlike(a, b);
  CheckAlike(a, y);
  WithFloatType(a.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* pa = Elements<T>(a);
    const T* pb = Elements<T>(b);
    T* py = Elements<T>(y);
    ParallelSimd(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) py[i] = Narrow<T>(Widen(pa[i]) + Widen(pb[i]));
    });
  });
}

void CpuBackend::AddRelu(const Tensor& a, const Tensor& b, const Tensor& y) {
  CheckAlike(a, b);
  CheckAlike(a, y);
  WithFloatType(a.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* pa = Elements<T>(a);
    const T* pb = Elements<T>(b);
    T* py = Elements<T>(y);
    ParallelSimd(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float sum = Widen(pa[i]) + Widen(pb[i]);
        py[i] = Narrow<T>(sum <= 0.0f ? 0.0f : sum);  // false for NaN
      }
    });
  });
}

void CpuBackend::AddReluBackward(const Tensor& y, const Tensor& a, const Tensor& b,
                                 const Tensor& dx) {
  CheckAlike(y, a);
  CheckAlike(y, b);
  CheckAlike(y, dx);
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    const T* py = Elements<T>(y);
    const T* pa = Elements<T>(a);
    const T* pb = Elements<T>(b);
    T* to = Elements<T>(dx);
    ParallelSimd(y.elements(), kElementGrain, [=](int64_t begin, int64_t end) ENCKE_INLINE {
#pragma omp simd
      for (int64_t i = begin; i < end; ++i) {
        const float sum = Widen(pa[i]) + Widen(pb[i]);
        to[i] = Narrow<T>(Widen(py[i]) > 0.0f ? sum : 0.0f);
      }
    });
  });
}

void CpuBackend::CopyChannels(const Tensor& src, int64_t src_channel, const Tensor& dst,
                              int64_t dst_channel, int64_t channels) {
  const Shape s = src.shape(), d = dst.shape();
  ENCKE_CHECK(s.n == d.n && s.h == d.h && s.w == d.w, s.ToString(), " to ", d.ToString());
  ENCKE_CHECK(src_channel >= 0 && src_channel + channels <= s.c, src_channel, " + ", channels);
  ENCKE_CHECK(dst_channel >= 0 && dst_channel + channels <= d.c, dst_channel, " + ", channels);
  ENCKE_CHECK(src.dtype() == dst.dtype(), NameOf(src.dtype()), " to ", NameOf(dst.dtype()));
  const int64_t size = SizeOf(src.dtype()), bytes = channels * size;
  const char* from = static_cast<const char*>(src.raw()) + src_channel * size;
  char* to = static_cast<char*>(dst.raw()) + dst_channel * size;
  ParallelFor(s.n * s.h * s.w, RowGrain(channels), [=](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      std::memcpy(to + row * d.c * size, from + row * s.c * size, bytes);
  });
}

void CpuBackend::Copy(const Tensor& src, const Tensor& dst) {
  ENCKE_CHECK(src.elements() == dst.elements(), src.elements(), " to ", dst.elements());
  if (src.dtype() == dst.dtype()) {
    CopyBytes(src.raw(), dst.raw(), src.bytes());
  } else if (src.dtype() == DType::F32) {
    Convert(src.data<float>(), Elements<Bf16Bits>(dst), src.elements());
  } else {
    Convert(Elements<Bf16Bits>(src), dst.data<float>(), src.elements());
  }
}

void CpuBackend::CopyToHost(const Tensor& src, void* dst) {
  CopyBytes(src.raw(), dst, src.bytes());
}

void CpuBackend::CopyFromHost(const void* src, const Tensor& dst) {
  CopyBytes(src, dst.raw(), dst.bytes());
}

std::unique_ptr<HostCopy> CpuBackend::StartCopyToHost(const std::vector<Tensor>& tensors) {
  auto copy = std::make_unique<FinishedCopy>();
  for (const Tensor& tensor : tensors) copy->Append(tensor);
  return copy;
}

void CpuBackend::Fill(const Tensor& x, float value) {
  WithFloatType(x.dtype(), [&](auto type) {
    using T = decltype(type);
    T* data = Elements<T>(x);
    ParallelFor(x.elements(), kElementGrain, [=](int64_t begin, int64_t end) {
      std::fill(data + begin, data + end, Narrow<T>(value));
    });
  });
}

void CpuBackend::NormalizeImage(const Tensor& image, const std::vector<float>& mean,
                                const std::vector<float>& std, const Tensor& y) {
  CheckSameShape(image, y);
  const int64_t channels = image.shape().c;
  ENCKE_CHECK(
      static_cast<int64_t>(mean.size()) == channels && static_cast<int64_t>(std.size()) == channels,
      mean.size(), " and ", std.size(), " for ", channels);
  const uint8_t* from = image.data<uint8_t>();
  WithFloatType(y.dtype(), [&](auto type) {
    using T = decltype(type);
    T* to = Elements<T>(y);
    std::vector<std::array<T, 256>> table(channels);  // what each byte becomes
    for (int64_t c = 0; c < channels; ++c) {
      for (int v = 0; v < 256; ++v)
        table[c][v] = Narrow<T>((static_cast<float>(v) / 255.0f - mean[c]) / std[c]);
    }
    ParallelFor(y.elements() / channels, RowGrain(channels), [&](int64_t begin, int64_t end) {
      for (int64_t pixel = begin; pixel < end; ++pixel) {
        for (int64_t c = 0; c < channels; ++c)
          to[pixel * channels + c] = table[c][from[pixel * channels + c]];
      }
    });
  });
}

}  // namespace encke::cpu
