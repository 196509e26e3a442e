#include "compression/simd/dispatch.h"

namespace encke::simd {
namespace {

bool HasAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
         __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

bool HasAvx512() {
  return HasAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

}  // namespace

std::vector<const Kernels*> UsableKernels() {
  std::vector<const Kernels*> kernels = {&ReferenceKernels()};
  if (HasAvx2()) kernels.push_back(&Avx2Kernels());
  if (HasAvx512()) kernels.push_back(&Avx512Kernels());
  return kernels;
}

const Kernels& BestKernels() {
  static const Kernels& best = *UsableKernels().back();
  return best;
}

}  // namespace encke::simd
