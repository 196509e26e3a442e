// What the network language means, and what a user is told when a network or recipe makes no sense.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/config/config.h"

namespace encke {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// A network of these steps on 16x16x3 images of 10 classes; the steps begin in line 2.
ConfigFile Network(const std::string& steps, const std::string& rest = "") {
  const std::string text =
      "network { name: 'n' classes: 10 input { height: 16 width: 16 }\n" + steps + "\n}\n" + rest;
  return ConfigFile::Parse(text, "my.textproto");
}

const char kEnd[] = " step { pool { kind: GLOBAL_AVERAGE } } step { fc { } }";

std::string MistakesOf(const ConfigFile& file) {
  try {
    BuildNetwork(file);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    return error.what();
  }
  return "no error";
}

std::vector<std::string> NodeNames(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.push_back(node.name);
  return names;
}

Shape ShapeOf(const Graph& graph, const std::string& name) {
  for (const Value& value : graph.values) {
    if (value.name == name) return value.shape;
  }
  ADD_FAILURE() << name;
  return {};
}

TEST(NetworkBuilder, NamesAndDefaults) {
  const Graph graph = BuildNetwork(
      Network(StrCat("step { conv { out: 8 kernel: 3 bn: true relu: true } }"
                     "step { name: 'stem' conv { out: 8 kernel: 3 bn: true relu: true } }"
                     "step { conv { out: 4 kernel: 1 } }",
                     kEnd)));
  EXPECT_THAT(NodeNames(graph),
              ElementsAre("conv1", "bn1", "stem", "stem.bn", "conv2", "pool1", "fc1", "loss"))
      << "ReLUs are part of the batch norms";
  std::vector<std::string> parameters;
  for (const Parameter& parameter : graph.parameters) parameters.push_back(parameter.name);
  EXPECT_THAT(parameters, ::testing::IsSupersetOf({"conv1.weight", "conv2.weight", "conv2.bias",
                                                   "bn1.running_mean", "fc1.weight", "fc1.bias"}));
  EXPECT_THAT(parameters, Not(::testing::Contains("conv1.bias")));
  EXPECT_EQ(graph.nodes[2].place, "my.textproto:2:55");
}

TEST(NetworkBuilder, PaddingStrideAndPairs) {
  const Graph graph = BuildNetwork(
      Network(StrCat("step { name: 'same' conv { out: 8 kernel: [1, 7] dilation: [1, 2] } }"
                     "step { name: 'valid' conv { out: 8 kernel: [3, 5] padding: VALID } }"
                     "step { name: 'pad' conv { out: 8 kernel: 3 pad: [0, 2] stride: [2, 1] } }"
                     "step { name: 'pool' pool { kernel: 2 } }",
                     kEnd)));
  EXPECT_EQ(ShapeOf(graph, "same"), (Shape{1, 16, 16, 8}));
  EXPECT_EQ(ShapeOf(graph, "valid"), (Shape{1, 14, 12, 8}));
  EXPECT_EQ(ShapeOf(graph, "pad"), (Shape{1, 6, 14, 8}));
  EXPECT_EQ(ShapeOf(graph, "pool"), (Shape{1, 3, 7, 8}));
}

const char kResidual[] =
    "block { name: 'res' step { branches {"
    "  branch { step { conv { width: 2 kernel: 3 block_stride: true } } }"
    "  branch { step { shortcut { } } } relu: true } } }";

TEST(NetworkBuilder, BlocksScaleWidthStrideOnceAndAddShortcutsWhereTheShapeChanges) {
  const Graph graph = BuildNetwork(Network(
      StrCat(kResidual, "step { name: 'a' use { block: 'res' repeat: 2 width: 8 stride: 2 } }",
             "step { name: 'b' use { block: 'res' width: 8 } }", kEnd)));
  EXPECT_THAT(NodeNames(graph),
              ElementsAre("a.0.conv1", "a.0.downsample.0", "a.0.downsample.1", "a.0.add1",
                          "a.0.add1.relu", "a.1.conv1", "a.1.add1", "a.1.add1.relu", "b.conv1",
                          "b.add1", "b.add1.relu", "pool1", "fc1", "loss"));
  EXPECT_EQ(ShapeOf(graph, "b.add1"), (Shape{1, 8, 8, 16}));
}

TEST(NetworkBuilder, ConcatJoinsBranchesInOrderUnderTheStepsName) {
  const Graph graph = BuildNetwork(
      Network(StrCat("step { name: 'mix' branches { join: CONCAT branch { }"
                     "  branch { name: 'x' step { name: 'c' conv { out: 5 kernel: 1 } } } } }",
                     kEnd)));
  EXPECT_EQ(ShapeOf(graph, "mix").c, 8);
  EXPECT_EQ(graph.nodes[0].name, "mix.x.c");
  EXPECT_THAT(graph.nodes[1].inputs, ElementsAre(0, 1));
}

TEST(NetworkBuilder, ChainsInBranchesAreNumberedBehindTheSteps) {
  const Graph graph = BuildNetwork(
      Network(StrCat("conv { unit: true bn: true kernel: 1 }"
                     "step { branches { join: CONCAT branch { } branch { name: 'b'"
                     "  step { pool { kernel: 1 } } conv { out: 4 } conv { out: 2 } } } }",
                     kEnd)));
  EXPECT_THAT(NodeNames(graph), ElementsAre("b.pool1", "b.1.conv", "b.1.bn", "b.2.conv", "b.2.bn",
                                            "cat1", "pool1", "fc1", "loss"));
  EXPECT_THAT(MistakesOf(Network("step { branches { branch { conv { out: 4 kernel: 1 } }\n"
                                 "branch { conv { out: 4 } } } }")),
              HasSubstr("my.textproto:3:10: the convolution does not say its kernel"));
}

TEST(NetworkBuilder, DefaultsOfTheNetworkLieUnderTheStepsOwnFields) {
  const Graph graph = BuildNetwork(
      Network(StrCat("conv { kernel: [5, 5] padding: VALID } batch_norm { epsilon: 0.5 }"
                     "step { conv { out: 4 } } step { conv { out: 4 kernel: 3 } }",
                     kEnd)));
  EXPECT_EQ(ShapeOf(graph, "conv2"), (Shape{1, 10, 10, 4}));
}

TEST(NetworkErrors, EveryMistakeIsReportedAtItsPlace) {
  const std::string what =
      MistakesOf(Network("step { conv { kernel: 3 } }\n"
                         "step { conv { width: 2 kernel: 3 } }\n"
                         "step { conv { out: 4 } }\n"
                         "step { use { block: 'bottlenek' } }\n"
                         "step { pool { } }\n"
                         "step { dropout { p: 1.5 } }\n"
                         "step { shortcut { } }\n"
                         "step { }\n"
                         "step { conv { out: 4 kernel: [1, 2, 3] } }\n"
                         "block { name: 'bottleneck' step { fc { } } }"));
  for (const char* part :
       {"my.textproto:2:8: the convolution does not say its output channels",
        "my.textproto:3:15: 'width' means nothing outside a block",
        "my.textproto:4:8: the convolution does not say its kernel",
        "my.textproto:5:14: there is no block 'bottlenek'; did you mean 'bottleneck'?",
        "my.textproto:6:8: the pooling does not say its kernel",
        "my.textproto:7:18: 'p', the part set to zero", "my.textproto:8:1: a shortcut stands alone",
        "my.textproto:9:1: the step does nothing", "my.textproto:10:22: 'kernel' takes one number",
        "  3 | step { conv { width: 2 kernel: 3 } }\n    |               ^"}) {
    EXPECT_THAT(what, HasSubstr(part));
  }
}

TEST(NetworkErrors, ShapesThatDoNotFit) {
  const std::string add =
      MistakesOf(Network("step { branches { branch { step { conv { out: 4 kernel: 3 } } }\n"
                         "branch { step { conv { out: 5 kernel: 3 } } } } }"));
  EXPECT_THAT(add, HasSubstr("my.textproto:2:1: "));
  EXPECT_THAT(add, HasSubstr("1x4x16x16"));
  EXPECT_THAT(add, HasSubstr("1x5x16x16"));
  EXPECT_THAT(MistakesOf(Network("step { conv { out: 4 kernel: 19 padding: VALID } }")),
              HasSubstr("my.textproto:2:1: layer 'conv1': "));
  EXPECT_THAT(MistakesOf(Network("step { conv { out: 4 kernel: 3 groups: 2 } }")),
              HasSubstr("my.textproto:2:1: layer 'conv1': "));
  EXPECT_THAT(
      MistakesOf(Network("step { conv { out: 10 kernel: 1 } }")),
      HasSubstr("my.textproto:2:1: the last step yields 1x10x16x16 (NxCxHxW), but there are "
                "10 classes"));
}

TEST(NetworkErrors, BlocksThatUseThemselvesAndNamesGivenTwice) {
  EXPECT_THAT(MistakesOf(Network("block { name: 'x' step { use { block: 'x' } } }\n"
                                 "step { use { block: 'x' } }")),
              HasSubstr("my.textproto:2:32: block 'x' uses itself"));
  EXPECT_THAT(MistakesOf(Network("step { name: 'a' fc { } }\nstep { name: 'a' fc { } }")),
              HasSubstr("my.textproto:3:8: two steps are called 'a'"));
}

TEST(NetworkErrors, FrameIsChecked) {
  const std::string what = MistakesOf(ConfigFile::Parse("network { }", "my.textproto"));
  EXPECT_THAT(what, HasSubstr("height is missing"));
  EXPECT_THAT(what, HasSubstr("width is missing"));
  EXPECT_THAT(what, HasSubstr("'classes' is missing"));
  EXPECT_THAT(what, HasSubstr("no steps"));
}

std::string RecipeMistakes(const std::string& rest) {
  return MistakesOf(Network("step { fc { } }", rest));
}

TEST(RecipeErrors, RangesAreChecked) {
  const std::string what = RecipeMistakes(
      "optimizer { learning_rate: 0 }\n"
      "training { batch: 0 epochs: -1 memory_limit: '2 bananas' threads: 99999 }\n"
      "activations { tolerance: nan codec: 'fats' }\n"
      "schedule { kind: MULTISTEP milestone: [3, 2] }");
  for (const char* part : {"my.textproto:4:13: 'optimizer.learning_rate' must be above 0, not 0",
                           "my.textproto:5:12: 'training.batch' must be at least 1 and at most",
                           "my.textproto:5:21: 'training.epochs' must be above 0, not -1",
                           "my.textproto:5:32: ", "bananas",
                           "'training.threads' must be at least 0 and at most 1024, not 99999",
                           "my.textproto:6:15: 'activations.tolerance' must be finite, not nan",
                           "my.textproto:6:30: there is no codec 'fats'; did you mean 'fast'?",
                           "my.textproto:7:28: milestones must increase: 2 comes after 3"}) {
    EXPECT_THAT(what, HasSubstr(part));
  }
}

TEST(RecipeErrors, CodecAutoAndNoPrefetchingAreFine) {
  const std::string what = RecipeMistakes(
      "data { prefetch: 0 } activations { codec: 'auto' relu { codec: 'auto' } }\n"
      "training { batch: 0 }");
  EXPECT_EQ(what.find("codec"), std::string::npos) << what;
  EXPECT_EQ(what.find("prefetch"), std::string::npos) << what;
}

TEST(RecipeErrors, NumbersAreFinite) {
  const std::string what = RecipeMistakes(
      "optimizer { learning_rate: inf }\n"
      "training { epochs: inf }\n"
      "data { mean: [0.5, nan, 0.5] }\n"
      "schedule { kind: MULTISTEP milestone: [1, inf] }");
  for (const char* part : {"my.textproto:4:13: 'optimizer.learning_rate' must be finite, not inf",
                           "my.textproto:5:12: 'training.epochs' must be finite, not inf",
                           "my.textproto:6:8: 'data.mean[1]' must be finite, not nan",
                           "my.textproto:7:28: 'schedule.milestone[1]' must be finite, not inf"}) {
    EXPECT_THAT(what, HasSubstr(part));
  }
}

TEST(RecipeErrors, CombinationsAreChecked) {
  EXPECT_THAT(RecipeMistakes("data { kind: IDX }"), HasSubstr("data of kind IDX needs 'train'"));
  EXPECT_THAT(RecipeMistakes("data { mean: [1, 2] }"),
              HasSubstr("'data.mean' has 2 numbers, the input 3 channels"));
  EXPECT_THAT(RecipeMistakes("data { std: 0 }"), HasSubstr("'std' must be above 0"));
  EXPECT_THAT(RecipeMistakes("data { test_fraction: 1 }"),
              HasSubstr("my.textproto:4:8: 'data.test_fraction' must be below 1"));
  EXPECT_THAT(RecipeMistakes("data { test_fraction: 0.5 }"), HasSubstr("no error"));
  EXPECT_THAT(RecipeMistakes("schedule { kind: STEP }"), HasSubstr("needs 'step'"));
  EXPECT_THAT(RecipeMistakes("schedule { kind: MULTISTEP }"), HasSubstr("needs 'milestone'"));
  EXPECT_THAT(RecipeMistakes("data { } training { batch: 8 }"), HasSubstr("no error"));
}

}  // namespace
}  // namespace encke
