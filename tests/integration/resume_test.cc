// A run that was interrupted and resumed must be the run that was not, to the last bit.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/error.h"
#include "engine/train/checkpoint.h"
#include "tests/integration/training_testing.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

std::function<void(const Progress&)> StopAfter(int64_t iteration) {
  return [iteration](const Progress& progress) {
    if (progress.iteration == iteration) Trainer::RequestStop();
  };
}

// Iteration, loss and learning rate of every line; times differ between runs.
std::string Curve(const std::string& folder) {
  std::istringstream text(ReadText(folder + "/metrics.jsonl"));
  std::string curve;
  for (std::string line; std::getline(text, line);) {
    const nlohmann::json object = nlohmann::json::parse(line);
    for (const char* key : {"iteration", "loss", "top1", "lr", "stored_bytes", "eval_loss"})
      if (object.contains(key)) curve += object[key].dump() + " ";
    curve += "\n";
  }
  return curve;
}

// Stops at each of `stops`, resumes, and compares with a run that went through.
void CheckResume(const std::string& name, std::vector<std::string> overrides,
                 const std::vector<int64_t>& stops) {
  const ConfigFile config = TinyConfig(overrides);
  const std::string through = TestFolder(name + "_through"), pieces = TestFolder(name + "_pieces");
  Train(config, {through, ""});
  std::string resume;
  for (const int64_t stop : stops) {
    const TrainingResult result = Train(config, {pieces, resume, StopAfter(stop)});
    ASSERT_TRUE(result.interrupted);
    ASSERT_EQ(result.iterations, stop);
    resume = pieces;
  }
  const TrainingResult result = Train(config, {pieces, resume});
  EXPECT_FALSE(result.interrupted);
  EXPECT_EQ(ReadText(pieces + "/last.safetensors"), ReadText(through + "/last.safetensors"))
      << "weights, momentum and state";
  EXPECT_EQ(Curve(pieces), Curve(through));
}

TEST(ResumeTest, RawMode) { CheckResume("raw", {"activations.mode=RAW"}, {7, 16, 41}); }

TEST(ResumeTest, CompressedMode) {
  CheckResume("encke", {"activations.warmup=4", "activations.audit_every=5"}, {3, 7, 16, 41});
}

TEST(ResumeTest, CodecAuto) { CheckResume("auto", WithCodecAuto(), {3, 7, 16}); }

TEST(ResumeTest, AccumulationAverageAndShortLastBatch) {
  CheckResume("accumulate",
              {"training.batch=20", "training.accumulate=2", "training.drop_last=false",
               "training.ema=0.9", "data.workers=2"},
              {5, 13});
}

TEST(ResumeTest, TheTermSignalLeavesACheckpoint) {
  const std::string folder = TestFolder("signal");
  std::signal(SIGTERM, [](int) { Trainer::RequestStop(); });
  const TrainingResult result = Train(TinyConfig(), {folder, "", [](const Progress& progress) {
                                                       if (progress.iteration == 5)
                                                         std::raise(SIGTERM);
                                                     }});
  std::signal(SIGTERM, SIG_DFL);
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(Checkpoint(folder + "/last.safetensors").state().iteration, 5);
}

TEST(ResumeTest, AnEvaluationThatWasInterruptedIsMadeUpFor) {
  const std::string folder = TestFolder("evaluation");
  const ConfigFile config = TinyConfig({"training.epochs=1"});
  const TrainingResult stopped = Train(config, {folder, "", StopAfter(16)});
  EXPECT_EQ(stopped.evaluation.samples, 0);
  EXPECT_EQ(Train(config, {"", folder}).evaluation.samples, 256);
  EXPECT_TRUE(fs::exists(folder + "/best.safetensors"));
  EXPECT_EQ(Train(config, {"", folder}).evaluation.samples, 0) << "it is made up for once";
}

TEST(ResumeTest, AChangedConfigIsNamedAndNothingIsOverwritten) {
  const std::string folder = TestFolder("changed");
  Train(TinyConfig({"training.epochs=1"}), {folder, ""});
  const std::string checkpoint = ReadText(folder + "/last.safetensors");
  const std::string metrics = ReadText(folder + "/metrics.jsonl");
  try {
    Train(TinyConfig({"training.epochs=2", "optimizer.momentum=0.5"}), {"", folder});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    EXPECT_NE(error.message().find("optimizer.momentum: "), std::string::npos) << error.what();
    EXPECT_EQ(error.message().find("training.epochs"), std::string::npos) << "may change";
  }
  try {
    Train(TinyConfig({"training.epochs=2", "network.step[2].conv.out=24"}), {"", folder});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("in the network, "), std::string::npos) << error.what();
  }
  EXPECT_EQ(ReadText(folder + "/last.safetensors"), checkpoint);
  EXPECT_EQ(ReadText(folder + "/metrics.jsonl"), metrics);
  const TrainingResult longer = Train(TinyConfig({"training.epochs=2"}), {"", folder});
  EXPECT_EQ(longer.iterations, 32) << "more epochs are fine";
}

TEST(ResumeTest, FewerIterationsThanAreDoneAreRefused) {
  const std::string folder = TestFolder("fewer");
  Train(TinyConfig({"training.iterations=4"}), {folder, ""});
  const std::string config = ReadText(folder + "/config.textproto");
  EXPECT_EQ(Train(TinyConfig({"training.iterations=4"}), {"", folder}).iterations, 4) << "done";
  try {
    Train(TinyConfig({"training.iterations=3"}), {"", folder});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::USAGE);
    EXPECT_NE(error.message().find("has done 4 iterations"), std::string::npos) << error.what();
  }
  EXPECT_EQ(ReadText(folder + "/config.textproto"), config);
}

TEST(ResumeTest, ANewRunDoesNotGoIntoAnOldFolder) {
  const std::string folder = TestFolder("occupied");
  Train(TinyConfig({"training.iterations=2"}), {folder, ""});
  const std::string checkpoint = ReadText(folder + "/last.safetensors");
  EXPECT_THROW(Train(TinyConfig({"training.iterations=2"}), {folder, ""}), Error);
  EXPECT_EQ(ReadText(folder + "/last.safetensors"), checkpoint);
}

}  // namespace
}  // namespace encke
