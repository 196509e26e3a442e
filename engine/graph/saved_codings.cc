#include "engine/graph/saved_codings.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostIterations = 15;  // that something learnt serves
constexpr int64_t kEarly = 2;            // early in a run at most the iteration over this
constexpr double kDrift = 1.03;          // in stored bytes
constexpr double kShrunk = 0.85;         // likewise: what was learnt is for other data
constexpr double kBoundChange = 0.05;

double ShareOf(const StoredValue& stored) {
  return static_cast<double>(stored.stored_bytes) / static_cast<double>(stored.raw_bytes);
}

// One for all channels.
double BoundOf(const CodecOptions& options) {
  if (options.bound.channel.empty()) return options.bound.uniform;
  double squares = 0;
  for (const float bound : options.bound.channel) squares += static_cast<double>(bound) * bound;
  return std::sqrt(squares / static_cast<double>(options.bound.channel.size()));
}

// Whether the coding has as many channels as the options, where either says.
bool SameChannels(const LearntCoding& coding, const CodecOptions& options) {
  return (coding.centers.empty() || coding.centers.size() == options.bound.channel.size()) &&
         (coding.centroid.empty() ||
          coding.centroid.size() == options.activity.threshold.size() * kCentroids);
}

LearntCoding CodingFrom(const Json& json, const Codec* codec) {
  LearntCoding coding;
  coding.mode = static_cast<QuantizerMode>(json.at("mode").get<int>());
  coding.centers = json.at("centers").get<std::vector<float>>();
  coding.centroid = json.at("centroid").get<std::vector<int8_t>>();
  coding.tables = json.at("tables").get<std::vector<uint8_t>>();
  const bool centered = coding.centers.empty() || coding.mode == QuantizerMode::SIGNED;
  if (codec == nullptr || coding.mode > QuantizerMode::ACTIVITY || !centered ||
      !codec->KnowsTables(coding.tables, coding.mode)) {
    throw Error(ErrorKind::DATA, "the checkpoint holds code tables that no run has learnt");
  }
  return coding;
}

}  // namespace

std::shared_ptr<const LearntCoding> SavedCodings::PriorOf(int value, const PutOptions& options,
                                                          int64_t iteration) const {
  const auto found = known_.find(value);
  if (found == known_.end()) return nullptr;
  const Known& known = found->second;
  const int64_t age = iteration - known.iteration;
  const bool old = age < 0 || age > std::min(kMostIterations, known.iteration / kEarly);
  const bool moved = std::abs(BoundOf(options.coding) - known.bound) > kBoundChange * known.bound;
  const bool other = known.codec != options.codec || known.coding->mode != ModeOf(options.coding) ||
                     !SameChannels(*known.coding, options.coding);
  return old || moved || other || known.drifted ? nullptr : known.coding;
}

void SavedCodings::Used(int value, const StoredValue& stored) {
  Known& known = known_.at(value);
  const double share = ShareOf(stored);
  known.drifted = share > kDrift * known.share || share < kShrunk * known.share;
}

void SavedCodings::Learnt(int value, const PutOptions& options, int64_t iteration,
                          const StoredValue& stored, const ValueCoding& coding) {
  known_[value] = {std::make_shared<LearntCoding>(coding.Learnt()),
                   options.codec,
                   BoundOf(options.coding),
                   iteration,
                   ShareOf(stored),
                   false};
}

std::string SavedCodings::Save() const {
  Json json = Json::object();
  for (const auto& [value, known] : known_) {
    json[std::to_string(value)] = {{"codec", known.codec},
                                   {"bound", known.bound},
                                   {"iteration", known.iteration},
                                   {"share", known.share},
                                   {"drifted", known.drifted},
                                   {"mode", static_cast<int>(known.coding->mode)},
                                   {"centers", known.coding->centers},
                                   {"centroid", known.coding->centroid},
                                   {"tables", known.coding->tables}};
  }
  return json.dump();
}

void SavedCodings::Restore(const std::string& state) {
  std::map<int, Known> known;
  try {
    const Json json = Json::parse(state);
    for (const auto& [value, saved] : json.items()) {
      Known& k = known[std::atoi(value.c_str())];
      saved.at("codec").get_to(k.codec);
      saved.at("bound").get_to(k.bound);
      saved.at("iteration").get_to(k.iteration);
      saved.at("share").get_to(k.share);
      saved.at("drifted").get_to(k.drifted);
      k.coding = std::make_shared<LearntCoding>(CodingFrom(saved, FindCodec(k.codec)));
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::DATA, StrCat("the state of the code tables is damaged: ", error.what()));
  }
  known_ = std::move(known);
}

}  // namespace encke
