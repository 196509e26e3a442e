// `encke compare`: the same training in several modes, each in a process of its own, side by side.
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "engine/train/options.h"
#include "engine/train/run_directory.h"
#include "tools/encke/child_process.h"
#include "tools/encke/command.h"
#include "tools/encke/compare_table.h"
#include "tools/encke/config_options.h"
#include "tools/encke/terminal.h"
#include "tools/encke/text_file.h"

namespace encke::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct CompareArguments {
  ConfigOptions config;
  std::vector<std::string> modes = {"raw", "encke"};
  std::string memory_limit;
  std::string json;
};

std::vector<std::string> OverridesOf(const CompareArguments& arguments, const ModeSpec& mode) {
  std::vector<std::string> overrides = arguments.config.Overrides();
  overrides.insert(overrides.end(), mode.overrides.begin(), mode.overrides.end());
  return overrides;
}

// All modes, checked as far as can be without running them.
std::vector<ModeSpec> CheckedModes(const CompareArguments& arguments, const std::string& config) {
  std::vector<ModeSpec> modes;
  for (const std::string& text : arguments.modes) {
    modes.push_back(ParseMode(text));
    if (std::count(arguments.modes.begin(), arguments.modes.end(), text) > 1) {
      throw Error(ErrorKind::USAGE, StrCat("mode ", text, " is named twice"), "--modes",
                  "name each mode once");
    }
    BuildNetwork(ConfigFile::Load(config, OverridesOf(arguments, modes.back())));
  }
  return modes;
}

std::vector<std::string> ChildArguments(const CompareArguments& arguments,
                                        const std::string& config, const ModeSpec& mode) {
  std::vector<std::string> child = {"compare-mode", config, "--device", arguments.config.device};
  for (const std::string& value : OverridesOf(arguments, mode)) {
    child.insert(child.end(), {"--set", value});
  }
  if (!arguments.memory_limit.empty()) {
    child.insert(child.end(), {"--memory-limit", arguments.memory_limit});
  }
  return child;
}

// Throws when a signal ended the child; its own errors it has reported itself.
void CheckSignal(const ChildResult& child, const std::string& mode) {
  if (child.signal == 0) return;
  throw Error(child.signal == SIGKILL ? ErrorKind::MEMORY : ErrorKind::DEVICE,
              StrCat("mode ", mode, " was ended by signal ", child.signal), "",
              child.signal == SIGKILL ? "the machine may have run out of memory; try --batch" : "");
}

ordered_json Header(const CompareArguments& arguments, const std::string& path) {
  const ConfigFile config = arguments.config.Load();
  const config::Training& training = config.config().training();
  ordered_json header = {{"config", path},
                         {"name", RunName(config.config())},
                         {"batch", training.batch()},
                         {"seed", training.seed()},
                         {"device", arguments.config.device},
                         {"overrides", arguments.config.Overrides()}};
  if (!arguments.memory_limit.empty()) {
    header["memory_limit_bytes"] = ParseBytes(arguments.memory_limit);
  }
  return header;
}

// Before hours of training rather than after them.
void MakeRoomFor(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    throw Error(ErrorKind::DATA, "cannot write the comparison: this is a folder", path,
                "name a file");
  }
  const fs::path folder = fs::path(path).parent_path();
  failure.clear();
  if (!folder.empty()) fs::create_directories(folder, failure);
  if (failure) {
    throw Error(ErrorKind::DATA, "cannot make the folder: " + failure.message(), folder.string());
  }
}

// What the modes that have run gave.
struct Figures {
  std::vector<std::string> names;
  std::vector<ordered_json> modes;
  bool stopped = false;  // on request, before all modes had run to their end

  void Add(const std::string& name, ordered_json mode) {
    names.push_back(name);
    modes.push_back(std::move(mode));
  }
  int64_t iterations() const { return modes.back().at("iterations").get<int64_t>(); }
};

void Print(const ordered_json& header, const Figures& figures, const std::string& memory_limit) {
  const std::string text =
      StrCat("\n", header.at("name").get<std::string>(), ": batch ",
             header.at("batch").get<int64_t>(), ", ", figures.iterations(), " iterations, seed ",
             header.at("seed").get<uint64_t>(), figures.stopped ? ", stopped on request" : "",
             "\n\n", CompareTable(figures.names, figures.modes, memory_limit));
  std::fputs(text.c_str(), stdout);
}

// A part of a comparison does not take the place of what is there.
void Save(const ordered_json& result, bool stopped, const std::string& path) {
  std::error_code ignored;
  if (stopped && fs::exists(path, ignored)) {
    std::printf("\nnot saved: stopped on request, and %s is there from before\n", path.c_str());
    return;
  }
  WriteTextFile(path, result.dump(2) + "\n");
  std::printf("\nsaved to %s\n", path.c_str());
}

int Compare(const CompareArguments& arguments) {
  if (!arguments.memory_limit.empty()) ParseBytes(arguments.memory_limit);
  const std::string path = FindConfig(arguments.config.config);
  const std::vector<ModeSpec> modes = CheckedModes(arguments, path);
  ordered_json result = Header(arguments, path);
  result["modes"] = ordered_json::object();
  const std::string json =
      arguments.json.empty()
          ? UnusedPath("runs/compare-" + result.at("name").get<std::string>(), ".json")
          : arguments.json;
  MakeRoomFor(json);
  Figures figures;
  for (const ModeSpec& mode : modes) {
    std::fprintf(stderr, "mode %s (%zu of %zu)\n", mode.name.c_str(), figures.names.size() + 1,
                 modes.size());
    const ChildResult child = RunSelf(ChildArguments(arguments, path, mode));
    CheckSignal(child, mode.name);
    if (child.exit_code != 0) return child.exit_code;
    figures.Add(mode.name, ordered_json::parse(child.result));
    result["modes"][mode.name] = figures.modes.back();
    const bool last = figures.modes.size() == modes.size();
    const bool interrupted = figures.modes.back().at("interrupted").get<bool>();
    figures.stopped = interrupted || (child.stop_requested && !last);
    if (figures.stopped) break;
  }
  Print(result, figures, arguments.memory_limit);
  Save(result, figures.stopped, json);
  return 0;
}

}  // namespace

Command CompareCommand() {
  Command command;
  command.name = "compare";
  command.summary = "Train in several modes and show memory, speed and accuracy side by side";
  command.examples =
      "  encke compare resnet20_fashion --epochs 1\n"
      "  encke compare resnet20_fashion --iterations 100 --modes raw,encke,encke:tolerance=0.1\n"
      "  encke compare resnet50 --data synthetic --batch 8 --iterations 5 --memory-limit 4GiB\n"
      "  encke compare vgg16 --data synthetic --iterations 5 --json vgg16.json\n"
      "Every mode trains with the same seed in a process of its own, so that the resident peak is\n"
      "its own. The largest batch is the plan's, with the ratio that was measured.";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<CompareArguments>();
    ConfigOptions& config = arguments->config;
    config.AddTo(app);
    app.add_option("--modes", arguments->modes,
                   "raw and encke, the latter also with settings: encke:tolerance=0.1:rule=COMET")
        ->delimiter(',')
        ->type_name("MODE,...");
    config.AddLength(app);
    config.AddBatch(app);
    config.AddSeed(app);
    config.AddTolerance(app);
    config.AddSynthetic(app);
    app.add_option("--memory-limit", arguments->memory_limit,
                   "Also show the largest batch that fits, e.g. in 4GiB")
        ->type_name("SIZE");
    app.add_option("--json", arguments->json,
                   "Where to save the figures; default runs/compare-NAME.json, or numbered "
                   "where that is there")
        ->type_name("FILE");
    return [arguments] { return Compare(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
