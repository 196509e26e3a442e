#include "engine/train/update_step.h"

#include "engine/core/log.h"
#include "engine/core/memory.h"
#include "engine/graph/plan_choice.h"

namespace encke {
namespace {

constexpr double kFewerThanAssumed = 0.75;  // of the assumed ratio, where that was too much

void Add(const StepResult& step, StepResult* sum) {
  sum->loss += step.loss;
  sum->samples += step.samples;
  sum->top1 += step.top1;
  sum->top5 += step.top5;
}

}  // namespace

UpdateOutcome UpdateStep::Run(Loader& loader, const UpdatePlan& plan) {
  UpdateOutcome outcome;
  outcome.updated = true;
  for (int64_t i = 0; i < plan.batches; ++i) {
    Batch batch;
    ENCKE_CHECK(loader.Next(&batch), "batch ", i, " of iteration ", plan.iteration);
    if (!outcome.updated) continue;  // the sum of gradients is spoilt
    const StepResult step = TrainBatch(batch, plan, i);
    if (step.finite) Add(step, &outcome.sum);
    if (!step.finite && failed_before_) Fail(batch, plan, i);
    outcome.updated = step.finite;
  }
  failed_before_ = !outcome.updated;
  if (outcome.updated) Update(plan.learning_rate);
  return outcome;
}

StepResult UpdateStep::TrainBatch(const Batch& batch, const UpdatePlan& plan, int64_t index) {
  TrainOptions options;
  options.accumulate = index > 0;
  options.loss_scale_count = static_cast<float>(plan.samples);
  options.audit = index == 0 ? plan.audit : Audit::NONE;
  options.update = plan.iteration;
  const StepResult step = TrainWithinLimit(batch, plan, index, options);
  if (step.finite) return step;
  executor_.controller().ObserveNonFinite();
  const bool compressed = executor_.plan().options.compress;
  if (compressed && index == 0) return RepeatExactly(batch, plan, options);
  LogWarning(StrCat("iteration ", plan.iteration,
                    ": loss or gradients are not finite; the update is left out"));
  return step;
}

StepResult UpdateStep::TrainWithinLimit(const Batch& batch, const UpdatePlan& plan, int64_t index,
                                        TrainOptions options) {
  while (true) {
    try {
      return executor_.Train(batch, plan.first_pass + index, options);
    } catch (const MemoryLimitError& error) {
      if (index > 0) throw;  // gradients that were being added up are spoilt
      const bool audited = options.audit != Audit::NONE;
      if (!audited && !PlanForMore()) throw;
      LogWarning(StrCat("iteration ", plan.iteration,
                        audited ? ": there is no room for an audit ("
                                : ": saved values take more than was foreseen (",
                        error.message(), ")",
                        audited ? "" : "; repeated with " + DescribeChoice(executor_.plan())));
      options.audit = Audit::NONE;
    }
  }
}

// At last every value takes what it does uncompressed.
bool UpdateStep::PlanForMore() {
  const double ratio = kFewerThanAssumed * executor_.assumed_ratio();
  return ratio >= 1 && executor_.PrepareForRatio(ratio);
}

StepResult UpdateStep::RepeatExactly(const Batch& batch, const UpdatePlan& plan,
                                     TrainOptions options) {
  LogWarning(StrCat("iteration ", plan.iteration,
                    ": loss or gradients are not finite; repeated with exact activations, and all "
                    "bounds are tightened"));
  options.exact = true;
  options.audit = Audit::NONE;
  StepResult step;
  try {
    step = executor_.Train(batch, plan.first_pass, options);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::MEMORY) throw;
    LogWarning(StrCat("iteration ", plan.iteration, ": exact activations have no room (",
                      error.message(), "); the update is left out"));
    step.finite = false;
    return step;
  }
  if (!step.finite) Fail(batch, plan, 0);
  return step;
}

void UpdateStep::Fail(const Batch& batch, const UpdatePlan& plan, int64_t index) {
  const std::string layer = executor_.FirstNonFiniteNode(batch, plan.first_pass + index);
  throw Error(ErrorKind::NUMERIC, "the loss or its gradients are not finite, twice in a row",
              layer.empty() ? StrCat("iteration ", plan.iteration, ", backward pass")
                            : StrCat("iteration ", plan.iteration, ", layer ", layer),
              StrCat("lower the learning rate (now ", plan.learning_rate,
                     "), lengthen the warm-up, or set optimizer { clip_norm }"));
}

void UpdateStep::Update(double learning_rate) {
  optimizer_.Step(executor_.parameters(), executor_.gradients(), learning_rate);
  if (average_ != nullptr) average_->Update(executor_.parameters());
}

}  // namespace encke
