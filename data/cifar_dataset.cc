// CIFAR-10 and CIFAR-100, the binary versions (https://www.cs.toronto.edu/~kriz/cifar.html).
//
//   CIFAR-10   label              | 1024 red | 1024 green | 1024 blue
//   CIFAR-100  coarse | fine label | 1024 red | 1024 green | 1024 blue
#include <filesystem>
#include <fstream>
#include <utility>

#include "data/file.h"
#include "data/formats.h"
#include "data/image_codec.h"
#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kSide = 32;
constexpr int64_t kPlane = kSide * kSide;

struct CifarFormat {
  int classes;
  int64_t label_bytes;  // the last one is the label
  std::vector<std::string> train, test;
  std::string names;
  std::string subfolder;  // where the archive unpacks to

  int64_t record_bytes() const { return label_bytes + 3 * kPlane; }
};

CifarFormat Cifar10() {
  return {10,
          1,
          {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
           "data_batch_5.bin"},
          {"test_batch.bin"},
          "batches.meta.txt",
          "cifar-10-batches-bin"};
}

CifarFormat Cifar100() {
  return {100, 2, {"train.bin"}, {"test.bin"}, "fine_label_names.txt", "cifar-100-binary"};
}

// The names that the format comes with, if they are there.
std::vector<std::string> ReadNames(const std::string& path, size_t count) {
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; names.size() < count && std::getline(file, line);) {
    if (!line.empty()) names.push_back(line);
  }
  if (names.size() != count) names.clear();
  return names;
}

class CifarDataset : public Dataset {
 public:
  CifarDataset(const std::string& folder, CifarFormat format, Split split, int64_t channels)
      : format_(std::move(format)), channels_(channels) {
    names_ = ReadNames(folder + "/" + format_.names, static_cast<size_t>(format_.classes));
    for (const std::string& name : split == Split::TRAIN ? format_.train : format_.test) {
      Add(folder + "/" + name);
    }
  }

  int64_t size() const override { return static_cast<int64_t>(records_.size()); }
  int classes() const override { return format_.classes; }
  std::vector<std::string> class_names() const override { return names_; }
  int label(int64_t index) const override { return records_[static_cast<size_t>(index)].label; }

  Image Read(int64_t index) const override {
    const Record& record = records_[static_cast<size_t>(index)];
    uint8_t planes[3 * kPlane];
    files_[record.file].ReadAt(record.offset, sizeof(planes), planes);
    Image image{kSide, kSide, 3, std::vector<uint8_t>(3 * kPlane)};
    for (int64_t i = 0; i < kPlane; ++i) {
      for (int64_t c = 0; c < 3; ++c) {
        image.pixels[static_cast<size_t>(3 * i + c)] = planes[c * kPlane + i];
      }
    }
    return ConvertChannels(std::move(image), channels_);
  }

 private:
  struct Record {
    uint32_t file;
    int label;
    int64_t offset;  // of the red plane
  };

  void Add(const std::string& path) {
    files_.emplace_back(path);
    const File& file = files_.back();
    const int64_t bytes = format_.record_bytes();
    if (file.size() == 0 || file.size() % bytes != 0) {
      throw Error(ErrorKind::DATA,
                  StrCat("the file has ", file.size(), " bytes, not a multiple of ", bytes,
                         " (one record)"),
                  path, "fetch the file again");
    }
    for (int64_t i = 0; i < file.size() / bytes; ++i) {
      const int64_t offset = i * bytes + format_.label_bytes;
      uint8_t label;
      file.ReadAt(offset - 1, 1, &label);
      CheckLabel(label, format_.classes, StrCat(path, ", record ", i));
      records_.push_back({static_cast<uint32_t>(files_.size() - 1), label, offset});
    }
  }

  CifarFormat format_;
  int64_t channels_;
  std::vector<std::string> names_;
  std::vector<File> files_;
  std::vector<Record> records_;
};

// The folder that holds the format's files, or "".
std::string FindFormat(const std::string& folder, const CifarFormat& format, Split split) {
  const std::string& first = (split == Split::TRAIN ? format.train : format.test).front();
  for (const std::string& candidate : {folder, folder + "/" + format.subfolder}) {
    if (std::filesystem::exists(candidate + "/" + first)) return candidate;
  }
  return "";
}

}  // namespace

std::unique_ptr<Dataset> OpenCifar(const DatasetOptions& options, Split split) {
  const std::string& folder = PathOf(options, split);
  for (const CifarFormat& format : {Cifar10(), Cifar100()}) {
    const std::string found = FindFormat(folder, format, split);
    if (found.empty() || (options.classes != 0 && options.classes != format.classes)) continue;
    return std::make_unique<CifarDataset>(found, format, split, options.channels);
  }
  const std::string wanted = options.classes == 0
                                 ? "CIFAR-10 or CIFAR-100"
                                 : StrCat("CIFAR with ", options.classes, " classes");
  throw Error(ErrorKind::DATA, StrCat("no binary files of ", wanted, " in the folder"), folder,
              HowToGet(DatasetKind::CIFAR));
}

}  // namespace encke
