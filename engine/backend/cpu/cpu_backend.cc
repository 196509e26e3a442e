#include "engine/backend/cpu/cpu_backend.h"

#include "engine/backend/cpu/conv_plan.h"
#include "engine/backend/cpu/matmul_plan.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"

namespace encke::cpu {

CpuBackend::CpuBackend()
    : allocator_(NewCpuAllocator()),
      workspace_(allocator_.get()),
      engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_) {}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::name() const {
  return StrCat("cpu: oneDNN ", DnnlDescription(), ", ", Threads(), " threads");
}

bool CpuBackend::Supports(DType compute) const {
  return compute == DType::F32 || (compute == DType::BF16 && DnnlHasFastBf16());
}

std::unique_ptr<Backend> NewCpuBackend() {
  return CallDnnl("cpu", [] { return std::make_unique<CpuBackend>(); });
}

}  // namespace encke::cpu
