// Functors of the element-wise primitives: the new value of element i from the old ones.
#pragma once

#include <cmath>
#include <cstdint>

#include "engine/backend/backend.h"
#include "engine/backend/cuda/value.h"
#include "engine/core/philox.h"
#include "engine/core/rng.h"

namespace encke::cuda {

struct ReluOp {
  ENCKE_HOST_DEVICE float operator()(int64_t, float x) const {
    return x <= 0.0f ? 0.0f : x;  // false for NaN, which passes
  }
};

struct ReluGradientOp {
  ENCKE_HOST_DEVICE float operator()(int64_t, float y, float dy) const {
    return y > 0.0f ? dy : 0.0f;
  }
};

struct AddOp {
  ENCKE_HOST_DEVICE float operator()(int64_t, float a, float b) const { return a + b; }
};

struct AddReluOp {
  ENCKE_HOST_DEVICE float operator()(int64_t i, float a, float b) const {
    return ReluOp()(i, a + b);
  }
};

struct AddReluGradientOp {
  ENCKE_HOST_DEVICE float operator()(int64_t, float y, float a, float b) const {
    return y > 0.0f ? a + b : 0.0f;
  }
};

struct CopyOp {
  ENCKE_HOST_DEVICE float operator()(int64_t, float x) const { return x; }
};

struct FillOp {
  float value;
  ENCKE_HOST_DEVICE float operator()(int64_t) const { return value; }
};

// x + bias of its channel.
struct BiasOp {
  const float* bias;
  int64_t channels;
  ENCKE_HOST_DEVICE float operator()(int64_t i, float x) const {
    return x + bias[Modulo(i, channels)];
  }
};

// The mask of engine/backend/cpu/dropout.cc, bit for bit.
struct DropoutOp {
  explicit DropoutOp(const DropoutMask& mask)
      : key(mask.seed ^ (static_cast<uint64_t>(RngStream::DROPOUT) << 56)),
        high(mask.stream),
        first(static_cast<uint64_t>(mask.first)),
        threshold(static_cast<uint32_t>(std::ldexp(static_cast<double>(mask.p), 32))),
        scale(1.0f / (1.0f - mask.p)) {}

  ENCKE_HOST_DEVICE float operator()(int64_t i, float x) const {
    const uint64_t place = first + static_cast<uint64_t>(i);
    const PhiloxBlock block = Philox(key, high, place / 4);
    return block.words[place % 4] >= threshold ? x * scale : 0.0f;
  }

  uint64_t key, high, first;
  uint32_t threshold;
  float scale;
};

inline constexpr int kMaxImageChannels = 16;

struct NormalizeImageOp {
  int64_t channels;
  float mean[kMaxImageChannels], std[kMaxImageChannels];
  ENCKE_HOST_DEVICE float operator()(int64_t i, float byte) const {
    const int64_t c = Modulo(i, channels);
    return (byte / 255.0f - mean[c]) / std[c];
  }
};

struct AverageOp {
  float decay;
  ENCKE_HOST_DEVICE float operator()(int64_t, float average, float x) const {
    return decay * average + (1.0f - decay) * x;
  }
};

// Updates w[i] and velocity[i], which is null without momentum.
struct SgdOp {
  SgdOptions o;
  const float* dw;
  float *w, *velocity;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const float g = o.gradient_scale * dw[i] + o.weight_decay * w[i];
    if (velocity == nullptr) {
      w[i] -= o.learning_rate * g;
      return;
    }
    const float v = o.momentum * velocity[i] + g;
    velocity[i] = v;
    w[i] -= o.learning_rate * (o.nesterov ? g + o.momentum * v : v);
  }
};

// One element of `channels` copied from channel `src_channel` on; T is a unit of memory that may
// hold several elements, and everything is counted in it.
template <typename T>
struct CopyChannelsOp {
  const T* src;
  int64_t src_channels, src_channel;
  T* dst;
  int64_t dst_channels, dst_channel;
  int64_t channels;
  ENCKE_HOST_DEVICE void operator()(int64_t i) const {
    const int64_t row = Divide(i, channels), c = i - row * channels;
    dst[row * dst_channels + dst_channel + c] = src[row * src_channels + src_channel + c];
  }
};

}  // namespace encke::cuda
