#include "tests/integration/training_testing.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace encke {

ConfigFile TinyConfig(const std::vector<std::string>& overrides) {
  return ConfigFile::Parse(R"(
name: "tiny"
network {
  name: "tiny"
  input { channels: 3 height: 16 width: 16 }
  classes: 4
  step { conv { out: 8 kernel: 3 bn: true relu: true } }
  step { pool { kind: MAX kernel: 2 } }
  step { conv { out: 16 kernel: 3 bn: true relu: true } }
  step { pool { kind: GLOBAL_AVERAGE } }
  step { dropout { p: 0.1 } }
  step { fc {} }
}
data { kind: SYNTHETIC train_size: 512 test_size: 256 mean: 0.5 std: 0.25 augment { crop_padding: 1 } }
optimizer { learning_rate: 0.05 weight_decay: 1e-4 nesterov: true }
schedule { kind: COSINE }
activations { log_every: 4 }
training { batch: 32 epochs: 3 seed: 7 threads: 2 }
)",
                           "tiny.textproto", overrides);
}

std::vector<std::string> WithCodecAuto() {
  return {"activations.codec=auto",          "activations.log_every=1",
          "network.input.height=32",         "network.input.width=32",
          "activations.channel_std_bound=1", "activations.inactive_std_bound=1",
          "activations.tolerance=0.5",       "training.iterations=20"};
}

std::string TestFolder(const std::string& name) {
  const std::string path = testing::TempDir() + "/training_" + name;
  std::filesystem::remove_all(path);
  return path;
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

TrainingResult Train(const ConfigFile& config, const Run& run) {
  TrainerOptions options;
  options.run_directory = run.directory;
  options.resume = run.resume;
  options.write_run = !run.directory.empty() || !run.resume.empty();
  Trainer trainer(config, options);
  trainer.SetObserver(run.observer);
  return trainer.Train();
}

}  // namespace encke
