// The safetensors format (github.com/huggingface/safetensors), which other tools read and write:
//
//   [header length: u64, little-endian][header: JSON][data]
//
// The header maps names to {"dtype", "shape", "data_offsets": [begin, end]}, offsets counted from
// the start of the data, and may hold strings under "__metadata__".
#pragma once

#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace encke {

struct SafetensorsEntry {
  std::string dtype;           // "F32", "BF16", "I64", ...
  std::vector<int64_t> shape;  // row-major
  int64_t begin = 0, end = 0;  // within the data

  int64_t bytes() const { return end - begin; }
};

// Reads a file that anybody may have written: every number in the header is checked against the
// others and against the file's size, entries must cover the data without gap or overlap.
// Error(DATA) names the file. Used by one thread.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::string& path);

  const std::string& path() const { return path_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }
  // Bytes [offset, offset + bytes) of a tensor. REQUIRES: `name` is among tensors(), the range is
  // inside it.
  void Read(const std::string& name, int64_t offset, int64_t bytes, void* out) const;

 private:
  std::string path_;
  mutable std::ifstream file_;
  int64_t data_start_ = 0;
  std::map<std::string, std::string> metadata_;
  std::map<std::string, SafetensorsEntry> tensors_;
};

// Collects what to write, then writes it in one go.
class SafetensorsWriter {
 public:
  // Called while writing, one tensor after another: hands its bytes to the sink, in pieces of any
  // size, so that they need not all exist at a time.
  using Sink = std::function<void(const void* data, int64_t bytes)>;
  using Producer = std::function<void(const Sink& sink)>;

  void SetMetadata(const std::string& key, const std::string& value) { metadata_[key] = value; }
  // REQUIRES: `name` is new and not "__metadata__"; `dtype` is one of the format's.
  void Add(const std::string& name, const std::string& dtype, const std::vector<int64_t>& shape,
           Producer producer);
  // Writes and commits atomically (atomic_file.h).
  void Write(const std::string& path) const;

 private:
  struct Tensor {
    std::string name;
    SafetensorsEntry entry;
    Producer producer;
  };
  std::string Header() const;

  std::map<std::string, std::string> metadata_;
  std::vector<Tensor> tensors_;
  int64_t data_bytes_ = 0;
};

// Bytes of an element; 0 for a name that the format does not know.
int64_t SafetensorsElementBytes(const std::string& dtype);

}  // namespace encke
