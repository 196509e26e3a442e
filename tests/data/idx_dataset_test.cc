// IDX files: the installed Fashion-MNIST, and bad files made here.
#include <filesystem>

#include "tests/data/test_files.h"

namespace encke {
namespace {

std::string BigEndian(uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string Images(uint32_t count, uint32_t h, uint32_t w) {
  std::string bytes = BigEndian(0x803) + BigEndian(count) + BigEndian(h) + BigEndian(w);
  for (uint32_t i = 0; i < count * h * w; ++i) bytes += static_cast<char>(i);
  return bytes;
}

std::string Labels(const std::string& labels) {
  return BigEndian(0x801) + BigEndian(static_cast<uint32_t>(labels.size())) + labels;
}

class IdxTest : public testing::Test {
 protected:
  std::unique_ptr<Dataset> Open(Split split = Split::TRAIN) { return OpenDataset(options_, split); }

  TemporaryFolder folder_;
  DatasetOptions options_ = [this] {
    DatasetOptions options;
    options.kind = DatasetKind::IDX;
    options.train = folder_.path();
    options.channels = 1;
    return options;
  }();
};

TEST_F(IdxTest, ReadsFashionMnist) {
  options_.train = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(options_.train)) GTEST_SKIP() << "dataset-fashion-mnist is missing";
  const auto train = Open(), test = Open(Split::TEST);
  EXPECT_EQ(train->size(), 60000);
  EXPECT_EQ(test->size(), 10000);
  EXPECT_EQ(train->classes(), 10);
  EXPECT_EQ(train->label(0), 9);
  const Image boot = train->Read(0);
  EXPECT_EQ(boot.h, 28);
  EXPECT_EQ(boot.w, 28);
  EXPECT_EQ(boot.pixels[0], 0);
  int64_t sum = 0;
  for (const uint8_t pixel : boot.pixels) sum += pixel;
  EXPECT_EQ(sum, 76247);
}

TEST_F(IdxTest, PlainAndCompressedFilesHoldTheSameRecords) {
  folder_.Write("train-images-idx3-ubyte", Images(3, 4, 5));
  folder_.Write("train-labels-idx1-ubyte.gz", Gzip(Labels({2, 0, 1})));
  const auto dataset = Open();
  EXPECT_EQ(dataset->size(), 3);
  EXPECT_EQ(dataset->classes(), 3);
  EXPECT_EQ(dataset->label(0), 2);
  const Image last = dataset->Read(2);
  EXPECT_EQ(last.h, 4);
  EXPECT_EQ(last.w, 5);
  EXPECT_EQ(last.pixels[0], 40);
  EXPECT_EQ(last.pixels[19], 59);
}

TEST_F(IdxTest, GreyBecomesRgbWhenAsked) {
  folder_.Write("train-images-idx3-ubyte", Images(1, 2, 2));
  folder_.Write("train-labels-idx1-ubyte", Labels({0}));
  options_.channels = 3;
  EXPECT_EQ(Open()->Read(0).pixels, (std::vector<uint8_t>{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3}));
}

TEST_F(IdxTest, MissingDataSaysWhichPackageProvidesIt) {
  options_.train = folder_.path() + "/nowhere";
  ExpectDataError([&] { Open(); }, "apt-get install dataset-fashion-mnist");
  options_.train = folder_.path();  // there, but empty
  ExpectDataError([&] { Open(); }, "apt-get install dataset-fashion-mnist");
}

TEST_F(IdxTest, TruncatedGzipIsAnError) {
  folder_.Write("train-labels-idx1-ubyte", Labels(std::string(3, '\0')));
  const std::string whole = Gzip(Images(3, 28, 28));
  for (const size_t length : {size_t{12}, whole.size() / 2, whole.size() - 1}) {
    folder_.Write("train-images-idx3-ubyte.gz", whole.substr(0, length));
    ExpectDataError([&] { Open(); }, "truncated");
  }
}

TEST_F(IdxTest, WrongMagicNumberIsNamed) {
  folder_.Write("train-images-idx3-ubyte", Labels({0, 1}));
  ExpectDataError([&] { Open(); }, "magic number 0x801 instead of 0x803");
}

TEST_F(IdxTest, SizesThatDoNotAgreeAreErrors) {
  folder_.Write("train-labels-idx1-ubyte", Labels({0, 1}));
  folder_.Write("train-images-idx3-ubyte", Images(3, 4, 4));
  ExpectDataError([&] { Open(); }, "3 images but 2 labels");
  folder_.Write("train-images-idx3-ubyte", Images(2, 4, 4) + "x");
  ExpectDataError([&] { Open(); }, "the file holds more");
  folder_.Write("train-images-idx3-ubyte", Images(2, 4, 4).substr(0, 40));
  ExpectDataError([&] { Open(); }, "promises 32 bytes of data, the file holds 24");
  folder_.Write("train-images-idx3-ubyte", Images(2, 0, 4));
  ExpectDataError([&] { Open(); }, "images have no pixels");
  const std::string huge = BigEndian(0x803) + std::string(12, '\xff');
  folder_.Write("train-images-idx3-ubyte", huge);
  ExpectDataError([&] { Open(); }, "the file holds 0");
}

TEST_F(IdxTest, LabelOutOfRangeIsNamedWithItsRecord) {
  folder_.Write("train-images-idx3-ubyte", Images(3, 2, 2));
  folder_.Write("train-labels-idx1-ubyte", Labels({0, 1, 7}));
  options_.classes = 5;
  ExpectDataError([&] { Open(); }, "train-labels-idx1-ubyte, record 2: label 7 is out of range");
}

TEST_F(IdxTest, LimitTakesTheSameRecordsForTheSameSeed) {
  folder_.Write("train-images-idx3-ubyte", Images(200, 1, 1));
  folder_.Write("train-labels-idx1-ubyte", Labels(std::string(200, '\0')));
  options_.limit = 20;
  const auto pixels = [&](uint64_t seed) {
    options_.seed = seed;
    const auto dataset = Open();
    EXPECT_EQ(dataset->size(), 20);
    std::vector<int> result;
    for (int64_t i = 0; i < dataset->size(); ++i) result.push_back(dataset->Read(i).pixels[0]);
    return result;
  };
  EXPECT_EQ(pixels(1), pixels(1));
  EXPECT_NE(pixels(1), pixels(2));
}

}  // namespace
}  // namespace encke
