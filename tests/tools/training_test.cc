// The program training: run directory, inspect, resume, signals, compare.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tools/program.h"

namespace encke::test {
namespace {

using nlohmann::json;

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Train, LeavesARunThatInspectShowsAndResumeGoesOnFrom) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome trained = sandbox.Run({"train", config, "--iterations", "8"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_FALSE(Has(trained.err, "\x1b")) << "no control codes outside of a terminal";
  const std::string run = sandbox.OnlyFolderIn("runs");
  EXPECT_TRUE(Has(trained.out, run)) << trained.out;

  const Outcome inspected = sandbox.Run({"inspect", "--csv", "all.csv", "--sort", "stored"});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_TRUE(Has(inspected.out, run + ", iteration 8")) << inspected.out;
  EXPECT_TRUE(Has(inspected.out, "\ntotal ")) << inspected.out;
  EXPECT_TRUE(Has(sandbox.Read("all.csv"), "\n2,"));
  const Outcome layer = sandbox.Run({"inspect", run, "--layer", "conv2", "--iteration", "5"});
  EXPECT_EQ(layer.exit_code, 0) << layer.err;
  EXPECT_TRUE(Has(layer.out, "iteration 4\n")) << layer.out;
  const Outcome typo = sandbox.Run({"inspect", run, "--layer", "conv22"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_TRUE(Has(typo.err, "did you mean 'conv2'?")) << typo.err;

  const Outcome resumed = sandbox.Run({"train", config, "--iterations", "12", "--resume"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_TRUE(Has(resumed.out, "12 iterations")) << resumed.out;
  const Outcome test = sandbox.Run({"test", config, "--checkpoint", run});
  EXPECT_EQ(test.exit_code, 0) << test.err;
  EXPECT_TRUE(Has(test.out, "images  64\ntop-1 ")) << test.out;
}

TEST(Report, WritesAPageAboutTheRunsThatTrainingLeft) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome trained =
      sandbox.Run({"train", config, "--iterations", "8", "--set", "activations.audit_every=3"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  const std::string run = sandbox.OnlyFolderIn("runs");
  const Outcome raw =
      sandbox.Run({"train", config, "--iterations", "8", "--mode", "raw", "--output", "others"});
  ASSERT_EQ(raw.exit_code, 0) << raw.err;
  const Outcome newest = sandbox.Run({"report"});
  EXPECT_EQ(newest.exit_code, 0) << newest.err;
  EXPECT_TRUE(Has(newest.out, "written to report.html")) << newest.out;
  const Outcome both =
      sandbox.Run({"report", sandbox.OnlyFolderIn("others"), run, "--output", "both.html"});
  EXPECT_EQ(both.exit_code, 0) << both.err;
  EXPECT_EQ(both.err, "") << "nothing that training writes is damaged";
  const std::string page = sandbox.Read("both.html");
  EXPECT_FALSE(Has(page, "is missing")) << "of the files";
  for (const char* part : {"backward of conv2", "audits within", "Every value is kept as it is",
                           "encke train tiny.textproto", "<code>activations.mode</code>"}) {
    EXPECT_TRUE(Has(page, part)) << part;
  }
  const Outcome nowhere = sandbox.Run({"report", "runs/nowhere"});
  EXPECT_EQ(nowhere.exit_code, 3);
  EXPECT_TRUE(Has(nowhere.err, "runs/nowhere: this is not the directory of a run")) << nowhere.err;
}

TEST(Train, ResumesTheNewestRunOfThisConfigOnly) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  ASSERT_EQ(sandbox.Run({"train", config, "--iterations", "2"}).exit_code, 0);
  const Outcome other = sandbox.Run({"train", "lenet5", "--iterations", "2", "--resume"});
  EXPECT_EQ(other.exit_code, 2);
  EXPECT_TRUE(Has(other.err, "there is no run named lenet5")) << other.err;
}

TEST(Train, ACheckpointBringsTheConfigOfItsRun) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  ASSERT_EQ(sandbox.Run({"train", config, "--iterations", "2"}).exit_code, 0);
  const std::string run = sandbox.OnlyFolderIn("runs");
  const Outcome resumed =
      sandbox.Run({"train", "--resume", run + "/last.safetensors", "--iterations", "4"});
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_TRUE(Has(resumed.out, "4 iterations")) << resumed.out;
  const Outcome nowhere = sandbox.Run({"train", "--resume", "runs/nowhere"});
  EXPECT_EQ(nowhere.exit_code, 3) << nowhere.err;
  EXPECT_TRUE(Has(sandbox.Run({"train", "--resume"}).err, "CONFIG is missing"));
  EXPECT_TRUE(Has(nowhere.err, "runs/nowhere: there is no checkpoint")) << nowhere.err;
}

TEST(Train, DumpsTheSavedValuesOfAnIteration) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome trained = sandbox.Run(
      {"train", config, "--iterations", "3", "--dump-activations", "dump", "--at-iteration", "2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(sandbox.Read("dump/0001_conv1.npy").substr(1, 5), "NUMPY");
  const Outcome bench =
      sandbox.Run({"bench", "codec", "dump", "--codec", "fast,dense", "--repeats", "1"});
  EXPECT_EQ(bench.exit_code, 0) << bench.err;
  EXPECT_TRUE(Has(bench.out, "\nconv1 ")) << bench.out;
  EXPECT_EQ(sandbox.Run({"train", config, "--dump-activations", "dump"}).exit_code, 2)
      << "needs --at-iteration";
}

TEST(Train, SaysHowManyBrokenImagesItSkipped) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  sandbox.Write("good.pgm", "P5 1 1 255\n*");
  sandbox.Write("broken.pgm", "no image");
  sandbox.Write("train.txt", "good.pgm 0\nbroken.pgm 1\n");
  sandbox.Write("test.txt", "good.pgm 0\n");
  const Outcome trained =
      sandbox.Run({"train", config, "--batch", "2", "--iterations", "2", "--set", "data.kind=LIST",
                   "--set", "data.train=train.txt", "--set", "data.test=test.txt", "--set",
                   "data.skip_broken=true", "--set", "network.classes=2"});
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_TRUE(Has(trained.out, "skipped   2 broken images")) << trained.out;
}

// Of a training that was started, till `text` shows.
void WaitFor(const Sandbox& sandbox, const std::string& text) {
  for (int tries = 0; tries < 200 && !Has(sandbox.Read("stderr.txt"), text); ++tries) {
    usleep(50000);
  }
}

TEST(Train, SignalsEndItWithACheckpointAndExitCode0) {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const Sandbox sandbox;
    const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
    const pid_t process = sandbox.Start({"train", config, "--epochs", "100000"});
    WaitFor(sandbox, "epoch ");
    kill(process, signal);
    kill(process, SIGINT);  // the same request, by another way
    const Outcome stopped = sandbox.Finish(process);
    ASSERT_EQ(stopped.exit_code, 0) << stopped.err;
    EXPECT_TRUE(Has(stopped.out, "encke train --resume ")) << stopped.out;
    const std::string run = sandbox.OnlyFolderIn("runs");
    const Outcome test = sandbox.Run({"test", config, "--checkpoint", run});
    EXPECT_EQ(test.exit_code, 0) << test.err;
  }
}

TEST(Train, ARunFolderIsAConfigAndAFailedStartIsNoRun) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  ASSERT_EQ(sandbox.Run({"train", config, "--iterations", "3"}).exit_code, 0);
  const std::string run = sandbox.OnlyFolderIn("runs");
  EXPECT_EQ(sandbox.Run({"summary", run}).exit_code, 0);
  std::filesystem::create_directory(sandbox.path() + "/runs/99999999-999999-tiny");
  sandbox.Write("runs/99999999-999999-tiny/config.textproto", TinyRecipe());
  const Outcome inspected = sandbox.Run({"inspect"});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.err;
  EXPECT_TRUE(Has(inspected.out, run + ", iteration 3")) << "the last one is logged, too";
  const Outcome resumed = sandbox.Run({"train", config, "--iterations", "4", "--resume"});
  EXPECT_TRUE(Has(resumed.err, "resumed from " + run)) << resumed.err;
}

TEST(Compare, KeepsWhatIsThereAndTakesSignals) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  ASSERT_EQ(sandbox.Run({"compare", config, "--iterations", "2"}).exit_code, 0);
  const std::string first = sandbox.Read("runs/compare-tiny.json");
  ASSERT_EQ(json::parse(first).at("modes").size(), 2u);
  const pid_t process =
      sandbox.Start({"compare", config, "--epochs", "100000", "--json", "runs/compare-tiny.json"});
  WaitFor(sandbox, "/100000 ");
  kill(process, SIGINT);
  const Outcome stopped = sandbox.Finish(process);
  EXPECT_EQ(stopped.exit_code, 0) << stopped.err;
  EXPECT_TRUE(Has(stopped.out, "stopped on request")) << stopped.out;
  EXPECT_TRUE(Has(stopped.out, "not saved")) << stopped.out;
  EXPECT_EQ(sandbox.Read("runs/compare-tiny.json"), first);
  const Outcome again = sandbox.Run({"compare", config, "--iterations", "2", "--modes", "raw"});
  EXPECT_TRUE(Has(again.out, "saved to runs/compare-tiny-2.json")) << again.out;
  EXPECT_EQ(sandbox.Read("runs/compare-tiny.json"), first);
}

TEST(Compare, WritesTheFiguresOfEveryMode) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome outcome =
      sandbox.Run({"compare", config, "--iterations", "6", "--modes",
                   "raw,encke,encke:tolerance=0.5", "--memory-limit", "64MiB", "--json", "c.json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(Has(outcome.out, "largest batch in 64MiB")) << outcome.out;
  const json modes = json::parse(sandbox.Read("c.json")).at("modes");
  ASSERT_EQ(modes.size(), 3u);
  for (const char* name : {"raw", "encke", "encke:tolerance=0.5"}) {
    const json& mode = modes.at(name);
    EXPECT_GT(mode.at("peak_bytes").at("total"), 0) << name;
    EXPECT_GT(mode.at("peak_bytes").at("saved"), 0) << name;
    EXPECT_GT(mode.at("resident_peak_bytes"), mode.at("peak_bytes").at("total")) << name;
    EXPECT_GT(mode.at("images_per_second"), 0) << name;
    EXPECT_GT(mode.at("loss"), 0) << name;
    EXPECT_TRUE(mode.at("accuracy").is_number()) << name;
    EXPECT_GT(mode.at("largest_batch"), 32) << name;
  }
  EXPECT_EQ(modes["raw"]["raw_saved_bytes"], modes["raw"]["stored_bytes"]);
  EXPECT_GT(modes["encke"]["raw_saved_bytes"], 3 * modes["encke"]["stored_bytes"].get<int64_t>());
  EXPECT_LT(modes["encke"]["peak_bytes"]["total"], modes["raw"]["peak_bytes"]["total"]);
}

TEST(Compare, OffloadingChangesWhereValuesAreAndNothingElse) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome outcome = sandbox.Run(
      {"compare", config, "--iterations", "6", "--batch", "128", "--json", "c.json", "--set",
       "activations.slice=4", "--modes",
       "encke,encke:keep=OFFLOAD,encke:pool_limit=4KiB:spill=true,encke:norm_input.keep=RAW"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_TRUE(Has(outcome.out, "\n  offloaded ")) << outcome.out;
  const json modes = json::parse(sandbox.Read("c.json")).at("modes");
  const json& memory = modes.at("encke");
  const json& offload = modes.at("encke:keep=OFFLOAD");
  const json& spill = modes.at("encke:pool_limit=4KiB:spill=true");
  const json& raw = modes.at("encke:norm_input.keep=RAW");
  EXPECT_EQ(offload.at("loss"), memory.at("loss"));
  EXPECT_EQ(spill.at("loss"), memory.at("loss"));
  EXPECT_EQ(memory.at("offloaded_bytes"), 0);
  EXPECT_GT(offload.at("offloaded_bytes"), 100000);
  EXPECT_GT(spill.at("offloaded_bytes"), 10000);
  EXPECT_LT(spill.at("offloaded_bytes"), offload.at("offloaded_bytes"));
  EXPECT_LT(offload.at("peak_bytes").at("total"), memory.at("peak_bytes").at("total"));
  EXPECT_GT(raw.at("stored_bytes"), memory.at("stored_bytes"));
  EXPECT_TRUE(Has(sandbox.Run({"compare", config, "--modes", "encke:value.codec=jepg"}).err,
                  "did you mean 'jpeg'?"));
}

TEST(Train, APoolThatIsTooSmallExitsWith4AndNamesValueBytesAndWaysOut) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  // In slices, so that the arena has no room to lend.
  const Outcome outcome = sandbox.Run(
      {"train", config, "--set", "activations.pool_limit=4KiB", "--set", "activations.slice=1"});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  for (const char* part :
       {"error: conv", "limited to 4.00 KiB", "has no room for ", "hint: raise", "spill: true"}) {
    EXPECT_TRUE(Has(outcome.err, part)) << part << "\n" << outcome.err;
  }
}

TEST(Train, AFullDiskExitsWith4AndNamesTheFolder) {
  Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  sandbox.LimitFiles(60000);
  const Outcome outcome = sandbox.Run({"train", config, "--set", "activations.keep=OFFLOAD",
                                       "--set", "activations.offload_folder=."});
  EXPECT_EQ(outcome.exit_code, 4) << outcome.err;
  for (const char* part : {"error: .: no room for ", "of offloaded values", "offload_folder"}) {
    EXPECT_TRUE(Has(outcome.err, part)) << part << "\n" << outcome.err;
  }
}

TEST(Train, AMissingOffloadFolderExitsWith3BeforeAnythingIsTrained) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  for (const char* command : {"train", "check"}) {
    const Outcome outcome = sandbox.Run({command, config, "--set", "activations.value.keep=OFFLOAD",
                                         "--set", "activations.offload_folder=/nowhere/at/all"});
    EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
    EXPECT_TRUE(Has(outcome.err, "/nowhere/at/all: cannot make a file")) << outcome.err;
  }
}

TEST(Compare, RefusesWhatCouldNotBeSavedBeforeItTrains) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome folder = sandbox.Run({"compare", config, "--iterations", "2", "--json", "."});
  EXPECT_EQ(folder.exit_code, 3) << folder.err;
  EXPECT_FALSE(Has(folder.err, "mode raw")) << folder.err;
  const Outcome twice = sandbox.Run({"compare", config, "--iterations", "2", "--modes", "raw,raw"});
  EXPECT_EQ(twice.exit_code, 2) << twice.err;
  EXPECT_TRUE(Has(twice.err, "mode raw is named twice")) << twice.err;
}

TEST(Compare, AModeThatFailsEndsItWithThatExitCode) {
  const Sandbox sandbox;
  const std::string config = sandbox.Write("tiny.textproto", TinyRecipe());
  const Outcome outcome = sandbox.Run({"compare", config, "--set", "data.kind=IDX", "--set",
                                       "data.train=/nowhere", "--json", "c.json"});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_EQ(sandbox.Read("c.json"), "");
}

}  // namespace
}  // namespace encke::test
