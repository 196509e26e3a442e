// Folders of images, on disk and in tar archives.
#include <map>

#include "tests/data/test_files.h"

namespace encke {
namespace {

using Members = std::vector<std::pair<std::string, std::string>>;

// Class "b" comes first in the archive, but second in the data set. Image number i is red i.
Members TwoClasses(const std::string& prefix, int images) {
  Members members = {
      {prefix + "b/", ""}, {prefix + "a/", ""}, {prefix + "a/notes.txt", "no image"}};
  for (int i = 0; i < images; ++i) {
    const std::string name = StrCat(prefix, i % 2 == 0 ? "b/" : "a/", "image", i, ".png");
    members.push_back({name, EncodedImage(".png", 3, 4, i, 0, 0)});
  }
  return members;
}

class FolderTest : public testing::Test {
 protected:
  FolderTest() { options_.kind = DatasetKind::FOLDER; }

  void WriteFolder(const Members& members) {
    for (const auto& [name, contents] : members) {
      if (name.back() == '/') {
        folder_.Folder("tree/" + name);
      } else {
        folder_.Write("tree/" + name, contents);
      }
    }
    options_.train = folder_.path() + "/tree";
  }
  std::unique_ptr<Dataset> Open(Split split = Split::TRAIN) { return OpenDataset(options_, split); }

  // (label, red) of each record.
  std::vector<std::pair<int, int>> Contents(Split split = Split::TRAIN) {
    const auto dataset = Open(split);
    std::vector<std::pair<int, int>> contents;
    for (int64_t i = 0; i < dataset->size(); ++i) {
      contents.push_back({dataset->label(i), dataset->Read(i).pixels[0]});
    }
    return contents;
  }

  TemporaryFolder folder_;
  DatasetOptions options_;
};

TEST_F(FolderTest, FolderTarAndCompressedTarAreTheSameDataSet) {
  const std::vector<std::pair<int, int>> expected = {{0, 1}, {0, 3}, {1, 0}, {1, 2}, {1, 4}};
  WriteFolder(TwoClasses("", 5));
  EXPECT_EQ(Open()->class_names(), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Contents(), expected);
  options_.train = folder_.Write("a.tar", Tar(TwoClasses("./", 5)));
  EXPECT_EQ(Contents(), expected);
  options_.train = folder_.Write("a.tar.gz", Gzip(Tar(TwoClasses("", 5))));
  EXPECT_EQ(Contents(), expected);
  EXPECT_EQ(Open()->classes(), 2);
}

TEST_F(FolderTest, PrefixesSeparateTheSplitsOfOneArchive) {
  Members members = TwoClasses("train/", 5);
  members.push_back({"test/b/x.png", EncodedImage(".png", 3, 4, 200, 0, 0)});
  options_.train = folder_.Write("a.tar", Tar(members));
  ExpectDataError([&] { Open(); }, "set data.train_prefix");
  options_.train_prefix = "train";
  options_.test_prefix = "test/";
  EXPECT_EQ(Contents().size(), 5u);
  EXPECT_EQ(Contents(Split::TEST), (std::vector<std::pair<int, int>>{{1, 200}}));
  EXPECT_EQ(Open(Split::TEST)->classes(), 2);
}

TEST_F(FolderTest, TestClassesAreNumberedAsInTraining) {
  WriteFolder(TwoClasses("", 5));
  options_.test =
      folder_.Write("test.tar", Tar({{"b/x.png", EncodedImage(".png", 3, 4, 9, 0, 0)}}));
  EXPECT_EQ(Contents(Split::TEST), (std::vector<std::pair<int, int>>{{1, 9}}));
  options_.test = folder_.Write("bad.tar", Tar({{"c/x.png", EncodedImage(".png", 3, 4, 9, 0, 0)}}));
  ExpectDataError([&] { Open(Split::TEST); }, "class \"c\" is not among the training data's 2");
}

TEST_F(FolderTest, FractionHoldsOutWithoutOverlapOrLoss) {
  WriteFolder(TwoClasses("", 200));
  ExpectDataError([&] { Open(Split::TEST); }, "set data.test, data.test_prefix or data.test_frac");
  options_.test_fraction = 0.25;
  const auto train = Contents(), test = Contents(Split::TEST);
  EXPECT_EQ(train.size() + test.size(), 200u);
  EXPECT_NEAR(static_cast<double>(test.size()), 50, 20);
  std::map<int, int> seen;
  for (const auto& part : {train, test}) {
    for (const auto& [label, red] : part) ++seen[red];
  }
  EXPECT_EQ(seen.size(), 200u);
}

TEST_F(FolderTest, LongAndExtendedNamesInTarsAreRead) {
  const std::string image = EncodedImage(".png", 3, 4, 7, 0, 0);
  const std::string deep = "a/" + std::string(150, 'x') + ".png";
  const std::string pax = "a/" + std::string(20, 'y') + ".png";
  const std::string record = StrCat(" path=", pax, "\n");
  std::string tar = TarMemberBytes("././@LongLink", 'L', deep + '\0') +
                    TarMemberBytes("a/short.png", '0', image) +
                    TarMemberBytes("x", 'g', "19 comment=whatever\n") +
                    TarMemberBytes("x", 'x', StrCat(record.size() + 2, record)) +
                    TarMemberBytes("a/other.png", '0', image) +
                    TarMemberBytes("a/link.png", '2', "");
  options_.train = folder_.Write("a.tar", tar);
  EXPECT_EQ(Contents(), (std::vector<std::pair<int, int>>{{0, 7}, {0, 7}}));
}

TEST_F(FolderTest, BrokenImageIsNamed) {
  WriteFolder({{"a/bad.jpg", EncodedImage(".jpg", 64, 64, 1, 2, 3).substr(0, 300)},
               {"a/bad.png", "nothing like an image"}});
  const auto dataset = Open();
  ExpectDataError([&] { dataset->Read(0); }, "tree/a/bad.jpg: the JPEG file is truncated");
  ExpectDataError([&] { dataset->Read(1); }, "tree/a/bad.png: the image does not decode");
  options_.train = folder_.Write("a.tar", Tar({{"a/bad.png", "x"}}));
  ExpectDataError([&] { Open()->Read(0); }, "a.tar, member a/bad.png: the image does not decode");
}

TEST_F(FolderTest, ClassWithoutAnImageIsNamed) {
  Members members = TwoClasses("", 4);
  members.push_back({"empty/", ""});
  WriteFolder(members);
  ExpectDataError([&] { Open(); }, "class folder \"empty\" has no image");
  options_.train = folder_.Write("a.tar", Tar(members));
  ExpectDataError([&] { Open(); }, "class folder \"empty\" has no image");
}

TEST_F(FolderTest, WrongNumberOfClassesIsAnError) {
  WriteFolder(TwoClasses("", 4));
  options_.classes = 10;
  ExpectDataError([&] { Open(); }, "there are 2 class folders, not 10");
}

TEST_F(FolderTest, APartWithoutImagesIsAnError) {
  WriteFolder(TwoClasses("", 4));
  options_.test_fraction = 1e-6;
  ExpectDataError([&] { Open(Split::TEST); }, "leaves no image to test with");
}

TEST_F(FolderTest, MissingEmptyAndDamagedSourcesAreErrors) {
  options_.train = folder_.path() + "/nowhere";
  ExpectDataError([&] { Open(); }, "https://image-net.org");
  options_.train = folder_.Folder("empty");
  ExpectDataError([&] { Open(); }, "there is no folder of images");
  options_.train = "";
  ExpectDataError([&] { Open(); }, "no path to the data is given");
  options_.train = folder_.Write("a.tar", std::string(2000, 'x'));
  ExpectDataError([&] { Open(); }, "a.tar, byte 0: this is not a tar archive");
  const std::string tar =
      Tar({{"a/x.png", EncodedImage(".png", 3, 4, 1, 1, 1) + std::string(9999, 'x')}});
  options_.train = folder_.Write("cut.tar", tar.substr(0, 3000));
  ExpectDataError([&] { Open(); }, "the tar archive is truncated");
  const std::string gzip = Gzip(tar);
  options_.train = folder_.Write("cut.tar.gz", gzip.substr(0, gzip.size() / 2));
  ExpectDataError([&] { Open(); }, "cut.tar.gz: the gzip stream is truncated or damaged");
}

}  // namespace
}  // namespace encke
