// CIFAR-10 and CIFAR-100 in the binary versions.
#include "tests/data/test_files.h"

namespace encke {
namespace {

// A record whose red, green and blue planes are filled with 10, 20 and 30, but for the first red.
std::string Record(const std::string& labels) {
  std::string record =
      labels + std::string(1024, '\x0a') + std::string(1024, '\x14') + std::string(1024, '\x1e');
  record[labels.size()] = 99;
  return record;
}

class CifarTest : public testing::Test {
 protected:
  CifarTest() {
    options_.kind = DatasetKind::CIFAR;
    options_.train = folder_.path();
  }
  void WriteCifar10(const std::string& last_label) {
    for (int i = 1; i <= 4; ++i) {
      folder_.Write(StrCat("data_batch_", i, ".bin"), Record({static_cast<char>(i)}));
    }
    folder_.Write("data_batch_5.bin", Record({0}) + Record(last_label));
  }
  std::unique_ptr<Dataset> Open(Split split = Split::TRAIN) { return OpenDataset(options_, split); }

  TemporaryFolder folder_;
  DatasetOptions options_;
};

TEST_F(CifarTest, ReadsTenClassesFromFiveFiles) {
  WriteCifar10({9});
  folder_.Write("test_batch.bin", Record({4}));
  folder_.Write("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  const auto dataset = Open();
  EXPECT_EQ(dataset->size(), 6);
  EXPECT_EQ(dataset->classes(), 10);
  EXPECT_EQ(dataset->class_names().at(9), "j");
  EXPECT_EQ(dataset->label(1), 2);
  EXPECT_EQ(dataset->label(5), 9);
  const Image image = dataset->Read(5);
  EXPECT_EQ(image.c, 3);
  EXPECT_EQ(std::vector<uint8_t>(image.pixels.begin(), image.pixels.begin() + 6),
            (std::vector<uint8_t>{99, 20, 30, 10, 20, 30}));
  EXPECT_EQ(Open(Split::TEST)->size(), 1);
}

TEST_F(CifarTest, ReadsFineLabelsOfAHundredClasses) {
  folder_.Write("cifar-100-binary/train.bin", Record({3, 77}) + Record({0, 12}));
  const auto dataset = Open();
  EXPECT_EQ(dataset->classes(), 100);
  EXPECT_EQ(dataset->label(0), 77);
  EXPECT_EQ(dataset->Read(1).pixels[0], 99);
}

TEST_F(CifarTest, BecomesGreyWhenAsked) {
  WriteCifar10({9});
  options_.channels = 1;
  EXPECT_EQ(Open()->Read(0).pixels[1], 18);  // 0.299 * 10 + 0.587 * 20 + 0.114 * 30 = 18.2
}

TEST_F(CifarTest, BadFilesAreNamed) {
  ExpectDataError([&] { Open(); }, "https://www.cs.toronto.edu/~kriz/cifar.html");
  WriteCifar10({10});
  ExpectDataError([&] { Open(); }, "data_batch_5.bin, record 1: label 10 is out of range");
  WriteCifar10({1});
  folder_.Write("data_batch_2.bin", Record({1}).substr(0, 3000));
  ExpectDataError([&] { Open(); }, "data_batch_2.bin: the file has 3000 bytes");
  options_.classes = 100;
  ExpectDataError([&] { Open(); }, "no binary files of CIFAR with 100 classes");
}

}  // namespace
}  // namespace encke
