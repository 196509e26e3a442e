// `encke bench codec`: every codec on dumped or made-up values, on the CPU or a GPU: size, speed,
// and whether each element kept its bound.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/backend/backend.h"
#include "engine/config/diagnostics.h"
#include "engine/core/device.h"
#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "tools/encke/codec_report.h"
#include "tools/encke/command.h"
#include "tools/encke/cpu_info.h"
#include "tools/encke/device_measurement.h"
#include "tools/encke/terminal.h"
#include "tools/encke/text_file.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

struct BenchArguments {
  std::string what, dump, csv, json;
  bool samples = false, totals_only = false;
  std::vector<std::string> codecs;
  std::string device = "cpu";
  double bound = -1;  // < 0: the inputs' own
  double scale = 1;
  MeasureOptions measure;
};

// The codecs that were asked for, by default all that run on the device.
std::vector<std::string> ChosenCodecs(const std::vector<std::string>& asked, const Device& device) {
  const std::vector<std::string> known = CodecNames();
  const std::vector<std::string> usable = device.is_cpu() ? known : GpuCodecNames();
  for (const std::string& name : asked) {
    if (FindCodec(name) == nullptr) {
      throw Error(ErrorKind::USAGE, "there is no codec '" + name + "'" + DidYouMean(name, known),
                  "--codec", "`encke help bench` lists them");
    }
    if (std::find(usable.begin(), usable.end(), name) == usable.end()) {
      throw Error(ErrorKind::USAGE, "codec " + name + " does not run on a GPU", "--codec",
                  "raw, fast and dense do");
    }
  }
  return asked.empty() ? usable : asked;
}

// Null for the CPU, which is measured by itself, with one thread and with all.
std::unique_ptr<Backend> DeviceOf(const BenchArguments& arguments, const Device& device) {
  if (device.is_cpu()) return nullptr;
  if (arguments.measure.threads > 0) {
    throw Error(ErrorKind::USAGE, "threads are the CPU's", "--threads",
                "leave it out with --device=" + arguments.device);
  }
  return NewBackend(device);
}

std::vector<CodecInputSource> Sources(const BenchArguments& arguments) {
  std::vector<CodecInputSource> sources;
  if (!arguments.dump.empty()) sources = DumpedInputs(arguments.dump);
  if (arguments.samples || arguments.dump.empty()) {
    const std::vector<CodecInputSource> samples = SampleInputs();
    sources.insert(sources.end(), samples.begin(), samples.end());
  }
  return sources;
}

void ChangeBounds(const BenchArguments& arguments, CodecInput* input) {
  ErrorBound& bound = input->options.bound;
  if (arguments.bound >= 0) {
    // Keeps the kind: one bound a channel stays one a channel.
    bound.uniform = static_cast<float>(arguments.bound);
    std::fill(bound.channel.begin(), bound.channel.end(), bound.uniform);
  }
  const auto scale = static_cast<float>(arguments.scale);
  bound.uniform *= scale;
  for (float& b : bound.channel) b *= scale;
}

// As it was asked for, without the folder's place.
std::string CommandText(const BenchArguments& arguments) {
  std::string text = "encke bench codec";
  if (!arguments.dump.empty()) text += " <dump dir>";
  if (arguments.samples) text += " --samples";
  if (arguments.device != "cpu") text += " --device=" + arguments.device;
  for (size_t i = 0; i < arguments.codecs.size(); ++i) {
    text += (i == 0 ? " --codec " : ",") + arguments.codecs[i];
  }
  return text;
}

// `backend`: null for the CPU.
ordered_json Header(const BenchArguments& arguments, const Backend* backend) {
  std::ifstream cpu("/proc/cpuinfo");
  const CpuInfo info = ReadCpuInfo(cpu);
  ordered_json header = {{"command", CommandText(arguments)}, {"machine", info.model}};
  if (backend == nullptr) {
    SetThreads(arguments.measure.threads);
    header["instructions"] = InstructionSets(info);
    header["all_threads"] = Threads();
  } else {
    header["device"] = backend->name();
  }
  header["repeats"] = arguments.measure.repeats;
  if (arguments.bound >= 0) header["bound"] = arguments.bound;
  if (arguments.scale != 1) header["bounds_scaled_by"] = arguments.scale;
  return header;
}

int64_t ViolationsOfBounded(const std::vector<CodecMeasurement>& measurements) {
  int64_t violations = 0;
  for (const CodecMeasurement& m : measurements) {
    if (m.bounded) violations += m.errors.violations();
  }
  return violations;
}

int Bench(const BenchArguments& arguments) {
  const Device device = Device::Parse(arguments.device);
  const std::vector<std::string> codecs = ChosenCodecs(arguments.codecs, device);
  const std::unique_ptr<Backend> backend = DeviceOf(arguments, device);
  std::vector<CodecMeasurement> all;
  for (const CodecInputSource& source : Sources(arguments)) {
    CodecInput input = source();
    ChangeBounds(arguments, &input);
    const std::vector<CodecMeasurement> results =
        backend == nullptr ? MeasureCodecs(input, codecs, arguments.measure)
                           : MeasureOnDevice(*backend, input, codecs, arguments.measure.repeats);
    all.insert(all.end(), results.begin(), results.end());
  }
  const int width = TerminalWidth(Stream::OUT, 0);
  std::string text = arguments.totals_only ? "" : LayersText(all, width) + "\n";
  text += TotalsText(TotalsOf(all), width);
  std::fputs(text.c_str(), stdout);
  ordered_json json = Header(arguments, backend.get());
  json.update(ToJson(all));
  if (!arguments.json.empty()) WriteTextFile(arguments.json, json.dump(1) + "\n");
  if (!arguments.csv.empty()) WriteTextFile(arguments.csv, ToCsv(all));
  const int64_t violations = ViolationsOfBounded(all);
  if (violations == 0) return 0;
  std::fprintf(stderr, "error: %lld elements broke the contract of a codec that promises a bound\n",
               static_cast<long long>(violations));
  return 1;
}

void AddOptions(CLI::App& app, BenchArguments* arguments) {
  app.add_option("WHAT", arguments->what, "What to measure: codec")
      ->required()
      ->check(CLI::IsMember({"codec"}))
      ->type_name("codec");
  app.add_option("DUMP_DIR", arguments->dump,
                 "Folder that `encke train --dump-activations` wrote; without: made-up samples");
  app.add_flag("--samples", arguments->samples, "Also the made-up samples");
  app.add_option("--codec", arguments->codecs,
                 "raw, fast, dense, lossless, quant2, quant4, quant8, jpeg; the first three on a "
                 "GPU; default: all")
      ->delimiter(',')
      ->type_name("NAME,...");
  app.add_option("--device", arguments->device, "cpu, cuda or cuda:INDEX")->type_name("DEVICE");
  CLI::Option* bound =
      app.add_option("--bound", arguments->bound, "One absolute bound for all values")
          ->check(CLI::NonNegativeNumber)
          ->type_name("BOUND");
  app.add_option("--scale-bounds", arguments->scale,
                 "Multiply all bounds, as a changed tolerance would")
      ->check(CLI::PositiveNumber)
      ->excludes(bound)
      ->type_name("FACTOR");
  app.add_option("--threads", arguments->measure.threads, "What `all` means; 0 = all cores")
      ->check(CLI::NonNegativeNumber)
      ->type_name("THREADS");
  app.add_option("--repeats", arguments->measure.repeats, "The fastest of so many counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("N");
  app.add_flag("--totals", arguments->totals_only, "Show totals only");
  app.add_option("--csv", arguments->csv, "Also write every row to this file")->type_name("FILE");
  app.add_option("--json", arguments->json, "Also write rows and totals to this file")
      ->type_name("FILE");
}

}  // namespace

Command BenchCommand() {
  Command command;
  command.name = "bench";
  command.summary = "Measure codecs on saved values: size, speed, error";
  command.examples =
      "  encke bench codec                                  on made-up samples\n"
      "  encke train resnet18_fashion --dump-activations dump --at-iteration 600 --iterations 600\n"
      "  encke bench codec dump --codec fast,dense --json codecs.json\n"
      "  encke bench codec dump --scale-bounds 0.1 --totals\n"
      "  encke bench codec dump --device=cuda               in the GPU's pool\n"
      "GB/s are of uncompressed bytes through the pool, learning of tables and all copies "
      "included,\n"
      "on one thread and on all, or on the GPU, where launching counts, too. `to entropy` "
      "compares\n"
      "what is stored with an ideal coder that knows each value's codes given the classes of the\n"
      "left and upper neighbour. Errors are over the bound. A violation is an element outside of\n"
      "its bound, on the other side of the mask, or a changed NaN or infinity; the rivals quant "
      "and\n"
      "jpeg promise none of that, any other codec's violation ends the program with exit code 1.";
  command.set_up = [](CLI::App& app) {
    auto arguments = std::make_shared<BenchArguments>();
    AddOptions(app, arguments.get());
    return [arguments] { return Bench(*arguments); };
  };
  return command;
}

}  // namespace encke::cli
