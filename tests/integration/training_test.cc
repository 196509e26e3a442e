// Training as a whole: what is learnt, what is written, what stops it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/backend/backend.h"
#include "engine/core/error.h"
#include "engine/graph/plan.h"
#include "engine/train/checkpoint.h"
#include "engine/train/options.h"
#include "tests/integration/training_testing.h"

namespace encke {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<json> ReadLines(const std::string& path) {
  std::istringstream text(ReadText(path));
  std::vector<json> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  return lines;
}

TEST(TrainingTest, BothModesLearnAndAgree) {
  const TrainingResult raw = Train(TinyConfig({"activations.mode=RAW"}), {});
  const TrainingResult encke = Train(TinyConfig({"activations.mode=ENCKE"}), {});
  EXPECT_EQ(raw.iterations, 48);
  EXPECT_EQ(raw.evaluation.samples, 256);
  EXPECT_GT(raw.evaluation.top1, 90) << "four classes: chance is 25";
  EXPECT_NEAR(encke.evaluation.top1, raw.evaluation.top1, 4);
  EXPECT_EQ(encke.evaluation.top5, 100) << "top-5 of four classes";
  EXPECT_GT(encke.raw_saved_bytes, 2 * encke.stored_bytes);
  EXPECT_LT(encke.raw_saved_bytes, raw.raw_saved_bytes * 1.01);
  EXPECT_GT(raw.images_per_second, 0);
  EXPECT_FALSE(raw.interrupted);
}

// The batches are the same; what is foreseen of them is that one is there at a time.
TEST(TrainingTest, WithoutPrefetchingItLearnsTheSame) {
  const std::vector<std::string> few = {"training.iterations=9"};
  std::vector<std::string> one = few;
  one.push_back("data.prefetch=0");
  const TrainingResult ahead = Train(TinyConfig(few), {}), asked = Train(TinyConfig(one), {});
  EXPECT_EQ(asked.loss, ahead.loss);
  EXPECT_LT(asked.peak.of(MemoryCategory::DATA), ahead.peak.of(MemoryCategory::DATA));
  const auto backend = NewBackend({});
  const ConfigFile config = TinyConfig(one);
  EXPECT_EQ(MakePlanOptions(config.config(), *backend).batches_held, 1);
}

// Bounds are tight at first, and what fast would take is not known.
TEST(TrainingTest, CodecAutoIsDenseAtFirstAndFastLater) {
  const std::string folder = TestFolder("codec_auto");
  Train(TinyConfig(WithCodecAuto()), {folder, ""});
  std::string first, all;
  std::ifstream log(folder + "/activations.jsonl");
  for (std::string line; std::getline(log, line);) {
    (line.find("\"iteration\":1,") != std::string::npos ? first : all) += line;
  }
  EXPECT_NE(first.find("\"codec\":\"dense\""), std::string::npos);
  EXPECT_EQ(first.find("\"codec\":\"fast\""), std::string::npos) << "nothing is known yet";
  EXPECT_NE(all.find("\"codec\":\"fast\""), std::string::npos);
}

TEST(TrainingTest, Bfloat16LearnsInHalfTheBytes) {
  if (!NewBackend({})->Supports(DType::BF16)) GTEST_SKIP() << "no bfloat16 on this machine";
  const std::vector<std::string> plain = {"activations.mode=RAW", "training.iterations=2"};
  const int64_t full = Train(TinyConfig(plain), {}).raw_saved_bytes;
  for (const char* mode : {"activations.mode=RAW", "activations.mode=ENCKE"}) {
    const TrainingResult result = Train(TinyConfig({mode, "training.precision=BF16"}), {});
    EXPECT_GT(result.evaluation.top1, 85) << mode;
    EXPECT_LT(result.raw_saved_bytes, 0.6 * static_cast<double>(full)) << mode;
  }
}

TEST(TrainingTest, AccumulationEqualsOneLargeBatch) {
  // Without batch norm, dropout and augmentation the sums are the same but for rounding.
  const std::vector<std::string> plain = {
      "activations.mode=RAW",          "network.step[0].conv.bn=false",
      "network.step[2].conv.bn=false", "network.step[4].dropout.p=0",
      "data.augment.crop_padding=0",   "training.iterations=8"};
  std::vector<std::string> accumulated = plain;
  accumulated.insert(accumulated.end(), {"training.batch=8", "training.accumulate=4"});
  const TrainingResult large = Train(TinyConfig(plain), {});
  const TrainingResult small = Train(TinyConfig(accumulated), {});
  EXPECT_EQ(small.iterations, 8);
  EXPECT_NEAR(small.loss, large.loss, 1e-4);
  EXPECT_NEAR(small.evaluation.loss, large.evaluation.loss, 1e-3);
}

TEST(TrainingTest, AveragedWeightsEvaluateAndAreKept) {
  const std::string folder = TestFolder("ema");
  const TrainingResult result = Train(TinyConfig({"training.ema=0.95"}), {folder, ""});
  EXPECT_GT(result.evaluation.top1, 85);
  const Checkpoint checkpoint(folder + "/last.safetensors");
  EXPECT_TRUE(checkpoint.Has("ema.fc.weight") || checkpoint.Has("ema.fc1.weight"));
  EXPECT_EQ(checkpoint.state().average_updates, 48);
  TrainerOptions options;
  options.resume = folder;
  options.evaluate_only = true;
  const EvaluationResult again = Trainer(TinyConfig({"training.ema=0.95"}), options).Evaluate();
  EXPECT_EQ(again.top1, result.evaluation.top1);
  EXPECT_EQ(again.loss, result.evaluation.loss);
}

TEST(TrainingTest, WritesWhatHappened) {
  const std::string folder = TestFolder("files");
  const TrainingResult result =
      Train(TinyConfig({"activations.audit_at=10", "training.epochs=2"}), {folder, ""});
  EXPECT_EQ(result.run_directory, folder);
  for (const char* name : {"config.textproto", "log.txt", "memory.csv", "summary.csv",
                           "last.safetensors", "best.safetensors", "epoch_0002.safetensors"})
    EXPECT_TRUE(fs::exists(folder + "/" + name)) << name;
  EXPECT_FALSE(fs::exists(folder + "/epoch_0001.safetensors")) << "one numbered one is kept";

  const std::vector<json> metrics = ReadLines(folder + "/metrics.jsonl");
  ASSERT_EQ(metrics.size(), 8u + 2u) << "every 4 of 32 iterations, and two evaluations";
  EXPECT_EQ(metrics[0]["iteration"], 4);
  EXPECT_GT(metrics[0]["loss"], metrics[8]["loss"]);
  EXPECT_GT(metrics[0]["ratio"], 1);
  EXPECT_GT(metrics[0]["memory_peak"]["total"], metrics[0]["memory"]["parameter"]);
  for (const char* key : {"epoch", "top1", "lr", "images_per_second", "wait_fraction", "raw_bytes",
                          "stored_bytes", "resident"})
    EXPECT_TRUE(metrics[0].contains(key)) << key;
  EXPECT_GT(metrics[4]["eval_top1"], 25);

  int audited = 0;
  for (const json& line : ReadLines(folder + "/activations.jsonl")) {
    for (const char* key : {"iteration", "layer", "value", "shape", "codec", "raw_bytes",
                            "stored_bytes", "encode_us", "decode_us"})
      EXPECT_TRUE(line.contains(key)) << key << " in " << line;
    if (line.contains("measured_sigma")) {
      ++audited;
      EXPECT_EQ(line["iteration"], 10);
    }
  }
  EXPECT_GT(audited, 0);
}

TEST(TrainingTest, WritesTheMemoryOfTheLastLoggedIteration) {
  const std::string folder = TestFolder("memory");
  Train(TinyConfig({"activations.log_every=4", "training.iterations=6"}), {folder, ""});
  std::ifstream in(folder + "/memory.csv");
  std::string header, line;
  std::getline(in, header);
  EXPECT_EQ(header.substr(0, 40), "iteration,step,action,layer,parameter,gr") << header;
  int rows = 0, backward = 0;
  while (std::getline(in, line)) {
    EXPECT_EQ(line.substr(0, 2), "6,") << "the last iteration counts where it is not logged";
    EXPECT_EQ(std::count(line.begin(), line.end(), ','),
              std::count(header.begin(), header.end(), ','));
    backward += line.find(",backward,") != std::string::npos;
    ++rows;
  }
  EXPECT_GT(backward, 0);
  EXPECT_GT(rows, backward);
}

TEST(TrainingTest, RefusesWhatDoesNotFitInMemory) {
  try {
    Train(TinyConfig({"training.memory_limit=1MiB", "training.batch=512"}), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::MEMORY) << error.what();
    EXPECT_NE(error.hint().find("batch"), std::string::npos) << error.what();
  }
  for (const char* ema : {"training.ema=0", "training.ema=0.9"}) {
    try {
      Train(TinyConfig({"training.memory_limit=1KiB", ema}), {});
      FAIL() << "not even the parameters fit";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::MEMORY) << error.what();
      EXPECT_NE(error.hint().find("not even a batch of 1 fits"), std::string::npos) << error.what();
    }
  }
}

// Bounds so tight that values take several times what is foreseen.
TEST(TrainingTest, AMemoryLimitIsKeptByPlanningAnew) {
  const std::string folder = TestFolder("limit");
  const std::vector<std::string> tight = {"training.memory_limit=3100KiB",
                                          "training.batch=256",
                                          "training.iterations=3",
                                          "activations.slice=8",
                                          "activations.tolerance=1e-4",
                                          "activations.channel_std_bound=1e-3",
                                          "activations.inactive_std_bound=1e-3"};
  const TrainingResult result = Train(TinyConfig(tight), {folder, ""});
  EXPECT_EQ(result.iterations, 3);
  EXPECT_LE(result.peak.total(), 3100 << 10);
  const std::string log = ReadText(folder + "/log.txt");
  EXPECT_NE(log.find("repeated with"), std::string::npos) << log;
  std::vector<std::string> longer = tight;
  longer.push_back("training.iterations=4");
  Train(TinyConfig(longer), {"", folder});
  const std::string more = ReadText(folder + "/log.txt").substr(log.size());
  EXPECT_EQ(more.find("repeated with"), std::string::npos) << "the checkpoint knows: " << more;
}

TEST(TrainingTest, WhatThePlanAdmitsAlsoEvaluatesWithinTheLimit) {
  const std::string mode = "activations.mode=RAW", batch = "training.evaluation_batch=64";
  const ConfigFile config = TinyConfig({mode, batch});
  Graph graph = BuildNetwork(config);
  const auto backend = NewBackend({});
  const Plan plan = MakePlan(graph, *backend, 32, MakePlanOptions(config.config(), *backend));
  const int64_t limit = plan.peak.use.total() + 4096;  // the evaluation's probabilities
  const std::string field = StrCat("training.memory_limit=", limit);
  EXPECT_EQ(Train(TinyConfig({mode, batch, field}), {}).evaluation.samples, 256);
}

// A folder of images of one grey each: `greys` of class a, then one of class b.
std::string GreyImages(const std::string& folder, const std::vector<int>& greys, int other) {
  const auto write = [&](const std::string& path, int grey) {
    fs::create_directories(fs::path(path).parent_path());
    std::ofstream(path, std::ios::binary) << "P5 16 16 255\n" << std::string(256, char(grey));
  };
  for (size_t i = 0; i < greys.size(); ++i) write(StrCat(folder, "/a/", i, ".pgm"), greys[i]);
  write(folder + "/b/0.pgm", other);
  return folder;
}

TEST(TrainingTest, StartsFromTheWeightsOfAnotherRun) {
  const std::string folder = TestFolder("weights"), other = TestFolder("from_weights");
  const double trained = Train(TinyConfig({"training.epochs=2"}), {folder, ""}).evaluation.loss;
  TrainerOptions options;
  options.weights = folder;
  options.run_directory = other;
  const std::vector<std::string> still = {"optimizer.learning_rate=1e-30", "training.iterations=2",
                                          "training.ema=0.5"};
  const TrainingResult result = Trainer(TinyConfig(still), options).Train();
  EXPECT_EQ(result.iterations, 2);
  EXPECT_NEAR(result.evaluation.loss, trained, 0.1) << "untrained it would be 1.4";
  const std::string wider = "network.step[0].conv.out=12";
  EXPECT_THROW(Trainer(TinyConfig({wider}), options), Error);
  options.weights = folder + "/no.safetensors";
  EXPECT_THROW(Trainer(TinyConfig(), options), Error);
}

TEST(TrainingTest, ALeftOutUpdateAtAnEpochsEndLosesNoCheckpoint) {
  // Two iterations an epoch. White is 1e38 and overflows; with this seed it comes second.
  const std::string data = TestFolder("greys");
  GreyImages(data + "/train", {0, 0, 0, 0, 0, 0, 0}, 255);
  GreyImages(data + "/test", {0, 0, 0}, 0);
  const std::vector<std::string> overrides = {"activations.mode=RAW",
                                              "network.step[0].conv.bn=false",
                                              "network.step[2].conv.bn=false",
                                              "network.classes=2",
                                              "optimizer.learning_rate=1",
                                              "data.kind=FOLDER",
                                              "data.train=" + data + "/train",
                                              "data.test=" + data + "/test",
                                              "data.mean=0",
                                              "data.std=1e-38",
                                              "training.batch=4",
                                              "training.iterations=3",
                                              "training.seed=9"};
  struct Case {
    const char* evaluate_every;
    int64_t best, numbered;  // iterations of these checkpoints
  };
  for (const Case& c : {Case{"1", 2, 2}, Case{"0.5", 1, 3}}) {
    const std::string folder = TestFolder("left_out");
    std::vector<std::string> all = overrides;
    all.push_back(StrCat("training.evaluate_every=", c.evaluate_every));
    EXPECT_EQ(Train(TinyConfig(all), {folder, ""}).best_top1, 75);
    EXPECT_NE(ReadText(folder + "/log.txt").find("iteration 2: loss or gradients are not finite"),
              std::string::npos);
    EXPECT_EQ(Checkpoint(folder + "/best.safetensors").state().iteration, c.best);
    EXPECT_EQ(Checkpoint(folder + "/epoch_0001.safetensors").state().iteration, c.numbered);
    EXPECT_EQ(Checkpoint(folder + "/last.safetensors").state().iteration, 3);
  }
}

TEST(TrainingTest, SkippedImagesAreCounted) {
  const std::string data = GreyImages(TestFolder("broken"), {0, 100, 200}, 50);
  const std::string folder = TestFolder("skipping");
  std::ofstream(data + "/b/1.pgm") << "no image";
  const TrainingResult result =
      Train(TinyConfig({"network.classes=2", "data.kind=FOLDER", "data.train=" + data,
                        "data.test=" + data, "data.skip_broken=true", "training.batch=5",
                        "training.iterations=2", "activations.log_every=1"}),
            {folder, ""});
  EXPECT_EQ(result.skipped_records, 2) << "one in each of two epochs";
  const std::vector<json> metrics = ReadLines(folder + "/metrics.jsonl");
  EXPECT_EQ(metrics[0].at("skipped_records"), 1);
}

TEST(TrainingTest, ADivergedLossStopsWithTheLayerAndAnIntactCheckpoint) {
  // The second epoch diverges; the checkpoint is of the first.
  const std::vector<std::string> diverging = {"schedule.kind=MULTISTEP", "schedule.milestone=1",
                                              "schedule.gamma=1e30"};
  for (const char* mode : {"activations.mode=RAW", "activations.mode=ENCKE"}) {
    const std::string folder = TestFolder("diverged");
    std::vector<std::string> overrides = diverging;
    overrides.emplace_back(mode);
    try {
      Train(TinyConfig(overrides), {folder, ""});
      FAIL() << mode;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::NUMERIC) << error.what();
      EXPECT_NE(error.place().find("layer "), std::string::npos) << error.what();
      EXPECT_NE(error.hint().find("learning rate"), std::string::npos);
    }
    EXPECT_EQ(Checkpoint(folder + "/last.safetensors").state().iteration, 16) << mode;
    TrainerOptions options;
    options.resume = folder;
    options.evaluate_only = true;
    EXPECT_GT(Trainer(TinyConfig(overrides), options).Evaluate().top1, 50) << mode;
  }
}

}  // namespace
}  // namespace encke
