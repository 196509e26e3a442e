// Labelled 8-bit images by index, RGB or grey.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace encke {

// h x w x c bytes, row by row, channels interleaved, RGB order.
struct Image {
  int64_t h = 0, w = 0, c = 0;
  std::vector<uint8_t> pixels;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual int classes() const = 0;
  virtual std::vector<std::string> class_names() const = 0;  // empty where the format has none
  virtual int label(int64_t index) const = 0;
  // Decodes a record as it is. Thread-safe. Error(DATA) names the file and the record.
  virtual Image Read(int64_t index) const = 0;
};

enum class DatasetKind { SYNTHETIC, IDX, CIFAR, FOLDER, LIST };
enum class Split { TRAIN, TEST };

struct DatasetOptions {
  DatasetKind kind = DatasetKind::SYNTHETIC;
  std::string train;  // IDX, CIFAR: folder; FOLDER: folder, .tar or .tar.gz; LIST: text file of
                      // "path label"
  std::string
      test;  // the same for the test split; empty: where the format puts it, or held out of train
  std::string train_prefix;  // FOLDER in a tar: only members below this folder
  std::string test_prefix;
  double test_fraction =
      0;  // FOLDER, LIST without `test`: this part is held out, chosen by a hash of the path
  int64_t limit = 0;     // take only so many records, chosen by the seed; SYNTHETIC: how many there
                         // are (default 8192)
  int64_t channels = 3;  // 1 or 3: images are converted (grey, CMYK, alpha and 16-bit included)
  int64_t height = 32;   // SYNTHETIC only
  int64_t width = 32;
  int classes = 0;  // SYNTHETIC: how many (default 10); others: checked against the data when not 0
  uint64_t seed = 1;
};

// Opens a data set. Error(DATA): missing (says which package or site provides it), truncated, wrong
// magic, label out of range, class without an image.
std::unique_ptr<Dataset> OpenDataset(const DatasetOptions& options, Split split);

}  // namespace encke
