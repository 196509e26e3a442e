#include "engine/graph/codec_choice.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace encke {
namespace {

using Json = nlohmann::json;

// How many times a value's bytes with dense those with fast are at most, about: 1.3 to 2
// (doc/results/codec.md). One that might not fit stays dense.
constexpr double kFastOverDense = 2.0;

const std::string kFast = "fast", kDense = "dense";

}  // namespace

const std::string& CodecChoice::Choose(int value, int64_t raw_bytes, int64_t foreseen) {
  const Seen seen = seen_[value];
  seen_[value] = Seen();
  if (seen.raw_bytes == 0) return kDense;  // nobody knows what fast would take
  const double share = static_cast<double>(seen.stored_bytes) / static_cast<double>(seen.raw_bytes);
  const auto expected = static_cast<int64_t>(share * static_cast<double>(raw_bytes));
  const int64_t fast = seen.codec == kFast
                           ? expected
                           : static_cast<int64_t>(kFastOverDense * static_cast<double>(expected));
  const bool fits = held_ + fast <= foreseen;
  held_ += fits ? fast : expected;
  return fits ? kFast : kDense;
}

void CodecChoice::Stored(int value, const StoredValue& stored) {
  if (stored.codec != kFast && stored.codec != kDense) return;
  Seen& seen = seen_[value];
  seen.codec = stored.codec;
  seen.raw_bytes += stored.raw_bytes;
  seen.stored_bytes += stored.stored_bytes;
}

std::string CodecChoice::Save() const {
  Json json = Json::object();
  for (const auto& [value, seen] : seen_) {
    json[std::to_string(value)] = {seen.codec, seen.raw_bytes, seen.stored_bytes};
  }
  return json.dump();
}

void CodecChoice::Restore(const std::string& state) {
  std::map<int, Seen> all;
  try {
    const Json json = Json::parse(state);
    for (const auto& [value, saved] : json.items()) {
      all[std::atoi(value.c_str())] = {saved.at(0), saved.at(1), saved.at(2)};
    }
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::DATA, StrCat("the state of the codecs is damaged: ", error.what()));
  }
  seen_ = std::move(all);
}

}  // namespace encke
