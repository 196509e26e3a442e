#include "engine/train/safetensors.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/core/error.h"
#include "engine/train/atomic_file.h"

namespace encke {
namespace {

using nlohmann::json;

constexpr int64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr int64_t kLengthBytes = 8;
const char* const kMetadata = "__metadata__";

// What is wrong with a file; the reader adds the path.
struct Malformed {
  std::string reason;
};

uint64_t DecodeLength(const uint8_t* bytes) {
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[i];
  return length;
}

std::string EncodeLength(uint64_t length) {
  std::string bytes;
  for (int i = 0; i < kLengthBytes; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xff);
  return bytes;
}

// Parses, refusing a name that comes twice in one object (which one counts?).
json ParseHeader(const std::string& text) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&](int, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start) open.emplace_back();
    if (event == json::parse_event_t::object_end) open.pop_back();
    if (event == json::parse_event_t::key && !open.back().insert(parsed.get<std::string>()).second)
      throw Malformed{StrCat("the name \"", parsed.get<std::string>(), "\" comes twice")};
    return true;
  };
  try {
    return json::parse(text, watch);
  } catch (const json::exception&) {
    throw Malformed{"the header is not JSON"};
  }
}

int64_t Size(const json& value, const std::string& name) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > INT64_MAX)
    throw Malformed{StrCat("\"", name, "\" has a size or offset that is not a whole number")};
  return value.get<int64_t>();
}

// Product of the shape and the element size.
int64_t ExpectedBytes(const SafetensorsEntry& entry, const std::string& name) {
  int64_t bytes = SafetensorsElementBytes(entry.dtype);
  if (bytes == 0) throw Malformed{StrCat("\"", name, "\" has the unknown dtype ", entry.dtype)};
  for (const int64_t extent : entry.shape)
    if (__builtin_mul_overflow(bytes, extent, &bytes))
      throw Malformed{StrCat("\"", name, "\" has an impossible shape")};
  return bytes;
}

const json& Field(const json& object, const char* field, json::value_t type,
                  const std::string& name) {
  if (!object.is_object() || !object.contains(field) || object[field].type() != type)
    throw Malformed{StrCat("\"", name, "\" has no proper ", field)};
  return object[field];
}

SafetensorsEntry ParseEntry(const json& object, const std::string& name, int64_t data_bytes) {
  SafetensorsEntry entry;
  entry.dtype = Field(object, "dtype", json::value_t::string, name).get<std::string>();
  for (const json& extent : Field(object, "shape", json::value_t::array, name))
    entry.shape.push_back(Size(extent, name));
  const json& offsets = Field(object, "data_offsets", json::value_t::array, name);
  if (offsets.size() != 2) throw Malformed{StrCat("\"", name, "\" has no proper data_offsets")};
  entry.begin = Size(offsets[0], name);
  entry.end = Size(offsets[1], name);
  if (entry.begin > entry.end || entry.end > data_bytes)
    throw Malformed{StrCat("\"", name, "\" lies at ", entry.begin, " to ", entry.end,
                           ", but there are ", data_bytes,
                           " bytes of data: the file is truncated or damaged")};
  if (entry.bytes() != ExpectedBytes(entry, name))
    throw Malformed{StrCat("\"", name, "\" has a shape that does not fit its bytes")};
  return entry;
}

void CheckCover(const std::map<std::string, SafetensorsEntry>& tensors, int64_t data_bytes) {
  std::vector<std::pair<int64_t, int64_t>> ranges;
  for (const auto& [name, entry] : tensors) ranges.emplace_back(entry.begin, entry.end);
  std::sort(ranges.begin(), ranges.end());
  int64_t covered = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != covered) throw Malformed{"tensors overlap or leave a gap in the data"};
    covered = end;
  }
  if (covered != data_bytes)
    throw Malformed{StrCat("tensors cover ", covered, " of ", data_bytes, " bytes of data")};
}

std::map<std::string, std::string> ParseMetadata(const json& object) {
  if (!object.is_object()) throw Malformed{"__metadata__ is not an object"};
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) throw Malformed{StrCat("__metadata__ ", key, " is not a string")};
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// The header's text; sets where the data starts and how long it is.
std::string ReadHeader(std::ifstream& in, int64_t* data_start, int64_t* data_bytes) {
  in.seekg(0, std::ios::end);
  const int64_t file_bytes = in.tellg();
  uint8_t length_bytes[kLengthBytes];
  in.seekg(0);
  if (file_bytes < kLengthBytes || !in.read(reinterpret_cast<char*>(length_bytes), kLengthBytes))
    throw Malformed{"the file is too short to be a safetensors file"};
  const uint64_t length = DecodeLength(length_bytes);
  if (length > static_cast<uint64_t>(std::min(kMaxHeader, file_bytes - kLengthBytes)))
    throw Malformed{StrCat("a header of ", length, " bytes in a file of ", file_bytes,
                           ": the file is truncated, or not a safetensors file")};
  std::string text(length, '\0');
  if (!in.read(text.data(), static_cast<std::streamsize>(length)))
    throw Malformed{"the header cannot be read"};
  *data_start = kLengthBytes + static_cast<int64_t>(length);
  *data_bytes = file_bytes - *data_start;
  return text;
}

}  // namespace

int64_t SafetensorsElementBytes(const std::string& dtype) {
  static constexpr std::pair<const char*, int64_t> kBytes[] = {
      {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
      {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},
      {"I32", 4},  {"F32", 4}, {"U64", 8}, {"I64", 8},     {"F64", 8}};
  for (const auto& [name, bytes] : kBytes)
    if (dtype == name) return bytes;
  return 0;
}

SafetensorsReader::SafetensorsReader(const std::string& path)
    : path_(path), file_(path, std::ios::binary) {
  if (!file_) throw Error(ErrorKind::DATA, "cannot open the file", path);
  try {
    int64_t data_bytes = 0;
    const json header = ParseHeader(ReadHeader(file_, &data_start_, &data_bytes));
    if (!header.is_object()) throw Malformed{"the header is not a JSON object"};
    for (const auto& [name, value] : header.items()) {
      if (name == kMetadata)
        metadata_ = ParseMetadata(value);
      else
        tensors_[name] = ParseEntry(value, name, data_bytes);
    }
    CheckCover(tensors_, data_bytes);
  } catch (const Malformed& malformed) {
    throw Error(ErrorKind::DATA, malformed.reason, path);
  }
}

void SafetensorsReader::Read(const std::string& name, int64_t offset, int64_t bytes,
                             void* out) const {
  const SafetensorsEntry& entry = tensors_.at(name);
  ENCKE_CHECK(offset >= 0 && bytes >= 0 && offset + bytes <= entry.bytes(), name, " ", offset);
  file_.clear();
  file_.seekg(data_start_ + entry.begin + offset);
  if (!file_.read(static_cast<char*>(out), bytes))
    throw Error(ErrorKind::DATA, StrCat("cannot read \"", name, "\""), path_);
}

void SafetensorsWriter::Add(const std::string& name, const std::string& dtype,
                            const std::vector<int64_t>& shape, Producer producer) {
  ENCKE_CHECK(name != kMetadata);
  int64_t bytes = SafetensorsElementBytes(dtype);
  ENCKE_CHECK(bytes > 0, dtype);
  for (const int64_t extent : shape) bytes *= extent;
  tensors_.push_back({name, {dtype, shape, data_bytes_, data_bytes_ + bytes}, std::move(producer)});
  data_bytes_ += bytes;
}

std::string SafetensorsWriter::Header() const {
  json header = json::object();
  if (!metadata_.empty()) header[kMetadata] = metadata_;
  for (const Tensor& tensor : tensors_) {
    ENCKE_CHECK(!header.contains(tensor.name), tensor.name);
    header[tensor.name] = {{"dtype", tensor.entry.dtype},
                           {"shape", tensor.entry.shape},
                           {"data_offsets", {tensor.entry.begin, tensor.entry.end}}};
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // so that the data is aligned
  return text;
}

void SafetensorsWriter::Write(const std::string& path) const {
  const std::string header = Header();
  AtomicFile file(path);
  file.Write(EncodeLength(header.size()));
  file.Write(header);
  for (const Tensor& tensor : tensors_) {
    int64_t written = 0;
    tensor.producer([&](const void* data, int64_t bytes) {
      file.Write(data, bytes);
      written += bytes;
    });
    ENCKE_CHECK(written == tensor.entry.bytes(), tensor.name, ": ", written);
  }
  file.Commit();
}

}  // namespace encke
