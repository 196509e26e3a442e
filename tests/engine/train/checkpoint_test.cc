#include "engine/train/checkpoint.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "engine/core/error.h"
#include "engine/core/parallel.h"
#include "engine/core/rng.h"
#include "engine/train/parameter_layout.h"
#include "layers/convolution.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/fully_connected.h"
#include "layers/softmax_cross_entropy.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

std::string Folder(const std::string& name) {
  const std::string path = testing::TempDir() + "/checkpoint_test_" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

class CheckpointTest : public testing::Test {
 protected:
  CheckpointTest() : backend_(NewBackend(Device())) {}

  // Elements 0, 1, 2, ... plus `start`, in physical order.
  Tensor Counting(const Shape& shape, float start = 0) {
    Tensor tensor =
        Tensor::Empty(backend_->allocator(), shape, DType::F32, MemoryCategory::PARAMETER);
    std::iota(tensor.data<float>(), tensor.data<float>() + tensor.elements(), start);
    return tensor;
  }

  std::vector<float> FileValues(const std::string& path, const std::string& name) {
    const SafetensorsReader reader(path);
    std::vector<float> values(reader.tensors().at(name).bytes() / sizeof(float));
    reader.Read(name, 0, reader.tensors().at(name).bytes(), values.data());
    return values;
  }

  std::unique_ptr<Backend> backend_;
};

TrainingState SomeState() {
  TrainingState state;
  state.iteration = 123;
  state.epoch = 1.5;
  state.samples_per_epoch = 60000;
  state.best_top1 = 90.1234567890123;
  state.evaluation_pending = true;
  state.average_updates = 7;
  state.audits = 3;
  state.controller = "{\"a\":\"\\u0001\"}";
  state.meters = "[]";
  state.config = "name: \"x\"\n";
  return state;
}

TEST_F(CheckpointTest, TensorsAndStateComeBackBitForBit) {
  const std::string path = Folder("back") + "/last.safetensors";
  const Tensor weight = Counting({4, 3, 2, 5}), bias = Counting(Shape::Vector(4), 0.1f);
  SaveCheckpoint(path, {{"w", {4, 5, 3, 2}, weight}, {"b", {4}, bias}}, SomeState(), *backend_);
  const Tensor weight2 = Counting({4, 3, 2, 5}, 1000), bias2 = Counting(Shape::Vector(4), 1000);
  const Checkpoint checkpoint(path);
  checkpoint.Load({{"w", {4, 5, 3, 2}, weight2}, {"b", {4}, bias2}}, *backend_);
  EXPECT_EQ(0, std::memcmp(weight.raw(), weight2.raw(), weight.bytes()));
  EXPECT_EQ(0, std::memcmp(bias.raw(), bias2.raw(), bias.bytes()));
  ASSERT_TRUE(checkpoint.has_state());
  EXPECT_EQ(checkpoint.state().iteration, 123);
  EXPECT_EQ(checkpoint.state().best_top1, 90.1234567890123);
  EXPECT_TRUE(checkpoint.state().evaluation_pending);
  EXPECT_EQ(checkpoint.state().average_updates, 7);
  EXPECT_EQ(checkpoint.state().audits, 3);
  EXPECT_EQ(checkpoint.state().controller, SomeState().controller);
  EXPECT_EQ(checkpoint.state().config, SomeState().config);
}

// conv [2, 3, 1, 1] -> 2 channels of 3 x 2 -> flatten -> dropout -> fc
Graph ConvFlattenFc() {
  GraphBuilder builder("test", {1, 3, 2, 3}, 4);
  ConvolutionOptions conv;
  conv.out_channels = 2;
  conv.bias = true;
  int value = builder.Add("conv", "", NewConvolution(conv), {builder.input()});
  value = builder.Add("flatten", "", NewFlatten(), {value});
  value = builder.Add("dropout", "", NewDropout(), {value});
  FullyConnectedOptions fc;
  fc.out_features = 4;
  value = builder.Add("fc", "", NewFullyConnected(fc), {value});
  return builder.Finish(value, NewSoftmaxCrossEntropy());
}

TEST_F(CheckpointTest, LayoutsAreTorchvisions) {
  const Graph graph = ConvFlattenFc();
  std::vector<Tensor> parameters;
  for (const Parameter& parameter : graph.parameters)
    parameters.push_back(Counting(parameter.spec.shape));
  const std::string path = Folder("layout") + "/x.safetensors";
  SaveCheckpoint(path, CheckpointView(graph, parameters), {}, *backend_);
  const SafetensorsReader reader(path);
  using Extents = std::vector<int64_t>;
  EXPECT_EQ(reader.tensors().at("conv.weight").shape, (Extents{2, 3, 1, 1}));
  EXPECT_EQ(reader.tensors().at("conv.bias").shape, (Extents{2}));
  EXPECT_EQ(reader.tensors().at("fc.weight").shape, (Extents{4, 12}));
  // Column c * 6 + h * 2 + w of the file is column (h * 2 + w) * 2 + c of the engine.
  const std::vector<float> fc = FileValues(path, "fc.weight");
  const std::vector<float> row(fc.begin() + 12, fc.begin() + 24);
  EXPECT_EQ(row, (std::vector<float>{12, 14, 16, 18, 20, 22, 13, 15, 17, 19, 21, 23}));
}

TEST_F(CheckpointTest, KernelsBecomeChannelsFirst) {
  const std::string path = Folder("kernel") + "/x.safetensors";
  SaveCheckpoint(path, {{"w", {1, 2, 1, 3}, Counting({1, 1, 3, 2})}}, {}, *backend_);
  EXPECT_EQ(FileValues(path, "w"), (std::vector<float>{0, 2, 4, 1, 3, 5}));
}

TEST_F(CheckpointTest, AnotherNetworkIsNamedAndNothingIsTouched) {
  const std::string path = Folder("other") + "/x.safetensors";
  SaveCheckpoint(
      path, {{"a", {2}, Counting(Shape::Vector(2), 50)}, {"b", {3}, Counting(Shape::Vector(3))}},
      {}, *backend_);
  const Tensor a = Counting(Shape::Vector(2));
  try {
    Checkpoint(path).Load({{"a", {2}, a},
                           {"b", {4}, Counting(Shape::Vector(4))},
                           {"c", {1}, Counting(Shape::Vector(1))}},
                          *backend_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::CONFIG);
    EXPECT_NE(error.message().find("b is [4] in the network, [3] in the checkpoint"),
              std::string::npos)
        << error.what();
    EXPECT_NE(error.message().find("c [1] is not in the checkpoint"), std::string::npos);
  }
  EXPECT_EQ(a.data<float>()[0], 0) << "tensors that do fit must not be loaded either";
}

TEST_F(CheckpointTest, ATruncatedFileIsNamed) {
  const std::string path = Folder("truncated") + "/last.safetensors";
  SaveCheckpoint(path, {{"a", {100}, Counting(Shape::Vector(100))}}, SomeState(), *backend_);
  fs::resize_file(path, fs::file_size(path) - 1);
  try {
    const Checkpoint checkpoint(FindCheckpoint(fs::path(path).parent_path().string()));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_EQ(error.place(), path);
    EXPECT_NE(error.message().find("truncated"), std::string::npos) << error.what();
  }
  fs::copy_file(path, fs::path(path).parent_path() / "best.safetensors");
  try {
    const Checkpoint checkpoint(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.hint().find("best.safetensors"), std::string::npos) << error.what();
  }
  EXPECT_THROW(FindCheckpoint(path + ".nowhere"), Error);
}

TEST_F(CheckpointTest, KeepsTheBestAndTheNewestNumberedOnes) {
  const std::string folder = Folder("keep");
  const CheckpointFolder checkpoints(folder, 2);
  const Tensor a = Counting(Shape::Vector(1));
  for (int epoch = 1; epoch <= 12; ++epoch) {
    a.data<float>()[0] = static_cast<float>(epoch);
    checkpoints.SaveLast({{"a", {1}, a}}, SomeState(), *backend_);
    if (epoch == 5) checkpoints.KeepAsBest();
    checkpoints.KeepAsEpoch(epoch);
  }
  EXPECT_EQ(FileValues(folder + "/last.safetensors", "a")[0], 12);
  EXPECT_EQ(FileValues(folder + "/best.safetensors", "a")[0], 5);
  EXPECT_EQ(FileValues(folder + "/epoch_0011.safetensors", "a")[0], 11);
  EXPECT_FALSE(fs::exists(folder + "/epoch_0010.safetensors"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 4);
}

// Writes checkpoints for ever; each holds its number in the state and in every element.
[[noreturn]] void WriteForEver(const std::string& folder, const Tensor& tensor, Backend& backend) {
  SetThreads(1);  // a forked process does not have the other threads
  const CheckpointFolder checkpoints(folder, 2);
  for (int64_t number = 1;; ++number) {
    std::fill_n(tensor.data<float>(), tensor.elements(), static_cast<float>(number));
    TrainingState state = SomeState();
    state.iteration = number;
    checkpoints.SaveLast({{"w", {tensor.elements()}, tensor}}, state, backend);
    checkpoints.KeepAsBest();
    checkpoints.KeepAsEpoch(number % 3);
  }
}

TEST_F(CheckpointTest, KillingTheWriterAtAnyMomentLeavesTheLastOneLoadable) {
  const std::string folder = Folder("kill"), last = folder + "/last.safetensors";
  const auto written = [&] {
    return fs::exists(last) ? fs::last_write_time(last) : fs::file_time_type::min();
  };
  const Tensor tensor = Counting(Shape::Vector(300'000)), loaded = Counting(tensor.shape());
  Rng rng(1, RngStream::TEST);
  int64_t checkpoints = 0;
  for (int kill = 0; kill < 30; ++kill) {
    const fs::file_time_type before = written();
    const pid_t child = fork();
    if (child == 0) WriteForEver(folder, tensor, *backend_);
    // Every other writer has come to write something, however slow the machine.
    while (kill % 2 == 0 && written() == before) usleep(1'000);
    usleep(static_cast<useconds_t>(5'000 + rng.Below(40'000)));
    ::kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    for (const char* name : {"/last.safetensors", "/best.safetensors"}) {
      if (!fs::exists(folder + name)) continue;
      const Checkpoint checkpoint(folder + name);
      checkpoint.Load({{"w", {tensor.elements()}, loaded}}, *backend_);
      const float number = static_cast<float>(checkpoint.state().iteration);
      for (int64_t i = 0; i < loaded.elements(); ++i)
        ASSERT_EQ(loaded.data<float>()[i], number) << "weights and state of different moments";
      ++checkpoints;
    }
  }
  EXPECT_GE(checkpoints, 30) << "one of each writer";
}

}  // namespace
}  // namespace encke
