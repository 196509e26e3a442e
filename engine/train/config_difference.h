// What changed between the config of a checkpoint and the one that is to go on from it.
#pragma once

#include <string>
#include <vector>

#include "models/encke.pb.h"

namespace encke {

struct ConfigDifference {
  std::string field;   // "training.batch", "network.step[3].conv.out[0]"
  std::string change;  // "64 -> 32"
};

// All fields whose values differ; one that is not given counts as its default.
std::vector<ConfigDifference> CompareConfigs(const config::Config& before,
                                             const config::Config& now);

// Whether a run may go on with another value of this field: where it ends, how it is watched, where
// files lie, how many threads work.
bool MayChangeOnResume(const std::string& field);

// Error(CONFIG) naming each field that differs but may not, with both values. `saved` is the text
// in the checkpoint at `path`. `network_only`: for evaluation, where only the network counts.
void CheckSameConfig(const std::string& saved, const config::Config& now, const std::string& path,
                     bool network_only);

}  // namespace encke
