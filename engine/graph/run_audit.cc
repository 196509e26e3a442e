// What a run tells the bound controller: gradient statistics at a refresh, and audits against exact
// gradients.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "compression/codec.h"
#include "engine/core/error.h"
#include "engine/core/npy.h"
#include "engine/graph/noise_patterns.h"
#include "engine/graph/plan_internal.h"
#include "engine/graph/run.h"

namespace encke {
namespace {

struct GradientDifference {
  double sigma = 0;  // root mean square
  double bias = 0;   // along the exact gradient, over its squared norm
};

GradientDifference Compare(const std::vector<float>& lossy, const std::vector<float>& exact) {
  double squares = 0, along = 0, norm = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double difference = static_cast<double>(lossy[i]) - exact[i];
    squares += difference * difference;
    along += difference * exact[i];
    norm += static_cast<double>(exact[i]) * exact[i];
  }
  return {std::sqrt(squares / static_cast<double>(exact.size())), norm > 0 ? along / norm : 0.0};
}

// Of a sum on its way.
double SumIn(HostCopy& sum) { return *static_cast<const double*>(sum.Wait()); }

void AddTo(const std::vector<float>& values, std::vector<float>* sums) {
  if (sums->empty()) sums->resize(values.size());
  for (size_t i = 0; i < values.size(); ++i) (*sums)[i] += values[i];
}

double LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  }
  return largest;
}

// Of values in NHWC, each element's error by the bound of its channel.
double LargestOverBound(const std::vector<float>& a, const std::vector<float>& b,
                        const ErrorBound& bound, int64_t channels) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double error = std::abs(static_cast<double>(a[i]) - b[i]);
    if (error == 0) continue;  // also where nothing may be wrong
    const size_t c = i % static_cast<size_t>(channels);
    largest = std::max(largest, error / (bound.channel.empty() ? bound.uniform : bound.channel[c]));
  }
  return largest;
}

// What the momentum will have grown by when it has built up, after `updates` updates so far (before
// the first one, the gradient stands for it): were gradients independent, momentum of coefficient
// mu would be sqrt((1 - mu^(2t)) / (1 - mu^2)) of them after t.
double UnbuiltMomentum(double mu, int64_t updates) {
  const auto t = static_cast<double>(std::max<int64_t>(updates, 1));
  return 1.0 / std::sqrt(1.0 - std::pow(mu, 2 * t));
}

}  // namespace

int Executor::Run::SavedReadBy(int node) const {
  for (size_t s = 0; s < plan_.saved.size(); ++s) {
    const SavedValue& saved = plan_.saved[s];
    const auto& readers = saved.gradient_consumers;
    if (saved.lossy() && std::find(readers.begin(), readers.end(), node) != readers.end()) {
      return static_cast<int>(s);
    }
  }
  return -1;
}

int Executor::Run::NextAudited() const {
  std::vector<int> consumers;
  for (const SavedValue& saved : plan_.saved) {
    if (!saved.lossy() || saved.exact) continue;
    consumers.insert(consumers.end(), saved.gradient_consumers.begin(),
                     saved.gradient_consumers.end());
  }
  return consumers.empty() ? -1 : consumers[executor_.audits_ % consumers.size()];
}

bool Executor::Run::Audits(const SavedValue& saved) const {
  if (options_.audit == Audit::NONE || !saved.lossy() || saved.exact) return false;
  const auto& readers = saved.gradient_consumers;
  if (options_.audit == Audit::ALL) return !readers.empty();
  return std::find(readers.begin(), readers.end(), audited_node_) != readers.end();
}

void Executor::Run::KeepExact(const SavedValue& saved, const Tensor& tensor) {
  Tensor& copy = exact_[saved.value];
  if (!copy.defined()) {
    copy = Tensor::Empty(backend_.allocator(), tensor.shape().WithBatch(batch_.size()),
                         tensor.dtype(), MemoryCategory::SAVED);
  }
  backend_.Copy(tensor, copy.Slice(now_.first, now_.count));
}

std::vector<float> Executor::Run::WeightGradient(int node, BackwardContext context) const {
  context.input_gradients.assign(context.input_gradients.size(), Tensor());
  context.accumulate = false;
  for (Tensor& gradient : context.parameter_gradients) {
    if (!gradient.defined()) continue;
    gradient =
        Tensor::Empty(backend_.allocator(), gradient.shape(), DType::F32, MemoryCategory::GRADIENT);
  }
  graph_.nodes[node].layer->Backward(context);
  return HostFloats(context.parameter_gradients[0]);
}

void Executor::Run::AuditNode(const PlanStep& step, int saved_index) {
  const Tensor exact_value =
      exact_.at(plan_.saved[saved_index].value).Slice(now_.first, now_.count);
  BackwardContext context = MakeBackwardContext(step);
  const Tensor lossy_value = context.inputs[0];
  AuditSums& sums = audits_[step.node];
  AddTo(WeightGradient(step.node, context), &sums.lossy);
  for (const PlannedProbe& probe : plan_.probes) {
    if (probe.node == step.node) AuditPatterns(probe, context, &sums.room);
  }
  context.inputs[0] = exact_value.Reshape(lossy_value.shape());
  AddTo(WeightGradient(step.node, context), &sums.exact);
  const std::vector<float> lossy = HostFloats(lossy_value), exact = HostFloats(exact_value);
  const Shape& shape = graph_.values[plan_.saved[saved_index].value].shape;
  sums.max_abs_error = std::max(sums.max_abs_error, LargestDifference(lossy, exact));
  sums.error_over_bound =
      std::max(sums.error_over_bound,
               LargestOverBound(lossy, exact, bounds_.at(saved_index).bound, shape.c));
  if (now_.last) FinishAudit(step, saved_index);
}

// As a probe of the node would see them, in memory of its own.
void Executor::Run::AuditPatterns(const PlannedProbe& probe, const BackwardContext& context,
                                  PatternRoom* room) {
  const auto take = [&](const Shape& shape, DType dtype) {
    return Tensor::Empty(backend_.allocator(), shape, dtype, MemoryCategory::WORKSPACE);
  };
  if (!now_.continues) {
    Shape gradient = graph_.parameters[graph_.nodes[probe.node].parameters[0]].spec.shape;
    gradient.c = 1;
    room->repeated = take(Shape::Vector(kRepeatedBytes), DType::U8);
    for (Tensor& pattern : room->gradients) pattern = take(gradient, DType::F32);
  }
  Shape image = internal::ProbedInput(graph_, probe.node).WithBatch(now_.count);
  image.c /= probe.group_channels;
  room->image = take(image, plan_.options.compute);
  AddPatterns(probe, context, *room);
  backend_.Synchronize();  // before the image's memory is anybody else's
}

// Factor on the formula's sigma, with the patterns' parts of this iteration's gradient.
double Executor::Run::CorrectionNow(int node, double formula, double bound) {
  const BoundController& controller = *executor_.controller_;
  const double scale = bound * bound / 3 / (formula * formula);
  if (!patterns_.Has(node) || !std::isfinite(scale)) return controller.CorrectionOf(node);
  const PatternProducts p = ProductsOf(PatternsOf(node));
  return controller.CorrectionFor(node, {p.repeated * scale, p.others * scale, p.both * scale});
}

void Executor::Run::FinishAudit(const PlanStep& step, int saved_index) {
  const SavedValue& saved = plan_.saved[saved_index];
  const AuditSums& sums = audits_.at(step.node);
  const GradientDifference difference = Compare(sums.lossy, sums.exact);
  const ActivationRecord& record = executor_.records_[record_of_saved_.at(saved_index)];
  AuditResult audit;
  audit.iteration = iteration_;
  audit.measured_sigma = difference.sigma;
  audit.bias = difference.bias;
  audit.max_abs_error = sums.max_abs_error;
  // Predicted from this iteration's own output gradient, patterns included, so that the formula and
  // what probes have taught are judged, not the formula's age.
  BoundController& controller = *executor_.controller_;
  const double bound = record.error_bound;
  const double noise_bound = noise_bounds_.at(saved_index);
  const double formula = BoundController::FormulaSigma(OutputStatistics(step.node),
                                                       record.nonzero_fraction, noise_bound);
  const double correction = CorrectionNow(step.node, formula, noise_bound);
  audit.predicted_sigma = correction * formula;
  controller.ObserveAudit(step.node, audit);

  ActivationRecord& row = NewRecord(std::string(record.layer), saved.value, "audit");
  const ActivationRecord& value = executor_.records_[record_of_saved_.at(saved_index)];
  row.consumer = graph_.nodes[step.node].name;
  row.shape = value.shape;
  row.codec = value.codec;
  row.error_bound = bound;
  row.nonzero_fraction = value.nonzero_fraction;
  row.tolerance = value.tolerance;
  row.predicted_sigma = audit.predicted_sigma;
  row.measured_sigma = audit.measured_sigma;
  row.bias = audit.bias;
  row.correction = correction;
  row.max_abs_error = audit.max_abs_error;
  if (FindCodec(saved.codec)->bounded()) row.error_over_bound = sums.error_over_bound;
}

// Those of the slices so far.
void Executor::Run::AddOutputStatistics(const PlanStep& step, int saved_index) {
  const Node& node = graph_.nodes[step.node];
  const Tensor dy = ValueTensor(step.output_gradients[0], node.outputs[0]);
  const Shape& x = graph_.values[node.inputs[0]].shape;
  const Shape& y = graph_.values[node.outputs[0]].shape;
  const Shape& w = graph_.parameters[node.parameters[0]].spec.shape;
  OutputSums& sums = output_sums_[step.node];
  sums.squares.push_back(backend_.StartSumOfSquares(dy));
  if (executor_.controller_->options().rule == ErrorRule::COMET) {
    sums.magnitudes.push_back(backend_.StartSumOfMagnitudes(dy));
  }
  GradientStatistics& statistics = sums.statistics;
  statistics.output_channels = y.c;
  statistics.batch = x.n;
  statistics.input_elements = graph_.values[plan_.saved[saved_index].value].shape.elements();
  statistics.kernel = w.h * w.w;
  statistics.share_inside = node.layer->ShareInside();
  statistics.stride = std::max<int64_t>(1, std::llround(static_cast<double>(x.h) / y.h));
}

GradientStatistics Executor::Run::OutputStatistics(int node) const {
  const OutputSums& sums = output_sums_.at(node);
  GradientStatistics statistics = sums.statistics;
  for (const auto& sum : sums.squares) statistics.output_gradient_squares += SumIn(*sum);
  const Shape& y = graph_.values[graph_.nodes[node].outputs[0]].shape;
  for (const auto& sum : sums.magnitudes) {
    statistics.output_gradient_magnitude += SumIn(*sum) / static_cast<double>(y.elements());
  }
  return statistics;
}

// Completes what could be read before backward with the weight gradient and the momentum, and tells
// the controller when backward has been issued. Over accumulated batches the noise of each adds up
// (variances do), while the momentum is that of their sum.
void Executor::Run::Observe(int node) {
  const int parameter = graph_.nodes[node].parameters[0];
  const Tensor& gradient = executor_.gradients_[parameter];
  const Tensor& velocity = executor_.velocity_[parameter];
  const double elements = static_cast<double>(gradient.elements());
  const std::shared_ptr<HostCopy> squares = backend_.StartSumOfSquares(gradient);
  const std::shared_ptr<HostCopy> magnitudes = backend_.StartSumOfMagnitudes(gradient);
  std::shared_ptr<HostCopy> momentum;
  if (velocity.defined()) momentum = backend_.StartSumOfMagnitudes(velocity);
  later_.push_back([=] {
    GradientStatistics statistics = OutputStatistics(node);
    statistics.output_gradient_squares *= BatchesNow();
    statistics.filter_gradient_squares = SumIn(*squares);
    if (momentum != nullptr) statistics.mean_momentum = SumIn(*momentum) / elements;
    if (!(statistics.mean_momentum > 0)) {  // before the first update, or without momentum
      statistics.mean_momentum = SumIn(*magnitudes) / elements;
    }
    statistics.mean_momentum *= UnbuiltMomentum(executor_.momentum_, update_ - 1);
    executor_.controller_->ObserveGradient(node, statistics);
  });
}

void Executor::Run::DumpValue(const SavedValue& saved, const Tensor& tensor,
                              const CodecOptions& options) const {
  if (executor_.dump_folder_.empty()) return;
  std::string name = graph_.values[saved.value].name;
  std::replace(name.begin(), name.end(), '/', '_');
  char number[16];
  std::snprintf(number, sizeof(number), "%04d_", saved.value);
  if (now_.first > 0) name += StrCat("_from", now_.first);  // a slice of the batch
  const std::string path = executor_.dump_folder_ + "/" + number + name;
  const auto write = [&](const std::string& end, const std::vector<int64_t>& extents,
                         const std::vector<float>& numbers) {
    executor_.dumped_.push_back(path + end);
    WriteNpy(path + end, extents, numbers.data());
  };
  const Shape& shape = tensor.shape();
  write(".npy", {shape.n, shape.h, shape.w, shape.c}, HostFloats(tensor));
  std::vector<float> bounds = options.bound.channel;
  if (bounds.empty()) bounds = {options.bound.uniform};
  write(saved.mask ? ".mask.bound.npy" : ".bound.npy", {static_cast<int64_t>(bounds.size())},
        bounds);
  const Activity& activity = options.activity;
  if (activity.empty()) return;
  std::vector<float> rows = activity.threshold;
  rows.insert(rows.end(), activity.sign.begin(), activity.sign.end());
  rows.insert(rows.end(), activity.inactive_bound.begin(), activity.inactive_bound.end());
  write(".activity.npy", {3, shape.c}, rows);
}

}  // namespace encke
