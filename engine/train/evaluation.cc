#include "engine/train/evaluation.h"

#include "engine/train/meters.h"

namespace encke {

EvaluationResult EvaluateNetwork(Executor& executor, const Dataset& dataset,
                                 const LoaderOptions& options, const std::function<bool()>& stop) {
  const std::unique_ptr<Loader> loader =
      NewLoader(dataset, options, executor.backend().host_allocator());
  loader->StartEpoch(0);
  SampleMeter meter;
  for (Batch batch; loader->Next(&batch);) {
    if (stop()) return {};
    const StepResult step = executor.Evaluate(batch);
    meter.Add(step.loss, step.samples, step.top1, step.top5);
  }
  return {meter.loss(), meter.top1(), meter.top5(), meter.samples()};
}

}  // namespace encke
