// MNIST's format (http://yann.lecun.com/exdb/mnist/): a big-endian header, then bytes.
//
//   images  00 00 08 03 | count | rows | columns | count x rows x columns bytes
//   labels  00 00 08 01 | count | count bytes
#include <algorithm>
#include <filesystem>
#include <utility>

#include "data/file.h"
#include "data/formats.h"
#include "data/image_codec.h"
#include "engine/core/error.h"

namespace encke {
namespace {

// A whole IDX file of bytes.
struct IdxFile {
  std::string path;
  std::vector<int64_t> extents;  // records first
  std::vector<uint8_t> bytes;
};

uint32_t ReadWord(GzipReader& reader, const std::string& path) {
  uint8_t b[4];
  if (reader.Read(4, b) != 4) throw Error(ErrorKind::DATA, "the file ends in its header", path);
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
}

void CheckMagic(uint32_t magic, uint32_t extents, const std::string& path) {
  const uint32_t expected = 0x800 + extents;  // unsigned bytes
  if (magic == expected) return;
  std::ostringstream message;
  message << std::hex << "magic number 0x" << magic << " instead of 0x" << expected;
  throw Error(ErrorKind::DATA, message.str(), path,
              extents == 3 ? "this is not an IDX file of grey images"
                           : "this is not an IDX file of labels");
}

IdxFile ReadIdx(const std::string& path, uint32_t extents) {
  constexpr int64_t kMostBytes = int64_t{1} << 40;  // a header beyond it is nonsense
  GzipReader reader(path);
  CheckMagic(ReadWord(reader, path), extents, path);
  IdxFile file{path, {}, {}};
  int64_t bytes = 1;
  for (uint32_t i = 0; i < extents; ++i) {
    file.extents.push_back(ReadWord(reader, path));
    bytes = file.extents[i] > kMostBytes / std::max<int64_t>(bytes, 1) ? kMostBytes
                                                                       : bytes * file.extents[i];
  }
  // Grows with what is really there, so that a wrong header cannot ask for all memory.
  constexpr int64_t kBlock = 1 << 24;
  int64_t got = 0;
  for (int64_t part = 1; got < bytes && part > 0; got += part) {
    const int64_t wanted = std::min(kBlock, bytes - got);
    file.bytes.resize(static_cast<size_t>(got + wanted));
    part = reader.Read(wanted, file.bytes.data() + got);
  }
  uint8_t more;
  if (got != bytes || reader.Read(1, &more) != 0) {
    throw Error(ErrorKind::DATA,
                StrCat("the header promises ", bytes, " bytes of data, the file holds ",
                       got < bytes ? StrCat(got) : "more"),
                path, "fetch the file again");
  }
  return file;
}

// "train-images-idx3-ubyte" as Debian and most sites name it, or "train-images.idx3-ubyte".
std::string FindFile(const std::string& folder, const std::string& name, const std::string& type) {
  for (const char* separator : {"-", "."}) {
    for (const char* suffix : {"", ".gz"}) {
      const std::string path = StrCat(folder, "/", name, separator, type, suffix);
      if (std::filesystem::exists(path)) return path;
    }
  }
  throw Error(ErrorKind::DATA, StrCat("neither ", name, "-", type, " nor its .gz is in the folder"),
              folder, HowToGet(DatasetKind::IDX));
}

class IdxDataset : public Dataset {
 public:
  // REQUIRES: both have the same number of records.
  IdxDataset(IdxFile images, IdxFile labels, int classes, int64_t channels)
      : images_(std::move(images)),
        labels_(std::move(labels)),
        classes_(classes),
        channels_(channels) {}

  int64_t size() const override { return labels_.extents[0]; }
  int classes() const override { return classes_; }
  std::vector<std::string> class_names() const override { return {}; }
  int label(int64_t index) const override { return labels_.bytes[static_cast<size_t>(index)]; }

  Image Read(int64_t index) const override {
    Image image{images_.extents[1], images_.extents[2], 1, {}};
    const auto first = images_.bytes.begin() + index * image.h * image.w;
    image.pixels.assign(first, first + image.h * image.w);
    return ConvertChannels(std::move(image), channels_);
  }

 private:
  IdxFile images_;
  IdxFile labels_;
  int classes_;
  int64_t channels_;
};

int CountClasses(const IdxFile& labels, int expected) {
  const int highest =
      labels.bytes.empty() ? 0 : *std::max_element(labels.bytes.begin(), labels.bytes.end());
  if (expected == 0) return highest + 1;
  for (size_t i = 0; i < labels.bytes.size(); ++i) {
    CheckLabel(labels.bytes[i], expected, StrCat(labels.path, ", record ", i));
  }
  return expected;
}

}  // namespace

std::unique_ptr<Dataset> OpenIdx(const DatasetOptions& options, Split split) {
  const std::string& folder = PathOf(options, split);
  const std::string name = split == Split::TRAIN ? "train" : "t10k";
  IdxFile images = ReadIdx(FindFile(folder, name + "-images", "idx3-ubyte"), 3);
  IdxFile labels = ReadIdx(FindFile(folder, name + "-labels", "idx1-ubyte"), 1);
  if (images.extents[0] != labels.extents[0]) {
    throw Error(ErrorKind::DATA,
                StrCat(images.extents[0], " images but ", labels.extents[0], " labels"),
                images.path + ", " + labels.path);
  }
  if (images.extents[1] == 0 || images.extents[2] == 0) {
    throw Error(ErrorKind::DATA, "the header says that images have no pixels", images.path);
  }
  const int classes = CountClasses(labels, options.classes);
  return std::make_unique<IdxDataset>(std::move(images), std::move(labels), classes,
                                      options.channels);
}

}  // namespace encke
