// TensorBoard's event files, read back by a reader of the test's own: framing, checksums computed
// bit by bit, and the messages' wire format.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/core/error.h"
#include "engine/train/tensorboard_record.h"
#include "engine/train/tensorboard_writer.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

std::string Folder(const std::string& name) {
  const std::string path = testing::TempDir() + "/tensorboard_test_" + name;
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

// Division of the message's polynomial, a bit at a time.
uint32_t SlowMaskedCrc(const std::string& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool odd = ((crc ^ (static_cast<uint8_t>(c) >> bit)) & 1) != 0;
      crc = (crc >> 1) ^ (odd ? 0x82F63B78 : 0);
    }
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

template <typename T>
T Take(const std::string& bytes, size_t* at) {
  T value{};
  if (*at + sizeof(T) > bytes.size()) throw std::runtime_error("the file ends within a record");
  std::memcpy(&value, bytes.data() + *at, sizeof(T));
  *at += sizeof(T);
  return value;
}

std::vector<std::string> ReadRecords(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  const std::string bytes = text.str();
  std::vector<std::string> records;
  for (size_t at = 0; at < bytes.size();) {
    const std::string length_bytes = bytes.substr(at, 8);
    const auto length = Take<uint64_t>(bytes, &at);
    EXPECT_EQ(Take<uint32_t>(bytes, &at), SlowMaskedCrc(length_bytes));
    records.push_back(bytes.substr(at, length));
    at += length;
    EXPECT_EQ(Take<uint32_t>(bytes, &at), SlowMaskedCrc(records.back()));
  }
  return records;
}

// The fields of a message: varints and fixed ones as their bytes' value, others as bytes.
struct Field {
  uint64_t number = 0;
  std::string bytes;
};

uint64_t Varint(const std::string& bytes, size_t* at) {
  uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = Take<uint8_t>(bytes, at);
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
}

std::multimap<uint64_t, Field> Parse(const std::string& message) {
  std::multimap<uint64_t, Field> fields;
  for (size_t at = 0; at < message.size();) {
    const uint64_t key = Varint(message, &at);
    Field field;
    if ((key & 7) == 0) {
      field.number = Varint(message, &at);
    } else {
      const size_t size = (key & 7) == 1 ? 8 : (key & 7) == 5 ? 4 : Varint(message, &at);
      field.bytes = message.substr(at, size);
      at += size;
    }
    fields.emplace(key >> 3, field);
  }
  return fields;
}

// Field numbers of TensorBoard's Event, Summary and Summary.Value.
constexpr uint64_t kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;

std::map<std::string, float> ScalarsOf(const std::string& event) {
  std::map<std::string, float> scalars;
  const auto fields = Parse(event);
  const auto summary = fields.find(kSummary);
  if (summary == fields.end()) return scalars;
  const auto values = Parse(summary->second.bytes);
  for (auto [at, end] = values.equal_range(1); at != end; ++at) {
    const auto value = Parse(at->second.bytes);
    size_t from = 0;
    scalars[value.find(1)->second.bytes] = Take<float>(value.find(2)->second.bytes, &from);
  }
  return scalars;
}

TEST(TensorBoardTest, ChecksumsAreCastagnolis) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8A9136AAu) << "RFC 3720, B.4";
}

TEST(TensorBoardTest, ScalarsComeBack) {
  TensorBoardWriter writer(Folder("scalars"), 0);
  writer.Add(20, {{"loss/train", 0.5}, {"ratio/conv1", 12.25}, {"zero", 0}});
  writer.Add(1LL << 33, {{"loss/train", -3e-7}});
  const std::vector<std::string> events = ReadRecords(writer.path());
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Parse(events[0]).find(kFileVersion)->second.bytes, "brain.Event:2");
  EXPECT_EQ(Parse(events[1]).find(kStep)->second.number, 20u);
  EXPECT_EQ(ScalarsOf(events[1]), (std::map<std::string, float>{
                                      {"loss/train", 0.5f}, {"ratio/conv1", 12.25f}, {"zero", 0}}));
  EXPECT_EQ(Parse(events[2]).find(kStep)->second.number, 1ull << 33);
  EXPECT_EQ(ScalarsOf(events[2]).at("loss/train"), -3e-7f);
}

TEST(TensorBoardTest, WhatIsNotFiniteIsLeftOut) {
  TensorBoardWriter writer(Folder("finite"), 0);
  writer.Add(1, {{"loss", NAN}, {"ratio", 2}});
  writer.Add(2, {{"loss", INFINITY}});
  const std::vector<std::string> events = ReadRecords(writer.path());
  ASSERT_EQ(events.size(), 2u) << "no event without a scalar";
  EXPECT_EQ(ScalarsOf(events[1]), (std::map<std::string, float>{{"ratio", 2.0f}}));
}

TEST(TensorBoardTest, AResumedRunVoidsWhatWillBeWrittenAgain) {
  const std::string folder = Folder("resumed");
  const TensorBoardWriter first(folder, 0), second(folder, 40);
  EXPECT_NE(first.path(), second.path());
  EXPECT_LT(first.path(), second.path()) << "TensorBoard reads them in the order of their names";
  const std::vector<std::string> events = ReadRecords(second.path());
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(Parse(events[1]).find(kStep)->second.number, 41u);
  const auto session = Parse(Parse(events[1]).find(kSessionLog)->second.bytes);
  EXPECT_EQ(session.find(1)->second.number, 1u) << "START";
}

TEST(TensorBoardTest, AFolderThatCannotBeWrittenIsAnError) {
  EXPECT_THROW(TensorBoardWriter("/nowhere/at/all", 0), Error);
}

}  // namespace
}  // namespace encke
