// Bytes of files, with errors that name the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace encke {

// An open file, read by offset. Reads from several threads at once are legal.
class File {
 public:
  // Error(DATA) when it cannot be opened.
  explicit File(const std::string& path);
  // What `path` decompresses to, where it is gzip: kept in a file without a name in the folder for
  // temporary files, gone when this object is. Otherwise the file itself.
  static File OpenUncompressed(const std::string& path);
  ~File();
  File(File&& other) noexcept;
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }
  // Error(DATA) when the file ends before offset + bytes.
  void ReadAt(int64_t offset, int64_t bytes, void* out) const;

 private:
  File(const std::string& path, int descriptor);
  static File Temporary(const std::string& path);
  void Append(const uint8_t* data, int64_t bytes);

  std::string path_;
  int descriptor_;
  int64_t size_ = 0;
};

std::vector<uint8_t> ReadWholeFile(const std::string& path);

// Reads a file from start to end, decompressing it if it is gzip.
class GzipReader {
 public:
  explicit GzipReader(const std::string& path);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Up to `bytes`; less at the end of the file only. Error(DATA) when the compressed stream is cut
  // off or damaged.
  int64_t Read(int64_t bytes, void* out);

 private:
  std::string path_;
  void* file_;  // gzFile
};

}  // namespace encke
