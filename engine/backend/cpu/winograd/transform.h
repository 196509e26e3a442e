// The transforms of winograd/kernels.h for vectors V of channels.
//
// One dimension interpolates polynomials at the points 0, a, -a, b, -b and infinity (Toom-Cook).
// With m(x) = x (x^2 - a^2) (x^2 - b^2) and N(p) = m'(p),
//
//   B^T  rows: coefficients of m(x) / (x - p); of m(x) for infinity
//   G    rows: (1, p, p^2) / N(p); (0, 0, 1)
//   A    rows: (1, p, p^2, p^3); (0, 0, 0, 1)
//
// Results are exact in exact arithmetic whatever a and b are. a = 5/8, b = 3/2 keep all entries
// near 1, so that little is cancelled; both are exact in binary.
#pragma once

#include <cstdint>

#include "engine/backend/cpu/winograd/kernels.h"

namespace encke::cpu::winograd {

constexpr float kA = 0.625f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB;
constexpr float kN0 = 1.0f / (kA2 * kB2);  // 1 / N(p)
constexpr float kNa = 1.0f / (2.0f * kA2 * (kA2 - kB2));
constexpr float kNb = 1.0f / (2.0f * kB2 * (kB2 - kA2));

// x[i * step] for i = 0, 1, ...
template <typename V>
struct Line {
  V* x;
  int64_t step;
  V& operator[](int64_t i) const { return x[i * step]; }
};

// 6 to 6: B^T
template <typename V>
struct InputStep {
  static constexpr int kFrom = 6, kTo = 6;
  static void Apply(const Line<V>& d, const Line<V>& out) {
    const V even_a = Fma(d[2], -kB2, d[4]), odd_a = Fma(d[1], -kB2, d[3]) * V(kA);
    const V even_b = Fma(d[2], -kA2, d[4]), odd_b = Fma(d[1], -kA2, d[3]) * V(kB);
    const V first = Fma(d[0], kA2 * kB2, Fma(d[2], -(kA2 + kB2), d[4]));
    const V last = Fma(d[1], kA2 * kB2, Fma(d[3], -(kA2 + kB2), d[5]));
    out[0] = first;
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = last;
  }
};

// 4 to 6: A
template <typename V>
struct GradientStep {
  static constexpr int kFrom = 4, kTo = 6;
  static void Apply(const Line<V>& d, const Line<V>& out) {
    const V even_a = Fma(d[2], kA2, d[0]), odd_a = Fma(d[3], kA2, d[1]) * V(kA);
    const V even_b = Fma(d[2], kB2, d[0]), odd_b = Fma(d[3], kB2, d[1]) * V(kB);
    out[0] = d[0];
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = d[3];
  }
};

// 3 to 6: G
template <typename V>
struct FilterStep {
  static constexpr int kFrom = 3, kTo = 6;
  static void Apply(const Line<V>& g, const Line<V>& out) {
    const V even_a = Fma(g[2], kA2, g[0]) * V(kNa), odd_a = g[1] * V(kA * kNa);
    const V even_b = Fma(g[2], kB2, g[0]) * V(kNb), odd_b = g[1] * V(kB * kNb);
    out[0] = g[0] * V(kN0);
    out[1] = even_a + odd_a;
    out[2] = even_a - odd_a;
    out[3] = even_b + odd_b;
    out[4] = even_b - odd_b;
    out[5] = g[2];
  }
};

// 6 to 4: A^T
template <typename V>
struct OutputStep {
  static constexpr int kFrom = 6, kTo = 4;
  static void Apply(const Line<V>& m, const Line<V>& out) {
    const V even_a = m[1] + m[2], odd_a = (m[1] - m[2]) * V(kA);
    const V even_b = m[3] + m[4], odd_b = (m[3] - m[4]) * V(kB);
    out[0] = m[0] + even_a + even_b;
    out[1] = odd_a + odd_b;
    out[2] = Fma(even_a, kA2, even_b * V(kB2));
    out[3] = Fma(odd_a, kA2, Fma(odd_b, kB2, m[5]));
  }
};

// 6 to 3: G^T
template <typename V>
struct FilterGradientStep {
  static constexpr int kFrom = 6, kTo = 3;
  static void Apply(const Line<V>& m, const Line<V>& out) {
    const V even_a = (m[1] + m[2]) * V(kNa), odd_a = (m[1] - m[2]) * V(kNa * kA);
    const V even_b = (m[3] + m[4]) * V(kNb), odd_b = (m[3] - m[4]) * V(kNb * kB);
    out[0] = Fma(m[0], kN0, even_a + even_b);
    out[1] = odd_a + odd_b;
    out[2] = Fma(even_a, kA2, Fma(even_b, kB2, m[5]));
  }
};

// Step on both dimensions: load(i), i < kFrom^2, gives the square; store(i, v), i < kTo^2, takes
// it.
template <typename V, template <typename> class Step, typename Load, typename Store>
inline void TransformSquare(const Load& load, const Store& store) {
  constexpr int kFrom = Step<V>::kFrom, kTo = Step<V>::kTo;
  V columns[kTo * kFrom];  // the square after its columns went through
#pragma GCC unroll 6
  for (int w = 0; w < kFrom; ++w) {
    V square[kFrom];
    for (int h = 0; h < kFrom; ++h) square[h] = load(h * kFrom + w);
    Step<V>::Apply({square, 1}, {columns + w, kFrom});
  }
#pragma GCC unroll 6
  for (int h = 0; h < kTo; ++h) {
    V line[kTo];
    Step<V>::Apply({columns + h * kFrom, 1}, {line, 1});
    for (int w = 0; w < kTo; ++w) store(h * kTo + w, line[w]);
  }
}

template <typename V, template <typename> class Step>
void TransformToPositions(const float* const* from, int64_t channels, float* out, int64_t stride) {
  for (int64_t c = 0; c < channels; c += V::kLanes) {
    TransformSquare<V, Step>([&](int i) { return V::Load(from[i] + c); },
                             [&](int i, V v) { v.Store(out + i * stride + c); });
  }
}

template <typename V>
void TransformOutput(const float* in, int64_t stride, const float* bias, int64_t channels,
                     float* const* pixels) {
  for (int64_t c = 0; c < channels; c += V::kLanes) {
    const V add = bias == nullptr ? V(0.0f) : V::Load(bias + c);
    TransformSquare<V, OutputStep>([&](int i) { return V::Load(in + i * stride + c); },
                                   [&](int i, V v) {
                                     if (pixels[i] != nullptr) (v + add).Store(pixels[i] + c);
                                   });
  }
}

template <typename V>
void TransformFilterGradient(const float* in, int64_t stride, int64_t channels, bool accumulate,
                             float* const* taps) {
  for (int64_t c = 0; c < channels; c += V::kLanes) {
    TransformSquare<V, FilterGradientStep>(
        [&](int i) { return V::Load(in + i * stride + c); },
        [&](int i, V v) { (accumulate ? V::Load(taps[i] + c) + v : v).Store(taps[i] + c); });
  }
}

}  // namespace encke::cpu::winograd
