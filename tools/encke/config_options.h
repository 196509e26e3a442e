// The options that name a config and change it, shared by the commands that take one.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "engine/config/config.h"
#include "engine/core/device.h"

namespace encke::cli {

// Parsed command line of a command that works on a config. Must live as long as the CLI::App that
// writes to it.
struct ConfigOptions {
  std::string config;                  // as given
  std::vector<std::string> shorthand;  // overrides from --batch, --seed and so on
  std::vector<std::string> set;        // overrides from --set
  std::string device = "cpu";

  // Adds CONFIG, --set, --device, --threads and the shorthands that this command wants.
  void AddTo(CLI::App& app, bool config_required = true);
  // Adds `flag` as another way to write --set FIELD=value.
  void AddShorthand(CLI::App& app, const std::string& flag, const std::string& field,
                    const std::string& help);
  void AddBatch(CLI::App& app);
  void AddMode(CLI::App& app);
  void AddTolerance(CLI::App& app);
  void AddLength(CLI::App& app);       // --epochs, --iterations
  void AddSynthetic(CLI::App& app);    // --data synthetic
  void AddMemoryLimit(CLI::App& app);  // the limit that training keeps to
  void AddSeed(CLI::App& app);

  // Shorthands first: --set has the last word.
  std::vector<std::string> Overrides() const;
  // Error(CONFIG) as ConfigFile::Load.
  ConfigFile Load() const;
};

// The path of a config: `name` itself where such a file exists, otherwise a file of the model zoo
// ("resnet20_fashion" -> models/recipes/resnet20_fashion.textproto), looked for in the current
// folder and beside the program. Error(CONFIG) names what is like it.
std::string FindConfig(const std::string& name);

}  // namespace encke::cli
