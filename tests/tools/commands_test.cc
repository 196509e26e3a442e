// The program without training: help, mistakes and their exit codes, check, summary.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace encke::test {
namespace {

using nlohmann::json;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Help, EveryCommandHasExamples) {
  const Sandbox sandbox;
  for (const char* command :
       {"train", "test", "summary", "check", "compare", "inspect", "bench", "devices"}) {
    const Outcome help = sandbox.Run({"help", command});
    EXPECT_EQ(help.exit_code, 0) << command;
    EXPECT_TRUE(Has(help.out, "Examples:\n  encke " + std::string(command))) << help.out;
    EXPECT_EQ(help.out, sandbox.Run({command, "--help"}).out) << command;
    EXPECT_TRUE(Has(sandbox.Run({"help"}).out, command));
  }
}

TEST(Help, VersionIsShown) {
  const Outcome version = Sandbox().Run({"--version"});
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.out.rfind("encke ", 0), 0u) << version.out;
}

// Threads that spin for long take the cores from what they wait for; who asks for it gets it.
TEST(Threads, SpinShortlyUnlessTheUserSaysHowToWait) {
  setenv("OMP_DISPLAY_ENV", "VERBOSE", 1);
  const std::string tests_own =
      std::getenv("OMP_WAIT_POLICY") ? std::getenv("OMP_WAIT_POLICY") : "";
  unsetenv("OMP_WAIT_POLICY");
  const Sandbox sandbox;
  EXPECT_TRUE(Has(sandbox.Run({"--version"}).err, "GOMP_SPINCOUNT = '3000'"));
  setenv("OMP_WAIT_POLICY", "ACTIVE", 1);
  EXPECT_FALSE(Has(sandbox.Run({"--version"}).err, "GOMP_SPINCOUNT = '3000'"));
  setenv("OMP_WAIT_POLICY", tests_own.c_str(), 1);
  unsetenv("OMP_DISPLAY_ENV");
}

TEST(Usage, MistakesExitWith2AndSayWhatHelps) {
  const Sandbox sandbox;
  const Outcome unknown = sandbox.Run({"trian"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_TRUE(Has(unknown.err, "did you mean 'train'?")) << unknown.err;
  const Outcome option = sandbox.Run({"train", "x.textproto", "--bach", "3"});
  EXPECT_EQ(option.exit_code, 2);
  EXPECT_TRUE(Has(option.err, "encke help train")) << option.err;
  EXPECT_EQ(sandbox.Run({}).exit_code, 2);
  EXPECT_EQ(sandbox.Run({"train"}).exit_code, 2);
  EXPECT_EQ(sandbox.Run({"compare", "lenet5", "--modes", "sz"}).exit_code, 2);
  EXPECT_EQ(sandbox.Run({"inspect"}).exit_code, 2) << "there is no run";
}

TEST(Bench, MeasuresCodecsOnMadeUpSamples) {
  const Sandbox sandbox;
  const Outcome bench = sandbox.Run({"bench", "codec", "--codec", "dense,quant4", "--repeats", "1",
                                     "--json", "codecs.json", "--csv", "codecs.csv"});
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_TRUE(Has(bench.out, "sample:relu")) << bench.out;
  const json results = json::parse(sandbox.Read("codecs.json"));
  EXPECT_EQ(results.at("command"), "encke bench codec --codec dense,quant4");
  EXPECT_EQ(results.at("layers").size(), 12u);
  EXPECT_TRUE(Has(sandbox.Read("codecs.csv"), "\nsample:tiny,other,quant4,1,1,1,10,40,"));
  const Outcome coarse =
      sandbox.Run({"bench", "codec", "--codec", "fast", "--totals", "--bound", "10"});
  EXPECT_EQ(coarse.exit_code, 0) << coarse.err;
  EXPECT_FALSE(Has(coarse.out, "sample:relu")) << "totals only";
}

// In any build, with or without a GPU: what is asked for is looked at first.
TEST(Bench, OnAGpuTakesWhatRunsThere) {
  const Sandbox sandbox;
  const Outcome rival = sandbox.Run({"bench", "codec", "--device=cuda", "--codec", "fast,jpeg"});
  EXPECT_EQ(rival.exit_code, 2);
  EXPECT_TRUE(Has(rival.err, "codec jpeg does not run on a GPU")) << rival.err;
  EXPECT_TRUE(Has(rival.err, "raw, fast and dense do")) << rival.err;
  const Outcome threads = sandbox.Run({"bench", "codec", "--device=cuda", "--threads", "2"});
  EXPECT_EQ(threads.exit_code, 2);
  EXPECT_TRUE(Has(threads.err, "threads are the CPU's")) << threads.err;
  EXPECT_EQ(sandbox.Run({"bench", "codec", "--device=gpu"}).exit_code, 2);
  const Outcome missing = sandbox.Run({"bench", "codec", "--device=cuda:77"});
  EXPECT_EQ(missing.exit_code, 5);
  EXPECT_TRUE(Has(missing.err, "cuda:77") || Has(missing.err, "driver")) << missing.err;
  EXPECT_EQ(missing.out, "");
}

TEST(Bench, MistakesSayWhatHelps) {
  const Sandbox sandbox;
  EXPECT_EQ(sandbox.Run({"bench"}).exit_code, 2);
  EXPECT_EQ(sandbox.Run({"bench", "disk"}).exit_code, 2);
  const Outcome codec = sandbox.Run({"bench", "codec", "--codec", "fats"});
  EXPECT_EQ(codec.exit_code, 2);
  EXPECT_TRUE(Has(codec.err, "did you mean 'fast'?")) << codec.err;
  const Outcome folder = sandbox.Run({"bench", "codec", "nowhere"});
  EXPECT_EQ(folder.exit_code, 3);
  const Outcome empty = sandbox.Run({"bench", "codec", "models"});
  EXPECT_EQ(empty.exit_code, 3);
  EXPECT_TRUE(Has(empty.err, "--dump-activations")) << empty.err;
  sandbox.Write("0001_x.bound.npy", "nonsense");
  EXPECT_EQ(sandbox.Run({"bench", "codec", "."}).exit_code, 3);
}

TEST(Config, UnknownFieldExitsWith2AndPointsAtIt) {
  const Sandbox sandbox;
  std::string recipe = TinyRecipe();
  recipe.replace(recipe.find("batch: 32"), 5, "bach");
  const std::string config = sandbox.Write("a.textproto", recipe);
  const Outcome check = sandbox.Run({"check", config});
  EXPECT_EQ(check.exit_code, 2);
  EXPECT_TRUE(Has(check.err, "a.textproto:11:12")) << check.err;
  EXPECT_TRUE(Has(check.err, "training { bach: 32 ")) << check.err;
  EXPECT_TRUE(Has(check.err, "^")) << check.err;
  EXPECT_TRUE(Has(check.err, "'batch'")) << check.err;
}

TEST(Config, NamesOfTheZooAreFoundAndSuggested) {
  const Sandbox sandbox;
  EXPECT_EQ(sandbox.Run({"check", "lenet5"}).exit_code, 0);
  const Outcome typo = sandbox.Run({"check", "lenet_5"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_TRUE(Has(typo.err, "did you mean lenet5?")) << typo.err;
}

TEST(Data, MissingDataExitsWith3ButOnlyWarnsInCheck) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const std::vector<std::string> missing = {"--set", "data.kind=IDX", "--set",
                                            "data.train=/nowhere/fashion"};
  std::vector<std::string> train = {"train", config};
  train.insert(train.end(), missing.begin(), missing.end());
  const Outcome trained = sandbox.Run(train);
  EXPECT_EQ(trained.exit_code, 3);
  EXPECT_TRUE(Has(trained.err, "/nowhere/fashion")) << trained.err;
  EXPECT_TRUE(Has(trained.err, "hint:")) << trained.err;
  train[0] = "check";
  const Outcome checked = sandbox.Run(train);
  EXPECT_EQ(checked.exit_code, 0);
  EXPECT_TRUE(Has(checked.err, "warning: ")) << checked.err;
  EXPECT_TRUE(Has(checked.out, "ok: tiny")) << checked.out;
}

TEST(Data, WhatTrainWouldRefuseCheckRefuses) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  for (const char* command : {"check", "train"}) {
    const Outcome few =
        sandbox.Run({command, config, "--batch", "1000", "--set", "training.drop_last=true"});
    EXPECT_EQ(few.exit_code, 3) << command << few.err;
    EXPECT_TRUE(Has(few.err, "less than one batch")) << few.err;
  }
  std::string recipe = TinyRecipe();
  recipe.replace(recipe.find("kind: SYNTHETIC"), 15, "train: \"/mine\"");
  const Outcome made_up = sandbox.Run({"check", sandbox.Write("mine.textproto", recipe)});
  EXPECT_EQ(made_up.exit_code, 2);
  EXPECT_TRUE(Has(made_up.err, "without 'kind'")) << made_up.err;
}

TEST(Usage, UnknownOptionsAreNamedWithTheNearest) {
  const Sandbox sandbox;
  const Outcome outcome = sandbox.Run({"train", "lenet5", "--epoch", "3"});
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_TRUE(Has(outcome.err, "there is no option '--epoch'; did you mean '--epochs'?"))
      << outcome.err;
}

TEST(Memory, TooSmallALimitExitsWith4AndNamesTheBatchThatFits) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  for (const char* command : {"check", "train"}) {
    const Outcome outcome =
        sandbox.Run({command, config, "--batch", "512", "--memory-limit", "3MiB"});
    EXPECT_EQ(outcome.exit_code, 4) << command << outcome.err;
    EXPECT_TRUE(Has(outcome.err, "largest batch that fits is ")) << outcome.err;
  }
}

TEST(Summary, JsonHasTheFiguresOfTheNetwork) {
  const Sandbox sandbox;
  const Outcome outcome = sandbox.Run({"summary", "lenet5", "--batch", "8", "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json summary = json::parse(outcome.out);
  EXPECT_EQ(summary.at("parameters"), 431080);
  EXPECT_EQ(summary.at("batch"), 8);
  EXPECT_EQ(summary.at("macs"), 20 * 24 * 24 * 25 + 50 * 64 * 20 * 25 + 500 * 800 + 10 * 500);
  int64_t parameters = 0, macs = 0, raw = 0;
  for (const json& layer : summary.at("layers")) {
    parameters += layer.at("parameters").get<int64_t>();
    macs += layer.at("macs").get<int64_t>();
    raw += layer.at("raw_saved_bytes").get<int64_t>();
  }
  EXPECT_EQ(parameters, summary.at("parameters"));
  EXPECT_EQ(macs, summary.at("macs"));
  EXPECT_EQ(raw, summary.at("raw_saved_bytes"));
  int64_t total = 0;
  for (const auto& [category, bytes] : summary.at("predicted_peak_bytes").items()) {
    if (category != "total") total += bytes.get<int64_t>();
  }
  EXPECT_EQ(total, summary.at("predicted_peak_bytes").at("total"));
}

TEST(Summary, CompressionLowersThePredictedPeak) {
  const Sandbox sandbox;
  const auto peak = [&](const std::string& mode) {
    const Outcome outcome =
        sandbox.Run({"summary", "resnet20", "--batch", "64", "--mode", mode, "--json"});
    return json::parse(outcome.out).at("predicted_peak_bytes").at("total").get<int64_t>();
  };
  EXPECT_LT(2 * peak("encke"), peak("raw"));
}

TEST(Summary, ThePredictedPeakKnowsWhatIsOffloaded) {
  const Sandbox sandbox;
  // Not derived, which takes one policy for all: the same values are kept in all four.
  const auto summary = [&](const std::vector<std::string>& settings) {
    std::vector<std::string> arguments = {
        "summary", "resnet20", "--batch", "64", "--json", "--set", "activations.derive=false"};
    for (const std::string& setting : settings) {
      arguments.insert(arguments.end(), {"--set", "activations." + setting});
    }
    return json::parse(sandbox.Run(arguments).out);
  };
  const auto saved = [](const json& s) {
    return s.at("predicted_peak_bytes").at("saved").get<int64_t>();
  };
  const json memory = summary({}), all = summary({"keep=OFFLOAD"}),
             norms = summary({"norm_input.keep=OFFLOAD"}),
             spilled = summary({"pool_limit=2MiB", "spill=true"});
  EXPECT_EQ(memory.at("predicted_offloaded_bytes"), 0);
  EXPECT_EQ(all.at("predicted_saved_bytes"), memory.at("predicted_saved_bytes"));
  EXPECT_LT(saved(all), saved(norms));
  EXPECT_LT(saved(norms), saved(memory));
  EXPECT_LE(saved(spilled), (2 << 20) + saved(all));
  EXPECT_LT(all.at("predicted_peak_bytes").at("total"),
            memory.at("predicted_peak_bytes").at("total"));
  EXPECT_TRUE(Has(norms.dump(), "fast, bound from channel std, offloaded")) << norms;
}

TEST(Config, PoliciesAreChecked) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const auto check = [&](const std::string& setting) {
    const Outcome outcome = sandbox.Run({"check", config, "--set", "activations." + setting});
    EXPECT_EQ(outcome.exit_code, 2) << setting;
    return outcome.err;
  };
  EXPECT_TRUE(Has(check("relu.codec=dens"), "did you mean 'dense'?"));
  EXPECT_TRUE(Has(check("pool_limit=lots"), "\"lots\" is not a size in bytes"));
  EXPECT_TRUE(Has(check("pool_limit=0"), "'activations.pool_limit' must be above 0"));
  EXPECT_TRUE(Has(check("spill=true"), "'spill' needs 'pool_limit'"));
}

TEST(Summary, TableIsPlainTextWithTotals) {
  const Outcome outcome = Sandbox().Run({"summary", "lenet5"});
  EXPECT_TRUE(Has(outcome.out, "431,080")) << outcome.out;
  EXPECT_FALSE(Has(outcome.out, "\x1b")) << "no control codes outside of a terminal";
}

}  // namespace
}  // namespace encke::test
