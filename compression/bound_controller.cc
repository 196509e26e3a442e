#include "compression/bound_controller.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/core/error.h"

namespace encke {
namespace {

using Json = nlohmann::json;

constexpr double kCometFactor = 0.32;  // `a` of COMET
constexpr double kWarmupFactor = 0.5;  // of the tolerance
constexpr double kAuditSlack = 1.25;   // measured over predicted sigma that is still accepted
constexpr double kEase = 1.1;          // what a good audit gives back
constexpr double kLeastTightening = 1.0 / 64;
constexpr int64_t kDenseProbes = 4;        // intervals with a probe in every iteration
constexpr int64_t kSparseProbes = 4;       // iterations between probes later
constexpr double kLeastBoundOfRms = 1e-6;  // tighter bounds store floats anyway
constexpr double kMostBoundOfRms = 1.0;    // looser bounds put nearly all elements into one cell
constexpr double kNewestShare = 0.25;      // of an iteration in the mean output gradient
constexpr double kUnknownRms = 0.05;       // stands in for an rms nobody has seen

// An rms that no float tensor has counts as unknown.
double RmsOrDefault(double rms) { return rms > 1e-30 && rms < 1e30 ? rms : kUnknownRms; }

double Positive(double x) { return std::isfinite(x) && x > 0 ? x : 0; }

// Standard deviation of the weight gradient's error for a bound of 1 (VARIANCE).
double VarianceSlope(double nonzero, const GradientStatistics& s) {
  return std::sqrt(nonzero * s.share_inside * s.output_gradient_squares / s.output_channels / 3.0);
}

double CometSlope(double nonzero, const GradientStatistics& s) {
  return kCometFactor * s.output_gradient_magnitude * std::sqrt(s.batch * nonzero);
}

double AcgcBound(double tolerance, const GradientStatistics& s) {
  const double positions = static_cast<double>(s.kernel) / (s.stride * s.stride);
  return std::sqrt(3.0 * tolerance * s.filter_gradient_squares /
                   (2.0 * s.input_elements * positions * s.output_gradient_squares));
}

Json ToJson(const GradientStatistics& s) {
  return {s.output_gradient_squares,
          s.output_gradient_magnitude,
          s.filter_gradient_squares,
          s.mean_momentum,
          s.output_channels,
          s.batch,
          s.input_elements,
          s.kernel,
          s.stride,
          s.share_inside};
}

GradientStatistics GradientStatisticsFrom(const Json& json) {
  GradientStatistics s;
  s.output_gradient_squares = json.at(0);
  s.output_gradient_magnitude = json.at(1);
  s.filter_gradient_squares = json.at(2);
  s.mean_momentum = json.at(3);
  s.output_channels = json.at(4);
  s.batch = json.at(5);
  s.input_elements = json.at(6);
  s.kernel = json.at(7);
  s.stride = json.at(8);
  s.share_inside = json.at(9);
  return s;
}

Json ToJson(const std::vector<NoiseSample>& samples) {
  Json json = Json::array();
  for (const NoiseSample& s : samples) {
    json.push_back({s.quotient, s.white, s.errors.repeated, s.errors.others, s.errors.both});
  }
  return json;
}

// Older states have quotients only.
std::vector<NoiseSample> SamplesFrom(const Json& consumer) {
  std::vector<NoiseSample> samples;
  if (!consumer.contains("probes")) {
    for (const double q : consumer.at("quotients")) samples.push_back({q, q, {}});
    return samples;
  }
  for (const Json& s : consumer.at("probes")) {
    samples.push_back({s.at(0), s.at(1), {s.at(2), s.at(3), s.at(4)}});
  }
  return samples;
}

bool Finite(const GradientStatistics& s) {
  return std::isfinite(s.output_gradient_squares) && std::isfinite(s.output_gradient_magnitude) &&
         std::isfinite(s.filter_gradient_squares) && std::isfinite(s.mean_momentum);
}

}  // namespace

BoundController::BoundController(const ControllerOptions& options) : options_(options) {
  ENCKE_CHECK(options.tolerance > 0 && options.interval > 0, options.tolerance, options.interval);
}

void BoundController::AddConsumer(int value, int consumer) {
  values_[value].consumers.insert(consumer);
  consumers_[consumer];
}

bool BoundController::Refreshes(int64_t iteration) const {
  const bool power_of_two = iteration > 0 && (iteration & (iteration - 1)) == 0;
  return (power_of_two && iteration <= options_.interval) ||
         (iteration > 0 && iteration % options_.interval == 0);
}

bool BoundController::Knows(int value) const {
  const auto found = values_.find(value);
  return found != values_.end() && found->second.rms > 0;
}

int64_t BoundController::ProbeOf(int64_t iteration) const {
  const int64_t dense = kDenseProbes * options_.interval;
  if (iteration <= dense) return iteration - 1;
  const int64_t later = iteration - dense;
  return later % kSparseProbes == 0 ? dense + later / kSparseProbes - 1 : -1;
}

void BoundController::ObserveValue(int value, double nonzero_fraction, double rms) {
  ValueState& state = values_[value];
  if (std::isfinite(nonzero_fraction)) state.nonzero_fraction = nonzero_fraction;
  if (std::isfinite(rms)) state.rms = rms;
}

void BoundController::ObserveGradient(int consumer, const GradientStatistics& statistics) {
  if (!Finite(statistics)) return;  // the last good ones stay
  ConsumerState& state = consumers_[consumer];
  state.statistics = statistics;
  state.known = true;
  ObserveOutputGradient(consumer, statistics.output_gradient_squares);
}

void BoundController::ObserveOutputGradient(int consumer, double squares) {
  if (!std::isfinite(squares) || squares < 0) return;
  double& mean = consumers_[consumer].output_squares;
  mean = mean > 0 ? mean + kNewestShare * (squares - mean) : squares;
}

GradientStatistics BoundController::Smoothed(const ConsumerState& consumer) {
  GradientStatistics statistics = consumer.statistics;
  statistics.output_gradient_squares = consumer.output_squares;
  return statistics;
}

void BoundController::ObserveAudit(int consumer, const AuditResult& audit) {
  const double predicted = Positive(audit.predicted_sigma);
  if (predicted == 0 || !std::isfinite(audit.measured_sigma)) return;
  const double ratio = audit.measured_sigma / predicted;
  double& tightening = consumers_[consumer].tightening;
  tightening = ratio > kAuditSlack ? std::max(tightening / ratio, kLeastTightening)
                                   : std::min(tightening * kEase, 1.0);
}

void BoundController::ObserveProbe(int consumer, const NoiseSample& sample, int64_t round) {
  consumers_[consumer].correction.Observe(sample, round);
}

void BoundController::ObserveProbe(int consumer, double measured_variance, double formula_variance,
                                   int64_t round) {
  if (Positive(formula_variance) == 0 || !std::isfinite(measured_variance)) return;
  const double quotient = measured_variance / formula_variance;
  ObserveProbe(consumer, {quotient, quotient, {}}, round);
}

void BoundController::ObserveNonFinite() {
  for (auto& [id, consumer] : consumers_) {
    consumer.tightening = std::max(consumer.tightening / 2, kLeastTightening);
  }
}

double BoundController::Warmup(int64_t iteration) const {
  return iteration <= options_.warmup ? kWarmupFactor : 1.0;
}

double BoundController::ToleranceFor(int value, int64_t iteration) const {
  double tightening = 1.0;
  const auto found = values_.find(value);
  if (found != values_.end()) {
    for (int id : found->second.consumers) {
      tightening = std::min(tightening, consumers_.at(id).tightening);
    }
  }
  return options_.tolerance * Warmup(iteration) * tightening;
}

// 0 when the statistics say nothing.
double BoundController::BoundFromConsumer(const ValueState& value, const ConsumerState& consumer,
                                          double tolerance) const {
  const GradientStatistics& s = consumer.statistics;
  if (options_.rule == ErrorRule::ACGC) return Positive(AcgcBound(tolerance, s));
  const double slope = options_.rule == ErrorRule::COMET
                           ? CometSlope(value.nonzero_fraction, s)
                           : VarianceSlope(value.nonzero_fraction, Smoothed(consumer)) *
                                 consumer.correction.factor();
  return Positive(tolerance * s.mean_momentum / slope);
}

double BoundController::BoundUnknown(const ValueState& value) const {
  return options_.initial_bound * RmsOrDefault(value.rms);
}

double BoundController::BoundFor(int value, int64_t iteration) const {
  if (options_.rule == ErrorRule::FIXED) return options_.fixed_bound;
  const auto found = values_.find(value);
  const ValueState& state = found == values_.end() ? ValueState() : found->second;
  double bound = std::numeric_limits<double>::infinity();
  for (int id : state.consumers) {
    const ConsumerState& consumer = consumers_.at(id);
    const double tolerance = options_.tolerance * Warmup(iteration) * consumer.tightening;
    const double asked = consumer.known ? BoundFromConsumer(state, consumer, tolerance) : 0;
    bound = std::min(bound, asked > 0 ? asked : BoundUnknown(state));
  }
  if (state.consumers.empty()) bound = BoundUnknown(state);
  const double rms = RmsOrDefault(state.rms);
  return std::clamp(bound, kLeastBoundOfRms * rms, kMostBoundOfRms * rms);
}

double BoundController::PredictedSigma(int value, int consumer, double bound) const {
  const auto v = values_.find(value);
  const auto c = consumers_.find(consumer);
  if (v == values_.end() || c == consumers_.end() || !c->second.known) return 0;
  return FormulaSigma(Smoothed(c->second), v->second.nonzero_fraction, bound) *
         c->second.correction.factor();
}

double BoundController::FormulaSigma(const GradientStatistics& statistics, double nonzero_fraction,
                                     double bound) {
  return bound * VarianceSlope(nonzero_fraction, statistics);
}

double BoundController::CorrectionOf(int consumer) const {
  const auto found = consumers_.find(consumer);
  return found == consumers_.end() ? 1.0 : found->second.correction.factor();
}

double BoundController::CorrectionFor(int consumer, const PatternProducts& gradients) const {
  const auto found = consumers_.find(consumer);
  return found == consumers_.end() ? 1.0 : found->second.correction.FactorFor(gradients);
}

std::string BoundController::Save() const {
  Json json = {{"values", Json::object()}, {"consumers", Json::object()}};
  for (const auto& [id, v] : values_) {
    json["values"][std::to_string(id)] = {v.nonzero_fraction, v.rms};
  }
  for (const auto& [id, c] : consumers_) {
    json["consumers"][std::to_string(id)] = {{"statistics", ToJson(c.statistics)},
                                             {"output_squares", c.output_squares},
                                             {"known", c.known},
                                             {"tightening", c.tightening},
                                             {"probes", ToJson(c.correction.samples())},
                                             {"round", c.correction.complete()}};
  }
  return json.dump();
}

void BoundController::Restore(const std::string& state) {
  auto values = values_;
  auto consumers = consumers_;
  try {
    const Json json = Json::parse(state);
    if (json.at("consumers").size() != consumers.size()) {
      throw Error(ErrorKind::DATA, "the controller's state is of another network");
    }
    for (const auto& [id, v] : values) json.at("values").at(std::to_string(id));  // must be there
    for (const auto& [id, saved] : json.at("values").items()) {
      ValueState& v =
          values[std::atoi(id.c_str())];  // perhaps one without consumers, observed only
      v.nonzero_fraction = saved.at(0);
      v.rms = saved.at(1);
    }
    for (auto& [id, c] : consumers) {
      const Json& saved = json.at("consumers").at(std::to_string(id));
      c.statistics = GradientStatisticsFrom(saved.at("statistics"));
      c.output_squares = saved.value("output_squares", c.statistics.output_gradient_squares);
      c.known = saved.at("known");
      c.tightening = saved.at("tightening");
      c.correction.Restore(SamplesFrom(saved), saved.at("round"));
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::DATA,
                StrCat("the controller's state is not one of this network: ", error.what()));
  }
  values_ = std::move(values);
  consumers_ = std::move(consumers);
}

}  // namespace encke
