// Every config in the tree loads and builds, and the networks are the published ones.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "engine/config/config.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

Graph Build(const std::string& name, const std::vector<std::string>& overrides = {}) {
  return BuildNetwork(ConfigFile::Load("models/" + name + ".textproto", overrides));
}

std::vector<std::string> ConfigsIn(const std::string& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".textproto") paths.push_back(entry.path().string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::map<std::string, Shape> ShapesOf(const Graph& graph) {
  std::map<std::string, Shape> shapes;
  for (const Parameter& parameter : graph.parameters) shapes[parameter.name] = parameter.spec.shape;
  return shapes;
}

TEST(Models, EveryConfigLoadsAndBuilds) {
  std::vector<std::string> paths = ConfigsIn("models");
  const std::vector<std::string> recipes = ConfigsIn("models/recipes");
  EXPECT_GE(paths.size(), 20u);
  EXPECT_GE(recipes.size(), 15u);
  paths.insert(paths.end(), recipes.begin(), recipes.end());
  for (const std::string& path : paths) {
    try {
      const ConfigFile file = ConfigFile::Load(path);
      const Graph graph = BuildNetwork(file);
      EXPECT_GT(graph.TrainedParameters(), 0) << path;
      EXPECT_TRUE(graph.nodes.back().layer->IsLoss()) << path;
      for (const Node& node : graph.nodes) {
        EXPECT_FALSE(node.place.empty() && !node.layer->IsLoss()) << path << " " << node.name;
      }
    } catch (const Error& error) {
      ADD_FAILURE() << path << ":\n" << error.what();
    }
  }
}

TEST(Models, RecipesAreNamedAfterTheirFileAndSayTheirData) {
  for (const std::string& path : ConfigsIn("models/recipes")) {
    const ConfigFile file = ConfigFile::Load(path);
    EXPECT_EQ(file.config().name(), fs::path(path).stem().string());
    EXPECT_TRUE(file.config().has_data()) << path;
    EXPECT_EQ(file.config().data().mean_size(), file.config().network().input().channels()) << path;
  }
}

struct Count {
  const char* network;
  int64_t parameters;
};

class ParameterCount : public ::testing::TestWithParam<Count> {};

TEST_P(ParameterCount, IsThePublishedOne) {
  EXPECT_EQ(Build(GetParam().network).TrainedParameters(), GetParam().parameters);
}

// torchvision's, timm's (Inception-V4), Krizhevsky et al.'s (AlexNet with groups).
INSTANTIATE_TEST_SUITE_P(
    Zoo, ParameterCount,
    ::testing::Values(
        Count{"lenet5", 431080}, Count{"alexnet", 61100840}, Count{"alexnet_original", 60965224},
        Count{"vgg11", 132863336}, Count{"vgg11_bn", 132868840}, Count{"vgg13", 133047848},
        Count{"vgg13_bn", 133053736}, Count{"vgg16", 138357544}, Count{"vgg16_bn", 138365992},
        Count{"vgg19", 143667240}, Count{"vgg19_bn", 143678248}, Count{"resnet18", 11689512},
        Count{"resnet34", 21797672}, Count{"resnet50", 25557032}, Count{"resnet101", 44549160},
        Count{"resnet152", 60192808}, Count{"resnet20", 272474}, Count{"resnet56", 855770},
        Count{"inception_v4", 42679816}, Count{"resnet18_small", 11173962},
        Count{"vgg16_small", 14719818}, Count{"vgg11_bn_small", 9231114},
        Count{"alexnet_small", 4361034}),
    [](const auto& test) { return std::string(test.param.network); });

TEST(Models, MultiplyAddsAreThePublishedOnes) {
  EXPECT_NEAR(static_cast<double>(Build("resnet50").Macs()), 4.09e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(Build("vgg16").Macs()), 15.47e9, 0.01e9);
  EXPECT_NEAR(static_cast<double>(Build("alexnet").Macs()), 0.714e9, 0.001e9);
  EXPECT_NEAR(static_cast<double>(Build("inception_v4").Macs()), 12.27e9, 0.03e9);
}

TEST(Models, ParametersCarryTorchvisionsNames) {
  const auto resnet = ShapesOf(Build("resnet50"));
  EXPECT_EQ(resnet.at("conv1.weight"), (Shape{64, 7, 7, 3}));
  EXPECT_EQ(resnet.at("bn1.running_var"), Shape::Vector(64));
  EXPECT_EQ(resnet.at("layer1.0.conv1.weight"), (Shape{64, 1, 1, 64}));
  EXPECT_EQ(resnet.at("layer1.0.downsample.0.weight"), (Shape{256, 1, 1, 64}));
  EXPECT_EQ(resnet.at("layer4.0.downsample.1.bias"), Shape::Vector(2048));
  EXPECT_EQ(resnet.at("layer4.2.bn3.weight"), Shape::Vector(2048));
  EXPECT_EQ(resnet.at("fc.weight"), (Shape{1000, 1, 1, 2048}));
  EXPECT_EQ(resnet.count("layer1.1.downsample.0.weight"), 0u);
  EXPECT_EQ(resnet.size(), 267u);  // 161 parameters and 53 pairs of running statistics

  const auto vgg = ShapesOf(Build("vgg16"));
  for (int i : {0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28}) {
    EXPECT_EQ(vgg.count(StrCat("features.", i, ".bias")), 1u) << i;
  }
  EXPECT_EQ(vgg.at("classifier.6.weight"), (Shape{1000, 1, 1, 4096}));
  const auto vgg_bn = ShapesOf(Build("vgg11_bn"));
  for (int i : {0, 4, 8, 11, 15, 18, 22, 25}) {
    EXPECT_EQ(vgg_bn.count(StrCat("features.", i, ".bias")), 1u) << i;
    EXPECT_EQ(vgg_bn.count(StrCat("features.", i + 1, ".running_mean")), 1u) << i;
  }
  const auto alexnet = ShapesOf(Build("alexnet"));
  EXPECT_EQ(alexnet.at("features.10.weight"), (Shape{256, 3, 3, 256}));
  EXPECT_EQ(alexnet.at("classifier.1.weight"), (Shape{4096, 1, 1, 9216}));
}

TEST(Models, InceptionCarriesTimmsNames) {
  const auto shapes = ShapesOf(Build("inception_v4"));
  EXPECT_EQ(shapes.at("features.0.conv.weight"), (Shape{32, 3, 3, 3}));
  EXPECT_EQ(shapes.at("features.3.conv.bn.weight"), Shape::Vector(96));
  EXPECT_EQ(shapes.at("features.4.branch1.2.conv.weight"), (Shape{64, 7, 1, 64}));
  EXPECT_EQ(shapes.at("features.6.branch3.1.conv.weight"), (Shape{96, 1, 1, 384}));
  EXPECT_EQ(shapes.at("features.17.branch2.4.conv.weight"), (Shape{256, 1, 7, 224}));
  EXPECT_EQ(shapes.at("features.21.branch2_3b.conv.weight"), (Shape{256, 3, 1, 512}));
  EXPECT_EQ(shapes.at("last_linear.weight"), (Shape{1000, 1, 1, 1536}));
}

TEST(Models, SizeAndClassesFollowTheConfig) {
  Graph graph = Build(
      "resnet18", {"network.input.height=160", "network.input.width=192", "network.classes=17"});
  graph.InferShapes(5);
  EXPECT_EQ(graph.values[graph.logits].shape, (Shape{5, 1, 1, 17}));
}

}  // namespace
}  // namespace encke
