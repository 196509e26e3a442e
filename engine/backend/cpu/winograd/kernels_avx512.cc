#include <immintrin.h>

#include "engine/backend/cpu/winograd/multiply.h"
#include "engine/backend/cpu/winograd/transform.h"

namespace encke::cpu::winograd {
namespace {

struct Vector {
  static constexpr int64_t kLanes = 16;

  Vector() = default;
  explicit Vector(__m512 lanes) : v(lanes) {}
  explicit Vector(float lane) : v(_mm512_set1_ps(lane)) {}
  static Vector Load(const float* from) { return Vector(_mm512_loadu_ps(from)); }
  void Store(float* to) const { _mm512_storeu_ps(to, v); }

  __m512 v;
};

Vector operator+(Vector a, Vector b) { return Vector(_mm512_add_ps(a.v, b.v)); }
Vector operator-(Vector a, Vector b) { return Vector(_mm512_sub_ps(a.v, b.v)); }
Vector operator*(Vector a, Vector b) { return Vector(_mm512_mul_ps(a.v, b.v)); }
// a * b + c
Vector Fma(Vector a, Vector b, Vector c) { return Vector(_mm512_fmadd_ps(a.v, b.v, c.v)); }
Vector Fma(Vector a, float b, Vector c) { return Fma(a, Vector(b), c); }

}  // namespace

const Kernels& Avx512Kernels() {
  static constexpr Kernels kernels = {"avx512",
                                      TransformToPositions<Vector, InputStep>,
                                      TransformToPositions<Vector, GradientStep>,
                                      TransformToPositions<Vector, FilterStep>,
                                      TransformOutput<Vector>,
                                      TransformFilterGradient<Vector>,
                                      Multiply<Vector, 8>};
  return kernels;
}

}  // namespace encke::cpu::winograd
