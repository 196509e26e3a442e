#include "data/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

Error SystemError(const std::string& what, const std::string& path, const std::string& hint = "") {
  return Error(ErrorKind::DATA, StrCat(what, ": ", std::strerror(errno)), path, hint);
}

bool IsGzip(const File& file) {
  uint8_t magic[2] = {0, 0};
  if (file.size() >= 2) file.ReadAt(0, 2, magic);
  return magic[0] == 0x1f && magic[1] == 0x8b;  // RFC 1952, section 2.3.1
}

}  // namespace

File::File(const std::string& path) : File(path, open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  struct stat status;
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) throw SystemError("cannot open", path);
  size_ = status.st_size;
}

File::File(const std::string& path, int descriptor) : path_(path), descriptor_(descriptor) {}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

File File::Temporary(const std::string& path) {
  std::string name = (std::filesystem::temp_directory_path() / "encke-XXXXXX").string();
  File file(path, mkstemp(name.data()));
  if (file.descriptor_ < 0) {
    throw SystemError("cannot make a temporary file", name, "set TMPDIR to a folder with space");
  }
  unlink(name.c_str());
  return file;
}

void File::Append(const uint8_t* data, int64_t bytes) {
  while (bytes > 0) {
    const ssize_t written = pwrite(descriptor_, data, static_cast<size_t>(bytes), size_);
    if (written < 0) {
      if (errno == EINTR) continue;
      throw SystemError("cannot write what it decompresses to", path_,
                        "set TMPDIR to a folder with space, or decompress the file");
    }
    data += written;
    bytes -= written;
    size_ += written;
  }
}

File File::OpenUncompressed(const std::string& path) {
  File plain(path);
  if (!IsGzip(plain)) return plain;
  File file = Temporary(path);
  GzipReader reader(path);
  std::vector<uint8_t> block(1 << 18);
  const int64_t capacity = static_cast<int64_t>(block.size());
  for (int64_t got = capacity; got == capacity;) {
    got = reader.Read(capacity, block.data());
    file.Append(block.data(), got);
  }
  return file;
}

void File::ReadAt(int64_t offset, int64_t bytes, void* out) const {
  uint8_t* next = static_cast<uint8_t*>(out);
  while (bytes > 0) {
    const ssize_t got = pread(descriptor_, next, static_cast<size_t>(bytes), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw SystemError("cannot read", path_);
    if (got == 0) {
      throw Error(ErrorKind::DATA, StrCat("the file is truncated at byte ", offset), path_,
                  "fetch the file again");
    }
    next += got;
    offset += got;
    bytes -= got;
  }
}

std::vector<uint8_t> ReadWholeFile(const std::string& path) {
  const File file(path);
  std::vector<uint8_t> bytes(static_cast<size_t>(file.size()));
  file.ReadAt(0, file.size(), bytes.data());
  return bytes;
}

GzipReader::GzipReader(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
  if (file_ == nullptr) throw SystemError("cannot open", path);
  gzbuffer(static_cast<gzFile>(file_), 1 << 17);
}

GzipReader::~GzipReader() { gzclose(static_cast<gzFile>(file_)); }

int64_t GzipReader::Read(int64_t bytes, void* out) {
  constexpr int64_t kMostAtOnce = 1 << 30;  // gzread counts in int
  const gzFile file = static_cast<gzFile>(file_);
  int64_t total = 0;
  while (total < bytes) {
    const int64_t part = std::min(bytes - total, kMostAtOnce);
    const int got = gzread(file, static_cast<uint8_t*>(out) + total, static_cast<unsigned>(part));
    int code = Z_OK;
    const char* reason = gzerror(file, &code);
    if (code != Z_OK && code != Z_STREAM_END) {
      throw Error(ErrorKind::DATA, StrCat("the gzip stream is truncated or damaged (", reason, ")"),
                  path_, "fetch the file again");
    }
    total += got;
    if (got < part) break;
  }
  return total;
}

}  // namespace encke
