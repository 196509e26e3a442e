#include "engine/backend/cuda/conv_algorithm.h"

#include <limits>
#include <utility>

#include "engine/backend/cuda/handles.h"
#include "engine/backend/cuda/status.h"

namespace encke::cuda {
namespace {

constexpr int64_t kCandidates = 10;           // plans measured at most
constexpr int64_t kScratchLimit = 512 << 20;  // bytes that cuDNN may use for one convolution
constexpr int kTimedRuns = 3;
constexpr float kFailed = std::numeric_limits<float>::infinity();

// Milliseconds of a run.
float TimeOf(const ExecutionPlan& plan, cudnnHandle_t handle, cudaStream_t stream,
             const ConvPointers& pointers, void* scratch) {
  if (plan.Run(handle, pointers, scratch) != CUDNN_STATUS_SUCCESS) return kFailed;
  Event start, end;
  start.Record(stream);
  for (int i = 0; i < kTimedRuns; ++i) {
    if (plan.Run(handle, pointers, scratch) != CUDNN_STATUS_SUCCESS) return kFailed;
  }
  end.Record(stream);
  return end.MillisecondsSince(start) / kTimedRuns;
}

}  // namespace

ConvAlgorithm::ConvAlgorithm(cudnnHandle_t handle, const ConvProblem& problem, int64_t choice)
    : problem_(problem),
      plans_(
          ProposePlans(PlanTarget(handle), problem, choice < 0 ? 1 : choice + 1, kScratchLimit)) {
  if (choice >= 0 && choice < static_cast<int64_t>(plans_.size())) Settle(choice);
}

void ConvAlgorithm::Settle(int64_t choice) {
  std::swap(plans_.front(), plans_[choice]);
  plans_.erase(plans_.begin() + 1, plans_.end());
  choice_ = choice;
}

void ConvAlgorithm::Measure(cudnnHandle_t handle, cudaStream_t stream, const ConvPointers& pointers,
                            void* scratch, int64_t scratch_bytes) {
  plans_ = ProposePlans(PlanTarget(handle), problem_, kCandidates, kScratchLimit);
  int64_t best = -1;
  float shortest = kFailed;
  for (size_t i = 0; i < plans_.size(); ++i) {
    if (plans_[i].workspace_bytes() > scratch_bytes) continue;
    const float milliseconds = TimeOf(plans_[i], handle, stream, pointers, scratch);
    if (milliseconds >= shortest) continue;
    shortest = milliseconds;
    best = static_cast<int64_t>(i);
  }
  if (best < 0) {
    plans_.clear();
  } else {
    Settle(best);
  }
}

void ConvAlgorithm::Run(cudnnHandle_t handle, const ConvPointers& pointers, void* scratch) const {
  ENCKE_CUDNN(plans_.front().Run(handle, pointers, scratch));
}

}  // namespace encke::cuda
