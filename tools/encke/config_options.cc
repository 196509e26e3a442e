#include "tools/encke/config_options.h"

#include <algorithm>
#include <filesystem>

#include "engine/config/diagnostics.h"
#include "engine/core/error.h"

namespace encke::cli {
namespace {

namespace fs = std::filesystem;

constexpr char kSuffix[] = ".textproto";

// Folders that may hold `models/`: here, and the program's own.
std::vector<fs::path> Roots() {
  std::error_code ignored;
  const fs::path program = fs::read_symlink("/proc/self/exe", ignored);
  return {fs::path("."), fs::path(program.string() + ".runfiles") / "encke",
          program.parent_path().parent_path() / "share" / "encke"};
}

std::vector<fs::path> ZooFolders() {
  std::vector<fs::path> folders;
  for (const fs::path& root : Roots()) {
    folders.push_back(root / "models" / "recipes");
    folders.push_back(root / "models");
  }
  return folders;
}

std::vector<std::string> ZooNames() {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const fs::path& folder : ZooFolders()) {
    for (const auto& entry : fs::directory_iterator(folder, ignored)) {
      if (entry.path().extension() == kSuffix) names.push_back(entry.path().stem().string());
    }
  }
  return names;
}

std::string Upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace

std::string FindConfig(const std::string& name) {
  std::error_code ignored;
  if (fs::is_regular_file(name, ignored)) return name;
  const fs::path of_run = fs::path(name) / "config.textproto";
  if (fs::is_regular_file(of_run, ignored)) return of_run.string();
  const bool is_path = name.find('/') != std::string::npos || fs::path(name).has_extension();
  if (!is_path) {
    for (const fs::path& folder : ZooFolders()) {
      const fs::path path = folder / (name + kSuffix);
      if (fs::is_regular_file(path, ignored)) return path.lexically_normal().string();
    }
  }
  const std::string nearest = NearestName(fs::path(name).stem().string(), ZooNames());
  throw Error(ErrorKind::CONFIG, "there is no such config file", name,
              nearest.empty() ? "networks are in models/, recipes in models/recipes/"
                              : StrCat("did you mean ", nearest, "?"));
}

void ConfigOptions::AddTo(CLI::App& app, bool config_required) {
  app.add_option(
         "CONFIG", config,
         "Recipe or network: a .textproto file, the name of one in models/, or a run directory")
      ->required(config_required);
  app.add_option("--set", set, "Override a field of the config; may be given several times")
      ->type_name("FIELD=VALUE")
      ->expected(1)
      ->take_all();
  app.add_option("--device", device, "cpu, cuda or cuda:INDEX")->type_name("DEVICE");
  AddShorthand(app, "--threads", "training.threads", "Threads to compute with; 0 = all cores");
}

void ConfigOptions::AddShorthand(CLI::App& app, const std::string& flag, const std::string& field,
                                 const std::string& help) {
  app.add_option_function<std::string>(
         flag,
         [this, field](const std::string& value) { shorthand.push_back(field + "=" + value); },
         help + " (" + field + ")")
      ->type_name(Upper(field.substr(field.rfind('.') + 1)));
}

void ConfigOptions::AddBatch(CLI::App& app) {
  AddShorthand(app, "--batch", "training.batch", "Images per iteration");
}

void ConfigOptions::AddMode(CLI::App& app) {
  app.add_option_function<std::string>(
         "--mode",
         [this](const std::string& mode) {
           shorthand.push_back("activations.mode=" + Upper(mode));
         },
         "raw or encke: how saved values are kept (activations.mode)")
      ->check(CLI::IsMember({"raw", "encke"}, CLI::ignore_case))
      ->type_name("MODE");
}

void ConfigOptions::AddTolerance(CLI::App& app) {
  AddShorthand(app, "--tolerance", "activations.tolerance",
               "Gradient noise allowed, as a fraction of the mean momentum");
}

void ConfigOptions::AddLength(CLI::App& app) {
  AddShorthand(app, "--epochs", "training.epochs", "Passes over the training data");
  AddShorthand(app, "--iterations", "training.iterations", "Stop after so many iterations");
}

void ConfigOptions::AddSynthetic(CLI::App& app) {
  app.add_option_function<std::string>(
         "--data", [this](const std::string&) { shorthand.emplace_back("data.kind=SYNTHETIC"); },
         "synthetic: made-up images of the network's input size in place of the recipe's data")
      ->check(CLI::IsMember({"synthetic"}))
      ->type_name("synthetic");
}

void ConfigOptions::AddMemoryLimit(CLI::App& app) {
  AddShorthand(app, "--memory-limit", "training.memory_limit",
               "Plan to need no more, e.g. 2GiB; refuse what cannot");
}

void ConfigOptions::AddSeed(CLI::App& app) {
  AddShorthand(app, "--seed", "training.seed", "Of everything random");
}

std::vector<std::string> ConfigOptions::Overrides() const {
  std::vector<std::string> all = shorthand;
  all.insert(all.end(), set.begin(), set.end());
  return all;
}

ConfigFile ConfigOptions::Load() const { return ConfigFile::Load(FindConfig(config), Overrides()); }

}  // namespace encke::cli
