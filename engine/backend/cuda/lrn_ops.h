// Functors of local response normalisation; the formulas are in engine/backend/cpu/lrn.cc. Windows
// are short, so each element computes the scales that it needs anew.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/value.h"

namespace encke::cuda {

// What a pixel's channels need to know of each other.
template <typename T>
struct LrnPixel {
  LrnOptions o;
  int64_t channels;
  const T* x;  // channel 0 of the pixel

  // k + alpha / size * sum of x_j^2 over the window of c.
  ENCKE_HOST_DEVICE float Scale(int64_t c) const {
    const int64_t begin = std::max<int64_t>(c - o.size / 2, 0);
    const int64_t end = std::min(c + (o.size - 1) / 2 + 1, channels);
    float sum = 0.0f;
    for (int64_t j = begin; j < end; ++j) sum += Widen(x[j]) * Widen(x[j]);
    return o.k + o.alpha / static_cast<float>(o.size) * sum;
  }
  ENCKE_HOST_DEVICE float NegativePower(float scale) const {
    if (o.beta != 0.75f) return powf(scale, -o.beta);
    const float root = sqrtf(scale);
    return 1.0f / (root * sqrtf(root));
  }
};

template <typename T>
struct LrnOp {
  LrnOptions o;
  int64_t channels;
  const T* x;
  T* y;

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t c = Modulo(i, channels);
    const LrnPixel<T> pixel = {o, channels, x + (i - c)};
    y[i] = Narrow<T>(Widen(x[i]) * pixel.NegativePower(pixel.Scale(c)));
  }
};

template <typename T>
struct LrnGradientOp {
  LrnOptions o;
  int64_t channels;
  const T *x, *dy;
  T* dx;

  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t c = Modulo(i, channels), first = i - c;
    const LrnPixel<T> pixel = {o, channels, x + first};
    // Those whose window holds c: windows seen from the other end.
    const int64_t begin = std::max<int64_t>(c - (o.size - 1) / 2, 0);
    const int64_t end = std::min(c + o.size / 2 + 1, channels);
    float sum = 0.0f, own_power = 0.0f;
    for (int64_t j = begin; j < end; ++j) {
      const float scale = pixel.Scale(j), power = pixel.NegativePower(scale);
      sum += Widen(dy[first + j]) * Widen(x[first + j]) * power / scale;
      if (j == c) own_power = power;
    }
    const float factor = 2.0f * o.alpha * o.beta / static_cast<float>(o.size);
    dx[i] = Narrow<T>(Widen(dy[i]) * own_power - factor * Widen(x[i]) * sum);
  }
};

}  // namespace encke::cuda
