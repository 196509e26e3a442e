// Text files of "path label".
#include "tests/data/test_files.h"

namespace encke {
namespace {

class ListTest : public testing::Test {
 protected:
  ListTest() {
    options_.kind = DatasetKind::LIST;
    folder_.Write("images/one two.png", EncodedImage(".png", 3, 4, 50, 60, 70));
    folder_.Write("images/three.png", EncodedImage(".png", 3, 4, 80, 90, 100));
  }
  std::unique_ptr<Dataset> Open(const std::string& list, Split split = Split::TRAIN) {
    options_.train = folder_.Write("list.txt", list);
    return OpenDataset(options_, split);
  }

  TemporaryFolder folder_;
  DatasetOptions options_;
};

TEST_F(ListTest, PathsAreRelativeToTheListAndMayHaveSpaces) {
  const auto dataset =
      Open("# comment\nimages/one two.png 3\n\n" + folder_.path() + "/images/three.png\t0\r\n");
  EXPECT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->classes(), 4);
  EXPECT_EQ(dataset->label(0), 3);
  EXPECT_EQ(dataset->Read(0).pixels[1], 60);
  EXPECT_EQ(dataset->Read(1).pixels[2], 100);
}

TEST_F(ListTest, MalformedLinesAreNamedByTheirNumber) {
  for (const char* bad : {"images/three.png", "images/three.png one", "images/three.png -1", "7",
                          "images/three.png 1.5", "images/three.png 99999999999999", " 4"}) {
    ExpectDataError([&] { Open(StrCat("images/three.png 0\n", bad, "\n")); }, "list.txt:2: \"");
  }
}

TEST_F(ListTest, LabelOutOfRangeIsNamedByItsLine) {
  options_.classes = 3;
  ExpectDataError([&] { Open("images/three.png 2\nimages/three.png 3\n"); },
                  "list.txt:2: label 3 is out of range");
}

TEST_F(ListTest, MissingFileIsNamedWithItsLine) {
  const auto dataset = Open("images/three.png 0\nimages/gone.png 1\n");
  ExpectDataError([&] { dataset->Read(1); }, "list.txt:2): cannot open: No such file");
}

TEST_F(ListTest, EmptyOrMissingListIsAnError) {
  ExpectDataError([&] { Open("# nothing\n"); }, "there is no image in it");
  options_.train = folder_.path() + "/nowhere.txt";
  ExpectDataError([&] { OpenDataset(options_, Split::TRAIN); }, "path label");
}

TEST_F(ListTest, FractionSplitsTheList) {
  std::string list;
  for (int i = 0; i < 300; ++i) list += StrCat("file", i, ".png ", i % 7, "\n");
  ExpectDataError([&] { Open(list, Split::TEST); }, "there are no test data");
  options_.test_fraction = 0.5;
  const int64_t train = Open(list)->size(), test = Open(list, Split::TEST)->size();
  EXPECT_EQ(train + test, 300);
  EXPECT_NEAR(static_cast<double>(test), 150, 40);
  EXPECT_EQ(Open(list, Split::TEST)->classes(), 7);
}

}  // namespace
}  // namespace encke
