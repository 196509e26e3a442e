// Which pixels repeat one another.
#include <algorithm>
#include <vector>

#include "engine/backend/cpu/cpu_backend.h"
#include "engine/backend/cpu/simd.h"
#include "engine/backend/pixel_number.h"

namespace encke::cpu {
namespace {

int64_t Pixels(const Tensor& x) { return x.elements() / x.shape().c; }

// Calls f(numbers) with the PixelNumbers of x.
template <typename F>
void WithNumbers(const Tensor& x, int64_t channels, const F& f) {
  ENCKE_CHECK(channels > 0 && channels <= x.shape().c, channels, " of ", x.shape().c);
  if (x.dtype() == DType::F32) {
    f(PixelNumbers<float>(x.data<float>(), x.shape().c, channels));
  } else {
    f(PixelNumbers<bfloat16>(x.data<bfloat16>(), x.shape().c, channels));
  }
}

// But for 0.
uint64_t MostFrequent(std::vector<uint64_t> numbers) {
  numbers.erase(std::remove(numbers.begin(), numbers.end(), 0), numbers.end());
  std::sort(numbers.begin(), numbers.end());
  PixelCount most;
  for (auto begin = numbers.begin(); begin != numbers.end();) {
    const auto end = std::find_if(begin, numbers.end(), [=](uint64_t n) { return n != *begin; });
    most = MoreOften(most, {*begin, static_cast<int32_t>(end - begin)});
    begin = end;
  }
  return most.number;
}

}  // namespace

void CpuBackend::FindRepeatedPixel(const Tensor& x, int64_t channels, const Tensor& number) {
  const int64_t pixels = Pixels(x), sampled = SampledPixels(pixels);
  std::vector<uint64_t> sample(sampled);
  WithNumbers(x, channels, [&](const auto& numbers) {
    ParallelFor(sampled, RowGrain(channels), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) sample[i] = numbers(SampledPixel(i, sampled, pixels));
    });
  });
  const uint64_t found = MostFrequent(std::move(sample));
  ENCKE_CHECK(number.bytes() == sizeof(found), number.bytes());
  std::memcpy(number.raw(), &found, sizeof(found));
}

void CpuBackend::MarkPixels(const Tensor& x, int64_t channels, const Tensor& number, bool repeated,
                            const Tensor& image) {
  uint64_t wanted;
  ENCKE_CHECK(number.bytes() == sizeof(wanted), number.bytes());
  std::memcpy(&wanted, number.raw(), sizeof(wanted));
  const int64_t pixels = Pixels(x), width = image.shape().c;
  ENCKE_CHECK(Pixels(image) == pixels && image.dtype() == x.dtype(), image.shape().ToString());
  WithNumbers(x, channels, [&](const auto& numbers) {
    WithFloatType(image.dtype(), [&](auto type) {
      using T = decltype(type);
      T* to = Elements<T>(image);
      ParallelFor(pixels, RowGrain(channels + width), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const bool marked = (wanted != 0 && numbers(i) == wanted) == repeated;
          std::fill_n(to + i * width, width, Narrow<T>(marked ? 1.0f : 0.0f));
        }
      });
    });
  });
}

}  // namespace encke::cpu
