// Images per second that one worker of the loader delivers.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>

#include "data/loader.h"

namespace encke {
namespace {

// Batches of one image after the other; counts images.
void RunLoader(benchmark::State& state, const Dataset& dataset, const LoaderOptions& options) {
  const auto allocator = NewCpuAllocator();
  const auto loader = NewLoader(dataset, options, *allocator);
  int64_t epoch = 0;
  loader->StartEpoch(epoch);
  Batch batch;
  for (auto unused : state) {
    if (!loader->Next(&batch)) {
      loader->StartEpoch(++epoch);
      loader->Next(&batch);
    }
    benchmark::DoNotOptimize(batch.images.raw());
  }
  state.SetItemsProcessed(state.iterations() * options.batch);
}

// Small images that are in memory, as those of IDX are.
class MemoryDataset : public Dataset {
 public:
  MemoryDataset(int64_t side, int64_t c) : image_{side, side, c, {}} {
    image_.pixels.resize(static_cast<size_t>(side * side * c), 100);
  }
  int64_t size() const override { return 50000; }
  int classes() const override { return 10; }
  std::vector<std::string> class_names() const override { return {}; }
  int label(int64_t index) const override { return static_cast<int>(index % 10); }
  Image Read(int64_t) const override { return image_; }

 private:
  Image image_;
};

// Arguments: side, channels. Pad, crop and flip, as for Fashion-MNIST and CIFAR.
void SmallImages(benchmark::State& state) {
  LoaderOptions options;
  options.height = options.width = state.range(0);
  options.channels = state.range(1);
  options.augmentation.crop_padding = 4;
  options.augmentation.flip = true;
  RunLoader(state, MemoryDataset(state.range(0), state.range(1)), options);
}
BENCHMARK(SmallImages)->Args({28, 1})->Args({32, 3})->UseRealTime()->MinTime(1);

// Argument: side.
void SyntheticImages(benchmark::State& state) {
  DatasetOptions data;
  data.height = data.width = state.range(0);
  const auto dataset = OpenDataset(data, Split::TRAIN);
  LoaderOptions options;
  options.height = options.width = state.range(0);
  RunLoader(state, *dataset, options);
}
BENCHMARK(SyntheticImages)->Arg(32)->Arg(224)->UseRealTime()->MinTime(1);

// JPEG files of the size usual in ImageNet, cropped at random to 224.
void JpegFiles(benchmark::State& state) {
  namespace fs = std::filesystem;
  const fs::path folder =
      fs::temp_directory_path() / ("encke-loader-benchmark-" + std::to_string(getpid()));
  fs::create_directories(folder / "a");
  DatasetOptions synthetic;
  synthetic.height = 375;
  synthetic.width = 500;
  const Image image = OpenDataset(synthetic, Split::TRAIN)->Read(0);
  cv::imwrite((folder / "a" / "0.jpg").string(),
              cv::Mat(375, 500, CV_8UC3, const_cast<uint8_t*>(image.pixels.data())));
  for (int i = 1; i < 64; ++i) {
    fs::copy_file(folder / "a" / "0.jpg", folder / "a" / (std::to_string(i) + ".jpg"));
  }
  DatasetOptions data;
  data.kind = DatasetKind::FOLDER;
  data.train = folder.string();
  LoaderOptions options;
  options.batch = 16;
  options.height = options.width = 224;
  options.augmentation.random_resized_crop = true;
  options.augmentation.flip = true;
  RunLoader(state, *OpenDataset(data, Split::TRAIN), options);
  fs::remove_all(folder);
}
BENCHMARK(JpegFiles)->UseRealTime()->MinTime(1);

}  // namespace
}  // namespace encke

BENCHMARK_MAIN();
