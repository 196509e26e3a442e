#include "engine/config/recipe_check.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "compression/codec.h"
#include "engine/core/units.h"

namespace encke {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMostThreads = 1024;       // beyond are slips of the keyboard
constexpr double kMostPixels = 65536;       // a side
constexpr double kMostImages = 1 << 20;     // in a batch
constexpr double kMostPrefetched = 100000;  // batches; likewise

// 1048576 rather than 1.04858e+06.
std::string Plain(double number) {
  const bool whole = std::abs(number) < 1e15 && number == std::floor(number);
  return whole ? StrCat(static_cast<int64_t>(number)) : StrCat(number);
}

// What a number may be.
struct Range {
  const char* field;
  double least;
  bool open;  // `least` itself is not allowed
  double most = kInfinity;
};

constexpr Range kRanges[] = {
    {"network.input.height", 1, false, kMostPixels},
    {"network.input.width", 1, false, kMostPixels},
    {"data.test_fraction", 0, false, 1},
    {"data.train_size", 1, false},
    {"data.test_size", 1, false},
    {"data.resize_shorter", 1, false},
    {"data.workers", 1, false, kMostThreads},
    {"data.prefetch", 0, false, kMostPrefetched},
    {"data.augment.crop_padding", 0, false},
    {"data.augment.random_resized_crop.min_area", 0, true, 1},
    {"data.augment.random_resized_crop.max_area", 0, true, 1},
    {"data.augment.random_resized_crop.min_aspect", 0, true},
    {"data.augment.random_resized_crop.max_aspect", 0, true},
    {"data.augment.color_jitter.brightness", 0, false},
    {"data.augment.color_jitter.contrast", 0, false},
    {"data.augment.color_jitter.saturation", 0, false},
    {"optimizer.learning_rate", 0, true},
    {"optimizer.momentum", 0, false, 1},
    {"optimizer.weight_decay", 0, false},
    {"optimizer.clip_norm", 0, false},
    {"schedule.step", 0, true},
    {"schedule.gamma", 0, true},
    {"schedule.power", 0, true},
    {"schedule.final_fraction", 0, false, 1},
    {"schedule.warmup", 0, false},
    {"schedule.warmup_fraction", 0, false, 1},
    {"schedule.peak_at", 0, true, 1},
    {"activations.tolerance", 0, true},
    {"activations.fixed_bound", 0, false},
    {"activations.channel_std_bound", 0, false},
    {"activations.inactive_std_bound", 0, false},
    {"activations.rms_bound", 0, false},
    {"activations.warmup", 0, false},
    {"activations.interval", 1, false},
    {"activations.audit_every", 0, false},
    {"activations.log_every", 0, false},
    {"activations.slice", 0, false, kMostImages},
    {"activations.recompute", 0, false},
    {"activations.rematerialize", 0, false},
    {"training.epochs", 0, true},
    {"training.iterations", 1, false},
    {"training.batch", 1, false, kMostImages},
    {"training.accumulate", 1, false},
    {"training.label_smoothing", 0, false, 1},
    {"training.ema", 0, false, 1},
    {"training.evaluate_every", 0, true},
    {"training.evaluation_batch", 1, false, kMostImages},
    {"training.checkpoint_every", 0, false},
    {"training.keep_checkpoints", 0, false},
    {"training.threads", 0, false, kMostThreads},
};

bool IsReal(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_FLOAT ||
         field.cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE;
}

// `index` is for repeated fields only.
const Message& SubMessage(const Message& message, const FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  return field.is_repeated() ? reflection->GetRepeatedMessage(message, &field, index)
                             : reflection->GetMessage(message, &field);
}

// `index` is for repeated floats and doubles only.
double NumberOf(const Message& message, const FieldDescriptor& field, int index) {
  const auto* reflection = message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return reflection->GetInt32(message, &field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(reflection->GetInt64(message, &field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return repeated ? reflection->GetRepeatedFloat(message, &field, index)
                      : reflection->GetFloat(message, &field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return repeated ? reflection->GetRepeatedDouble(message, &field, index)
                      : reflection->GetDouble(message, &field);
    default:
      ENCKE_CHECK(false, field.full_name(), " is not a number");
  }
  return 0;
}

// The number at `path`, false where it was not given.
bool GivenNumber(const Message& root, const std::string& path, double* number) {
  const size_t dot = path.find('.');
  const auto* field = root.GetDescriptor()->FindFieldByName(path.substr(0, dot));
  ENCKE_CHECK(field != nullptr, path);
  if (!root.GetReflection()->HasField(root, field)) return false;
  if (dot != std::string::npos) {
    return GivenNumber(root.GetReflection()->GetMessage(root, field), path.substr(dot + 1), number);
  }
  *number = NumberOf(root, *field, 0);
  return true;
}

class RecipeCheck {
 public:
  RecipeCheck(const ConfigFile& file, Diagnostics* diagnostics)
      : file_(file), config_(file.config()), diagnostics_(diagnostics) {}

  void Check() {
    CheckFinite(config_, "");
    for (const Range& range : kRanges) CheckRange(range);
    if (config_.has_data()) CheckData();
    CheckSchedule();
    CheckActivations();
    CheckTraining();
  }

 private:
  void Report(const std::string& field, const std::string& message, const std::string& hint = "") {
    diagnostics_->Add(file_.SourceOf(field), message, hint);
  }

  // All numbers of the message and of those in it; `path` is its place, "" for the root.
  void CheckFinite(const Message& message, const std::string& path) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      const std::string name = path + field->name();
      const int size =
          field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 1;
      for (int i = 0; i < size; ++i) {
        CheckFinite(message, *field, i, field->is_repeated() ? StrCat(name, "[", i, "]") : name);
      }
    }
  }

  void CheckFinite(const Message& message, const FieldDescriptor& field, int index,
                   const std::string& path) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CheckFinite(SubMessage(message, field, index), path + ".");
    } else if (IsReal(field)) {
      const double number = NumberOf(message, field, index);
      if (!std::isfinite(number)) Report(path, StrCat("'", path, "' must be finite, not ", number));
    }
  }

  void CheckRange(const Range& range) {
    double number = 0;
    if (!GivenNumber(config_, range.field, &number) || !std::isfinite(number)) return;
    const bool low = range.open ? !(number > range.least) : !(number >= range.least);
    if (!low && number <= range.most) return;
    std::string must = StrCat(range.open ? "above " : "at least ", Plain(range.least));
    if (range.most != kInfinity) must += StrCat(" and at most ", Plain(range.most));
    Report(range.field, StrCat("'", range.field, "' must be ", must, ", not ", Plain(number)));
  }

  void CheckData() {
    const config::Data& data = config_.data();
    if (data.kind() != config::Data::SYNTHETIC && data.train().empty()) {
      Report("data.train",
             "data of kind " + config::Data::Kind_Name(data.kind()) + " needs 'train', its path",
             "give data { train: \"...\" } or --set data.train=...");
    }
    if (!data.has_kind() && !data.train().empty()) {
      Report("data.train", "'data.train' is given without 'kind', so images would be made up",
             "give data { kind: FOLDER }, or IDX, CIFAR or LIST; or leave 'train' out");
    }
    if (data.test_fraction() == 1) {
      Report("data.test_fraction", "'data.test_fraction' must be below 1",
             "some images must be left to train on");
    }
    CheckPerChannel("data.mean", data.mean_size());
    CheckPerChannel("data.std", data.std_size());
    for (int i = 0; i < data.std_size(); ++i) {
      if (data.std(i) > 0) continue;
      Report(StrCat("data.std[", i, "]"), StrCat("'std' must be above 0, not ", data.std(i)));
    }
    const config::RandomResizedCrop& crop = data.augment().random_resized_crop();
    if (crop.min_area() > crop.max_area() || crop.min_aspect() > crop.max_aspect()) {
      Report("data.augment.random_resized_crop", "the least area or aspect is above the most");
    }
    const int channels = config_.network().input().channels();
    if (channels != 1 && channels != 3) {
      Report("network.input.channels", StrCat("images have 1 or 3 channels, not ", channels));
    }
  }

  void CheckPerChannel(const std::string& field, int size) {
    const int channels = config_.network().input().channels();
    if (size == 0 || size == 1 || size == channels) return;
    Report(field + "[0]",
           StrCat("'", field, "' has ", size, " numbers, the input ", channels, " channels"));
  }

  void CheckSchedule() {
    const config::Schedule& schedule = config_.schedule();
    if (schedule.kind() == config::Schedule::STEP && !schedule.has_step()) {
      Report("schedule.step", "a schedule of kind STEP needs 'step'", "give step: EPOCHS");
    }
    if (schedule.kind() == config::Schedule::MULTISTEP && schedule.milestone().empty()) {
      Report("schedule.milestone", "a schedule of kind MULTISTEP needs 'milestone'",
             "give milestone: [30, 60]");
    }
    if (schedule.kind() == config::Schedule::ONE_CYCLE && schedule.warmup() > 0) {
      Report("schedule.warmup", "a schedule of kind ONE_CYCLE rises by itself",
             "leave 'warmup' out; 'peak_at' says when the peak is reached");
    }
    for (int i = 1; i < schedule.milestone_size(); ++i) {
      if (schedule.milestone(i) > schedule.milestone(i - 1)) continue;
      Report(StrCat("schedule.milestone[", i, "]"),
             StrCat("milestones must increase: ", schedule.milestone(i), " comes after ",
                    schedule.milestone(i - 1)));
    }
  }

  void CheckActivations() {
    const config::Activations& activations = config_.activations();
    CheckCodec("activations.codec", activations.codec());
    const std::pair<const char*, const config::Policy*> kinds[] = {
        {"relu", &activations.relu()},
        {"norm_input", &activations.norm_input()},
        {"value", &activations.value()}};
    for (const auto& [kind, policy] : kinds) {
      if (policy->has_codec()) CheckCodec(StrCat("activations.", kind, ".codec"), policy->codec());
    }
    if (activations.has_pool_limit()) CheckSize("activations.pool_limit", activations.pool_limit());
    if (activations.spill() && !activations.has_pool_limit()) {
      Report("activations.spill", "'spill' needs 'pool_limit', past which values go to the file",
             "give pool_limit: \"64MiB\", or keep: OFFLOAD for all to go there");
    }
  }

  void CheckCodec(const std::string& field, const std::string& codec) {
    std::vector<std::string> names = CodecNames();
    names.push_back("auto");  // fast or dense, as it fits
    if (std::find(names.begin(), names.end(), codec) != names.end()) return;
    Report(field, "there is no codec '" + codec + "'" + DidYouMean(codec, names) +
                      " (legal: " + Joined(names) + ")");
  }

  void CheckSize(const std::string& field, const std::string& size) {
    try {
      if (ParseBytes(size) > 0) return;
      Report(field, "'" + field + "' must be above 0, not " + size);
    } catch (const Error& error) {
      Report(field, error.message(), error.hint());
    }
  }

  void CheckTraining() {
    const config::Training& training = config_.training();
    if (training.label_smoothing() == 1) {
      Report("training.label_smoothing", "'training.label_smoothing' must be below 1");
    }
    if (training.has_memory_limit()) CheckSize("training.memory_limit", training.memory_limit());
  }

  const ConfigFile& file_;
  const config::Config& config_;
  Diagnostics* diagnostics_;
};

}  // namespace

void CheckRecipe(const ConfigFile& file, Diagnostics* diagnostics) {
  RecipeCheck(file, diagnostics).Check();
}

}  // namespace encke
