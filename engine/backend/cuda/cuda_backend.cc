#include "engine/backend/cuda/cuda_backend.h"

#include "compression/cuda/cuda_store.h"
#include "engine/backend/cuda/conv_algorithm.h"
#include "engine/backend/cuda/partial_sums.h"
#include "engine/core/error.h"

namespace encke::cuda {
namespace {

// Of the device's free memory, left to what the libraries take for themselves as they go: kernels
// that they load, above all.
constexpr int64_t kKeptFree = 512 << 20;

constexpr int64_t kUsualChannels = 4096;  // more make the buffer of partial sums grow

std::string ChoicesPath() {
  const std::string folder = CacheFolder();
  return folder.empty() ? "" : folder + "/conv-choices.tsv";
}

// What a measured choice depends on beside the problem.
std::string ChoicesContext(const Gpu& gpu) {
  return StrCat(gpu.name, ", ", gpu.multiprocessors, " SMs, cuDNN ", cudnnGetVersion());
}

}  // namespace

CudaBackend::CudaBackend(const Gpu& gpu, const BackendOptions& options)
    : gpu_(gpu),
      options_(options),
      current_(gpu.index),
      allocator_(gpu.index, gpu.free_bytes, kKeptFree),
      cudnn_(stream_.get()),
      cublas_(stream_.get()),
      workspace_(&allocator_),
      partial_sums_(&allocator_),
      result_(host_allocator_.Allocate(sizeof(double), MemoryCategory::WORKSPACE)),
      conv_choices_(ChoicesPath(), ChoicesContext(gpu)) {
  partial_sums_.Reserve(PartialSums(kUsualChannels) * static_cast<int64_t>(sizeof(double)));
}

CudaBackend::~CudaBackend() { ENCKE_CUDA_WARN(cudaStreamSynchronize(stream_.get())); }

std::string CudaBackend::name() const {
  return StrCat("cuda:", gpu_.index, ": ", gpu_.name, ", cuDNN ", cudnnGetVersion(),
                options_.tf32 ? ", tf32" : "");
}

bool CudaBackend::Supports(DType compute) const {
  return compute == DType::F32 || compute == DType::BF16;
}

std::unique_ptr<ActivationStore> CudaBackend::NewActivationStore(const StoreOptions& options) {
  CudaStoreOptions store;
  store.compute = stream_.get();
  store.limit_bytes = options.limit_bytes;
  store.spill = options.spill;
  store.overlap = true;
  return NewCudaStore(allocator_, store);
}

int64_t CudaBackend::PoolScratchBytes(const Shape& value, DType dtype, Tier tier,
                                      const std::string& codec, bool exact) const {
  return CudaScratchBytes(value, dtype, codec, gpu_.multiprocessors) +
         CudaStagingBytes(value, dtype, tier, exact);
}

int64_t CudaBackend::PoolRoomBytes(const Shape& value, DType dtype) const {
  return CudaRoomBytes(value, dtype);
}

void CudaBackend::Synchronize() { stream_.Synchronize(); }

std::unique_ptr<Backend> NewCudaBackend(int index, const BackendOptions& options) {
  return std::make_unique<CudaBackend>(CheckGpu(SurveyGpus(index), index), options);
}

}  // namespace encke::cuda
