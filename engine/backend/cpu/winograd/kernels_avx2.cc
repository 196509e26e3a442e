#include <immintrin.h>

#include "engine/backend/cpu/winograd/multiply.h"
#include "engine/backend/cpu/winograd/transform.h"

namespace encke::cpu::winograd {
namespace {

struct Vector {
  static constexpr int64_t kLanes = 8;

  Vector() = default;
  explicit Vector(__m256 lanes) : v(lanes) {}
  explicit Vector(float lane) : v(_mm256_set1_ps(lane)) {}
  static Vector Load(const float* from) { return Vector(_mm256_loadu_ps(from)); }
  void Store(float* to) const { _mm256_storeu_ps(to, v); }

  __m256 v;
};

Vector operator+(Vector a, Vector b) { return Vector(_mm256_add_ps(a.v, b.v)); }
Vector operator-(Vector a, Vector b) { return Vector(_mm256_sub_ps(a.v, b.v)); }
Vector operator*(Vector a, Vector b) { return Vector(_mm256_mul_ps(a.v, b.v)); }
// a * b + c
Vector Fma(Vector a, Vector b, Vector c) { return Vector(_mm256_fmadd_ps(a.v, b.v, c.v)); }
Vector Fma(Vector a, float b, Vector c) { return Fma(a, Vector(b), c); }

}  // namespace

const Kernels& Avx2Kernels() {
  static constexpr Kernels kernels = {"avx2",
                                      TransformToPositions<Vector, InputStep>,
                                      TransformToPositions<Vector, GradientStep>,
                                      TransformToPositions<Vector, FilterStep>,
                                      TransformOutput<Vector>,
                                      TransformFilterGradient<Vector>,
                                      Multiply<Vector, 4>};
  return kernels;
}

}  // namespace encke::cpu::winograd
