#include "tests/tools/run_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/core/error.h"

namespace encke::test {
namespace {

namespace fs = std::filesystem;

// As a text in JSON, or doubled for CSV.
std::string WithEscapedQuotes(const std::string& text, const std::string& quote) {
  std::string escaped;
  for (const char c : text) escaped += c == '"' ? quote : std::string(1, c);
  return escaped;
}

std::string Metric(int iteration, double loss, double ratio) {
  return StrCat("{\"iteration\":", iteration, ",\"epoch\":", iteration / 20.0, ",\"loss\":", loss,
                ",\"top1\":50,\"images_per_second\":100,\"raw_bytes\":4096,\"stored_bytes\":",
                4096 / ratio, ",\"ratio\":", ratio, ",\"memory_peak\":{\"total\":10000}}\n");
}

std::string Activation(int iteration, const std::string& layer, const std::string& more) {
  return StrCat("{\"iteration\":", iteration, ",\"layer\":\"", WithEscapedQuotes(layer, "\\\""),
                "\",\"value\":1,\"shape\":[2,3,8,8],\"codec\":\"fast\",\"raw_bytes\":4096,"
                "\"stored_bytes\":512,",
                more, "}\n");
}

std::string Memory(int step, const std::string& action, const std::string& layer, int saved) {
  return StrCat("20,", step, ",", action, ",\"", WithEscapedQuotes(layer, "\"\""),
                "\",100,100,100,", saved, ",1000,0,50,500,", 1850 + saved, ",", 1350 + saved, ",",
                1400 + saved, "\n");
}

}  // namespace

std::string NewFolder(const std::string& name) {
  const std::string path = testing::TempDir() + "/" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

void WriteFile(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string WriteRun(const std::string& name, const std::string& layer, const std::string& config) {
  const std::string run = NewFolder(name);
  WriteFile(run + "/config.textproto", "name: \"tiny\"\n" + config);
  WriteFile(run + "/metrics.jsonl",
            Metric(10, 2, 4) +
                "{\"iteration\":10,\"epoch\":0.5,\"eval_loss\":1.5,\"eval_top1\":61.25}\n" +
                Metric(20, 1, 8));
  const std::string bound = "\"kind\":\"relu\",\"error_bound\":0.25,\"predicted_sigma\":0.002";
  WriteFile(run + "/activations.jsonl",
            Activation(10, layer, bound) + Activation(20, layer, bound) +
                Activation(20, layer,
                           "\"kind\":\"audit\",\"predicted_sigma\":0.002,\"measured_sigma\":0.0022,"
                           "\"bias\":0,\"consumer\":\"conv2\""));
  WriteFile(run + "/memory.csv",
            "iteration,step,action,layer,parameter,gradient,optimizer,saved,transient,workspace,"
            "data,unused,total,in_use,predicted_in_use\n" +
                Memory(0, "forward", layer, 0) + Memory(1, "store", layer, 512) +
                Memory(2, "backward", layer, 4096) + Memory(3, "backward", "conv2", 512));
  WriteFile(run + "/environment.jsonl",
            "{\"version\":\"encke 0.1.0\",\"command\":\"encke train tiny\",\"threads\":1}\n");
  return run;
}

}  // namespace encke::test
