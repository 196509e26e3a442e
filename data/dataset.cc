#include "data/dataset.h"

#include <xxhash.h>

#include <filesystem>

#include "data/formats.h"
#include "engine/core/error.h"

namespace encke {
namespace {

void CheckOptions(const DatasetOptions& options) {
  if (options.channels != 1 && options.channels != 3) {
    throw Error(ErrorKind::CONFIG, StrCat("images have 1 or 3 channels, not ", options.channels));
  }
  if (options.test_fraction < 0 || options.test_fraction >= 1) {
    throw Error(ErrorKind::CONFIG,
                StrCat("data.test_fraction is ", options.test_fraction, ", not in [0, 1)"));
  }
  if (options.limit < 0 || options.classes < 0) {
    throw Error(ErrorKind::CONFIG, "a number of images or classes is negative");
  }
}

void CheckExists(const DatasetOptions& options, const std::string& path) {
  if (path.empty()) {
    throw Error(ErrorKind::DATA, "no path to the data is given (data.train)", "",
                HowToGet(options.kind));
  }
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    throw Error(ErrorKind::DATA, "the data set is not there", path, HowToGet(options.kind));
  }
}

std::unique_ptr<Dataset> OpenKind(const DatasetOptions& options, Split split) {
  switch (options.kind) {
    case DatasetKind::SYNTHETIC:
      return OpenSynthetic(options, split);
    case DatasetKind::IDX:
      return OpenIdx(options, split);
    case DatasetKind::CIFAR:
      return OpenCifar(options, split);
    case DatasetKind::FOLDER:
      return OpenFolder(options, split);
    case DatasetKind::LIST:
      return OpenList(options, split);
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Dataset> OpenDataset(const DatasetOptions& options, Split split) {
  CheckOptions(options);
  if (options.kind == DatasetKind::SYNTHETIC) return OpenKind(options, split);
  CheckExists(options, options.train);
  CheckExists(options, PathOf(options, split));
  std::unique_ptr<Dataset> dataset = OpenKind(options, split);
  if (dataset->size() == 0) {
    throw Error(ErrorKind::DATA, "there is no image in it", PathOf(options, split));
  }
  return options.limit > 0 && options.limit < dataset->size()
             ? Subset(std::move(dataset), options.limit, options.seed)
             : std::move(dataset);
}

const std::string& PathOf(const DatasetOptions& options, Split split) {
  return split == Split::TEST && !options.test.empty() ? options.test : options.train;
}

bool IsHeldOut(const std::string& path, double fraction) {
  const uint64_t hash = XXH64(path.data(), path.size(), 0);
  return static_cast<double>(hash >> 11) * 0x1p-53 < fraction;
}

void CheckLabel(int64_t label, int64_t classes, const std::string& place) {
  if (label >= 0 && label < classes) return;
  throw Error(ErrorKind::DATA,
              StrCat("label ", label, " is out of range: there are ", classes, " classes, from 0"),
              place);
}

std::string HowToGet(DatasetKind kind) {
  switch (kind) {
    case DatasetKind::IDX:
      return "Fashion-MNIST: apt-get install dataset-fashion-mnist puts it in "
             "/usr/share/datasets/fashion-mnist";
    case DatasetKind::CIFAR:
      return "CIFAR-10 and CIFAR-100, the binary versions: "
             "https://www.cs.toronto.edu/~kriz/cifar.html";
    case DatasetKind::FOLDER:
      return "a folder (or a .tar, .tar.gz) that holds one folder of images for each class; "
             "ImageNet: https://image-net.org";
    case DatasetKind::LIST:
      return "a text file with a line \"path label\" for each image";
    case DatasetKind::SYNTHETIC:
      break;
  }
  return "";
}

}  // namespace encke
