// A tiny network and made-up data for tests that train.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/train/trainer.h"

namespace encke {

// 16x16 images of four classes, two convolutions with batch norm, dropout, 16 iterations an epoch.
ConfigFile TinyConfig(const std::vector<std::string>& overrides = {});

// Overrides with which its values are dense at first, and fast later.
std::vector<std::string> WithCodecAuto();

// An empty folder of the test.
std::string TestFolder(const std::string& name);

// The whole file, "" when there is none.
std::string ReadText(const std::string& path);

struct Run {
  std::string directory;  // "" = nothing is written
  std::string resume;
  std::function<void(const Progress&)> observer = [](const Progress&) {};
};
TrainingResult Train(const ConfigFile& config, const Run& run);

}  // namespace encke
