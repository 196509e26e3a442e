#include "engine/train/meters.h"

#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace encke {

void SampleMeter::Add(double loss_sum, int64_t samples, int64_t top1, int64_t top5) {
  loss_sum_ += loss_sum;
  samples_ += samples;
  top1_ += top1;
  top5_ += top5;
}

void TrainingMeters::Add(double loss_sum, int64_t samples, int64_t top1, int64_t top5) {
  interval_.Add(loss_sum, samples, top1, top5);
  SampleMeter one;
  one.Add(loss_sum, samples, top1, top5);
  window_.push_back({one.loss(), one.top1()});
  if (window_.size() > kWindow) window_.pop_front();
}

double TrainingMeters::recent_loss() const {
  double sum = 0;
  for (const Iteration& iteration : window_) sum += iteration.loss;
  return window_.empty() ? 0 : sum / static_cast<double>(window_.size());
}

double TrainingMeters::recent_top1() const {
  double sum = 0;
  for (const Iteration& iteration : window_) sum += iteration.top1;
  return window_.empty() ? 0 : sum / static_cast<double>(window_.size());
}

std::string TrainingMeters::Save() const {
  nlohmann::json state;
  state["interval"] = {interval_.loss_sum_, interval_.samples_, interval_.top1_, interval_.top5_};
  state["window"] = nlohmann::json::array();
  for (const Iteration& iteration : window_)
    state["window"].push_back({iteration.loss, iteration.top1});
  return state.dump();
}

void TrainingMeters::Restore(const std::string& text) {
  try {
    const nlohmann::json state = nlohmann::json::parse(text);
    TrainingMeters meters;
    const nlohmann::json& interval = state.at("interval");
    meters.interval_.Add(interval.at(0), interval.at(1), interval.at(2), interval.at(3));
    for (const nlohmann::json& iteration : state.at("window"))
      meters.window_.push_back({iteration.at(0), iteration.at(1)});
    *this = meters;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::DATA, StrCat("the meters' state is damaged: ", error.what()));
  }
}

void Throughput::Add(int64_t images, double seconds, double wait_seconds) {
  if (seen_ == kLeftOut) Reset();
  ++seen_;
  ++iterations_;
  images_ += images;
  seconds_ += seconds;
  wait_seconds_ += wait_seconds;
}

double Throughput::images_per_second() const {
  return seconds_ > 0 ? static_cast<double>(images_) / seconds_ : 0;
}

double Throughput::iterations_per_second() const {
  return seconds_ > 0 ? static_cast<double>(iterations_) / seconds_ : 0;
}

double Throughput::wait_fraction() const { return seconds_ > 0 ? wait_seconds_ / seconds_ : 0; }

double Throughput::eta_seconds(int64_t iterations_left) const {
  if (iterations_ == 0) return 0;
  return seconds_ / static_cast<double>(iterations_) * static_cast<double>(iterations_left);
}

void Throughput::Reset() {
  const int64_t seen = seen_;
  *this = Throughput();
  seen_ = seen;
}

}  // namespace encke
