#include "engine/train/run_log.h"

#include <nlohmann/json.hpp>
#include <string>

namespace encke {
namespace {

using Json = nlohmann::ordered_json;

Json Categories(const MemoryUse& use) {
  Json object = Json::object();
  for (int i = 0; i < kMemoryCategories; ++i)
    object[NameOf(static_cast<MemoryCategory>(i))] = use.bytes[i];
  object["total"] = use.total();
  return object;
}

std::string MemoryHeader() {
  std::string header = "iteration,step,action,layer";
  for (int i = 0; i < kMemoryCategories; ++i)
    header += StrCat(",", NameOf(static_cast<MemoryCategory>(i)));
  return header + ",total,in_use,predicted_in_use\n";
}

// A name as a field of CSV (RFC 4180).
std::string CsvField(const std::string& name) {
  if (name.find_first_of(",\"\r\n") == std::string::npos) return name;
  std::string quoted = "\"";
  for (const char c : name) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string MemoryRow(const Executor& executor, size_t s) {
  const Plan& plan = executor.plan();
  const MemoryUse& use = executor.memory_trace().steps()[s];
  std::string row =
      StrCat(executor.memory_trace().iteration(), ",", s, ",", NameOf(plan.steps[s].kind), ",",
             CsvField(SubjectOf(executor.graph(), plan, plan.steps[s])));
  for (const int64_t bytes : use.bytes) row += StrCat(",", bytes);
  return row + StrCat(",", use.total(), ",", use.in_use(), ",", plan.predicted_in_use[s], "\n");
}

// Of every value that was encoded; what is kept as it is (a batch norm's statistics) has no bound.
std::vector<Scalar> LayerScalars(const std::vector<ActivationRecord>& records) {
  std::vector<Scalar> scalars;
  for (const ActivationRecord& record : records) {
    if (record.stored_bytes <= 0 || record.error_bound <= 0) continue;
    const double ratio =
        static_cast<double>(record.raw_bytes) / static_cast<double>(record.stored_bytes);
    scalars.push_back({"ratio/" + record.layer, ratio});
    scalars.push_back({"error_bound/" + record.layer, record.error_bound});
  }
  return scalars;
}

void SetIfKnown(Json& object, const char* key, double value) {
  if (value >= 0) object[key] = value;
}

Json Describe(int64_t iteration, const ActivationRecord& record) {
  const Shape& shape = record.shape;
  Json object = {{"iteration", iteration},
                 {"layer", record.layer},
                 {"value", record.value},
                 {"kind", record.kind},
                 {"shape", {shape.n, shape.c, shape.h, shape.w}},
                 {"codec", record.codec},
                 {"raw_bytes", record.raw_bytes},
                 {"stored_bytes", record.stored_bytes},
                 {"offloaded_bytes", record.offloaded_bytes}};
  if (!record.consumer.empty()) object["consumer"] = record.consumer;
  if (record.stored_bytes > 0)
    object["ratio"] =
        static_cast<double>(record.raw_bytes) / static_cast<double>(record.stored_bytes);
  SetIfKnown(object, "error_bound", record.error_bound);
  SetIfKnown(object, "max_abs_error", record.max_abs_error);
  SetIfKnown(object, "error_over_bound", record.error_over_bound);
  SetIfKnown(object, "nonzero_fraction", record.nonzero_fraction);
  SetIfKnown(object, "predicted_sigma", record.predicted_sigma);
  SetIfKnown(object, "measured_sigma", record.measured_sigma);
  SetIfKnown(object, "correction", record.correction);
  if (record.measured_sigma >= 0) object["bias"] = record.bias;  // may be negative
  SetIfKnown(object, "tolerance", record.tolerance);
  object["encode_us"] = record.encode_us;
  object["decode_us"] = record.decode_us;
  return object;
}

}  // namespace

RunLog::RunLog(RunDirectory* directory, int64_t resumed_at)
    : directory_(directory),
      events_(std::make_unique<TensorBoardWriter>(directory->path(), resumed_at)) {}

void RunLog::Interval(const Progress& progress, const SampleMeter& interval,
                      const Throughput& throughput, int64_t raw_bytes, int64_t stored_bytes,
                      int64_t offloaded_bytes) {
  if (directory_ == nullptr) return;
  const Json object = {{"iteration", progress.iteration},
                       {"epoch", progress.epoch},
                       {"loss", interval.loss()},
                       {"top1", interval.top1()},
                       {"lr", progress.learning_rate},
                       {"images_per_second", throughput.images_per_second()},
                       {"wait_seconds", throughput.wait_seconds()},
                       {"wait_fraction", throughput.wait_fraction()},
                       {"skipped_records", progress.skipped_records},
                       {"raw_bytes", raw_bytes},
                       {"stored_bytes", stored_bytes},
                       {"offloaded_bytes", offloaded_bytes},
                       {"ratio", progress.ratio},
                       {"memory", Categories(progress.now)},
                       {"memory_peak", Categories(progress.peak)},
                       {"resident", ResidentBytes()},
                       {"resident_peak", PeakResidentBytes()}};
  directory_->Append("metrics.jsonl", object.dump());
  events_->Add(progress.iteration,
               {{"loss/train", interval.loss()},
                {"accuracy/train top-1", interval.top1()},
                {"training/learning rate", progress.learning_rate},
                {"training/images per second", throughput.images_per_second()},
                {"memory/ratio", progress.ratio},
                {"memory/stored bytes", static_cast<double>(stored_bytes)},
                {"memory/peak bytes", static_cast<double>(progress.peak.total())}});
}

void RunLog::Evaluation(const Progress& progress, const EvaluationResult& result) {
  if (directory_ == nullptr) return;
  const Json object = {{"iteration", progress.iteration}, {"epoch", progress.epoch},
                       {"eval_loss", result.loss},        {"eval_top1", result.top1},
                       {"eval_top5", result.top5},        {"eval_samples", result.samples}};
  directory_->Append("metrics.jsonl", object.dump());
  directory_->Append(
      "summary.csv",
      StrCat(progress.iteration, ",", progress.epoch, ",", progress.loss, ",", progress.top1, ",",
             result.loss, ",", result.top1, ",", result.top5, ",", progress.learning_rate, ",",
             progress.images_per_second, ",", progress.ratio, ",", progress.peak.total()),
      "iteration,epoch,loss,top1,eval_loss,eval_top1,eval_top5,lr,images_per_second,ratio,"
      "peak_bytes");
  events_->Add(progress.iteration, {{"loss/test", result.loss},
                                    {"accuracy/test top-1", result.top1},
                                    {"accuracy/test top-5", result.top5}});
}

void RunLog::Activations(int64_t iteration, const std::vector<ActivationRecord>& records) {
  if (directory_ == nullptr) return;
  for (const ActivationRecord& record : records)
    directory_->Append("activations.jsonl", Describe(iteration, record).dump());
  events_->Add(iteration, LayerScalars(records));
}

void RunLog::Memory(const Executor& executor) {
  const size_t steps = executor.memory_trace().steps().size();
  if (directory_ == nullptr || steps == 0) return;
  std::string text = MemoryHeader();
  for (size_t s = 0; s < steps; ++s) text += MemoryRow(executor, s);
  directory_->Write("memory.csv", text);
}

}  // namespace encke
