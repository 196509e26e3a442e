#include "engine/train/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "engine/core/error.h"
#include "engine/train/atomic_file.h"

namespace encke {
namespace {

std::string Path(const std::string& name) { return testing::TempDir() + "/" + name; }

std::string Slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

void Spill(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::vector<uint8_t> Bytes(const std::vector<float>& values) {
  std::vector<uint8_t> bytes(values.size() * sizeof(float));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

SafetensorsWriter::Producer Producer(std::vector<uint8_t> bytes) {
  return [bytes](const SafetensorsWriter::Sink& sink) {
    sink(bytes.data(), static_cast<int64_t>(bytes.size()));
  };
}

std::vector<uint8_t> ReadAll(const SafetensorsReader& reader, const std::string& name) {
  const int64_t bytes = reader.tensors().at(name).bytes();
  std::vector<uint8_t> data(static_cast<size_t>(bytes));
  reader.Read(name, 0, bytes, data.data());
  return data;
}

std::string FileOf(const std::string& header, const std::string& data) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return text + header + data;
}

// What the reader says about these bytes; "" when it takes them.
std::string Complaint(const std::string& bytes) {
  const std::string path = Path("hostile.safetensors");
  Spill(path, bytes);
  try {
    const SafetensorsReader reader(path);
    for (const auto& [name, entry] : reader.tensors()) ReadAll(reader, name);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_EQ(error.place(), path) << "the file must be named";
    return error.message();
  }
}

std::string Sample() {
  SafetensorsWriter writer;
  writer.SetMetadata("format", "pt");
  writer.Add("conv.weight", "F32", {2, 3}, Producer(Bytes({1, 2, 3, 4, 5, 6})));
  writer.Add("scalar", "I64", {}, Producer(std::vector<uint8_t>(8, 7)));
  writer.Add("empty", "BF16", {0, 4}, Producer({}));
  writer.Write(Path("sample.safetensors"));
  return Slurp(Path("sample.safetensors"));
}

TEST(SafetensorsTest, ReadsBackWhatItWrote) {
  Sample();
  const SafetensorsReader reader(Path("sample.safetensors"));
  EXPECT_EQ(reader.metadata().at("format"), "pt");
  ASSERT_EQ(reader.tensors().size(), 3u);
  EXPECT_EQ(reader.tensors().at("conv.weight").shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(ReadAll(reader, "conv.weight"), Bytes({1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(ReadAll(reader, "scalar"), std::vector<uint8_t>(8, 7));
  EXPECT_TRUE(ReadAll(reader, "empty").empty());
  EXPECT_FALSE(std::filesystem::exists(Path("sample.safetensors.tmp")));
}

TEST(SafetensorsTest, HeaderIsAlignedAsTheFormatAsks) {
  const std::string bytes = Sample();
  EXPECT_EQ(static_cast<uint8_t>(bytes[0]) % 8, 0);
  EXPECT_EQ(bytes[8], '{');
}

TEST(SafetensorsTest, EveryTruncationIsAnError) {
  const std::string bytes = Sample();
  for (size_t length = 0; length < bytes.size(); ++length)
    EXPECT_NE(Complaint(bytes.substr(0, length)), "") << length << " of " << bytes.size();
  EXPECT_EQ(Complaint(bytes), "");
}

TEST(SafetensorsTest, EveryFlippedBitOfTheHeaderIsAnErrorOrValid) {
  const std::string bytes = Sample();
  const size_t header_end = bytes.rfind('}') + 1;
  for (size_t bit = 0; bit < 8 * header_end; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    Complaint(flipped);  // must not crash, hang or read out of bounds
  }
}

TEST(SafetensorsTest, HostileHeadersAreRefused) {
  const std::string eight(8, '\0');
  EXPECT_NE(Complaint(std::string(8, '\xff')), "") << "header of 2^64 bytes";
  EXPECT_NE(Complaint(FileOf("[]", "")), "") << "not an object";
  EXPECT_NE(Complaint(FileOf(R"({"a":3})", "")), "");
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234")),
            "")
      << "shape and bytes differ";
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234")),
            "");
  EXPECT_NE(
      Complaint(FileOf(
          R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", "1234")),
      "")
      << "a product that wraps around to 4 bytes";
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", "1234")),
            "");
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                             "1234")),
            "")
      << "overlap";
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight)),
            "")
      << "gap";
  EXPECT_NE(Complaint(FileOf(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
                             eight)),
            "")
      << "a name twice";
  EXPECT_NE(Complaint(FileOf(R"({"__metadata__":{"x":1}})", "")), "");
  EXPECT_NE(Complaint(FileOf(std::string(100000, '['), "")), "") << "nesting";
}

TEST(AtomicFileTest, WithoutCommitTheOldFileStays) {
  const std::string path = Path("atomic");
  Spill(path, "old");
  {
    AtomicFile file(path);
    file.Write("new");
  }
  EXPECT_EQ(Slurp(path), "old");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  AtomicFile file(path);
  file.Write("new");
  file.Commit();
  EXPECT_EQ(Slurp(path), "new");
}

TEST(AtomicFileTest, AFolderThatIsNotThereIsNamed) {
  try {
    AtomicFile file(Path("nowhere/file"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.place().find("nowhere/file"), std::string::npos);
  }
}

TEST(AtomicFileTest, ALinkKeepsItsContentWhenTheOriginalIsReplaced) {
  const std::string from = Path("original"), to = Path("second");
  Spill(from, "one");
  LinkAtomically(from, to);
  LinkAtomically(from, to);
  AtomicFile file(from);
  file.Write("two");
  file.Commit();
  EXPECT_EQ(Slurp(to), "one");
  LinkAtomically(from, to);
  EXPECT_EQ(Slurp(to), "two");
  EXPECT_FALSE(std::filesystem::exists(to + ".tmp"));
}

}  // namespace
}  // namespace encke
