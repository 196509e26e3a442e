#include "engine/train/config_difference.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <sstream>

#include "engine/core/error.h"

namespace encke {
namespace {

using google::protobuf::util::MessageDifferencer;

// A line of the differencer's report: "modified: training.batch: 64 -> 32", "added: name: \"x\"".
ConfigDifference ParseLine(const std::string& line) {
  const size_t field = line.find(": ") + 2;
  const size_t value = line.find(": ", field);
  const std::string kind = line.substr(0, field - 2);
  const std::string what = value == std::string::npos ? "" : line.substr(value + 2);
  const std::string change = kind == "added"     ? "not given -> " + what
                             : kind == "deleted" ? what + " -> not given"
                                                 : what;
  return {line.substr(field, value - field), change};
}

bool Counts(const ConfigDifference& difference, bool network_only) {
  if (network_only) return difference.field.rfind("network.", 0) == 0;
  return !MayChangeOnResume(difference.field);
}

}  // namespace

std::vector<ConfigDifference> CompareConfigs(const config::Config& before,
                                             const config::Config& now) {
  MessageDifferencer differencer;
  differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);
  std::string report;
  differencer.ReportDifferencesToString(&report);
  differencer.Compare(before, now);
  std::vector<ConfigDifference> differences;
  std::istringstream lines(report);
  for (std::string line; std::getline(lines, line);) differences.push_back(ParseLine(line));
  return differences;
}

bool MayChangeOnResume(const std::string& field) {
  static constexpr const char* kFree[] = {
      "base",
      "name",
      "data.train",
      "data.test",
      "data.workers",
      "data.prefetch",
      "training.epochs",
      "training.iterations",
      "training.evaluate_every",
      "training.evaluation_batch",
      "training.checkpoint_every",
      "training.keep_checkpoints",
      "training.threads",
      "training.memory_limit",
      "training.output",
      "activations.offload_folder",
      "activations.pool_limit",
      "activations.spill",
      "activations.log_every",
      "activations.audit_every",
      "activations.audit_at",
  };
  const std::string without_index = field.substr(0, field.find('['));
  return std::any_of(std::begin(kFree), std::end(kFree),
                     [&](const char* free) { return without_index == free; });
}

void CheckSameConfig(const std::string& saved, const config::Config& now, const std::string& path,
                     bool network_only) {
  config::Config before;
  if (!google::protobuf::TextFormat::ParseFromString(saved, &before))
    throw Error(ErrorKind::DATA, "the config in the checkpoint is damaged", path);
  std::string list;
  for (const ConfigDifference& difference : CompareConfigs(before, now))
    if (Counts(difference, network_only))
      list += StrCat("\n  ", difference.field, ": ", difference.change);
  if (!list.empty())
    throw Error(ErrorKind::CONFIG,
                "the config differs from the one that the checkpoint was made with:" + list, path,
                "take these changes back, or start a new run");
}

}  // namespace encke
