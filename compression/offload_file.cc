#include "compression/offload_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/memory.h"
#include "engine/core/units.h"

namespace encke {
namespace {

constexpr int64_t kGrowth = 16 << 20;
constexpr int64_t kBlock = 4 << 10;
constexpr char kHint[] =
    "name a folder on another disk with activations { offload_folder: \"...\" }";

std::string FolderOrDefault(const std::string& folder) {
  if (!folder.empty()) return folder;
  const char* temporary = std::getenv("TMPDIR");
  return temporary != nullptr && *temporary != '\0' ? temporary : "/tmp";
}

// A file of no name.
int OpenUnnamed(const std::string& folder) {
  std::string path = folder + "/encke-offload-XXXXXX";
  const int descriptor = mkostemp(path.data(), O_CLOEXEC);
  if (descriptor < 0 || unlink(path.c_str()) != 0) {
    throw Error(ErrorKind::DATA,
                StrCat("cannot make a file for offloaded values: ", std::strerror(errno)), folder,
                kHint);
  }
  return descriptor;
}

// Calls transfer(done) until `size` bytes are done; `action` is for the Error.
template <typename Transfer>
void TransferAll(int64_t size, const std::string& action, const std::string& folder,
                 const Transfer& transfer) {
  for (int64_t done = 0; done < size;) {
    const ssize_t count = transfer(done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      throw Error(ErrorKind::DATA,
                  StrCat("cannot ", action, " ", FormatBytes(size), " of offloaded values: ",
                         count == 0 ? "the file has ended" : std::strerror(errno)),
                  folder, kHint);
    }
    done += count;
  }
}

}  // namespace

OffloadFile::OffloadFile(const std::string& folder)
    : folder_(FolderOrDefault(folder)), descriptor_(OpenUnnamed(folder_)) {}

OffloadFile::~OffloadFile() { close(descriptor_); }

std::optional<ChunkSpace::Piece> OffloadFile::Store(const uint8_t* data, int64_t size) {
  Piece piece;
  piece.size = static_cast<uint32_t>(size);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    piece.place = Place(size);
  }
  try {
    TransferAll(size, "write", folder_, [&](int64_t done) {
      return pwrite(descriptor_, data + done, size - done, piece.place + done);
    });
  } catch (...) {
    Free(piece);
    throw;
  }
  return piece;
}

const uint8_t* OffloadFile::Read(const Piece& piece, uint8_t* scratch) const {
  TransferAll(piece.size, "read", folder_, [&](int64_t done) {
    return pread(descriptor_, scratch + done, piece.size - done, piece.place + done);
  });
  return scratch;
}

void OffloadFile::Free(const Piece& piece) {
  std::lock_guard<std::mutex> lock(mutex_);
  AddFree(static_cast<int64_t>(piece.place), piece.size);
}

int64_t OffloadFile::Place(int64_t size) {
  const auto fits = [&](const auto& extent) { return extent.second >= size; };
  auto found = std::find_if(free_.begin(), free_.end(), fits);
  if (found == free_.end()) {
    Grow(size);
    found = std::prev(free_.end());
  }
  const auto [offset, bytes] = *found;
  free_.erase(found);
  if (bytes > size) free_.emplace(offset + size, bytes - size);
  return offset;
}

void OffloadFile::Grow(int64_t least) {
  const bool open_end = !free_.empty() && free_.rbegin()->first + free_.rbegin()->second == bytes_;
  const int64_t missing = RoundUp(least - (open_end ? free_.rbegin()->second : 0), kBlock);
  if (Reserve(RoundUp(missing, kGrowth)) || Reserve(missing)) return;
  throw Error(ErrorKind::MEMORY,
              StrCat("no room for ", FormatBytes(missing), " more of offloaded values beside ",
                     FormatBytes(bytes_), " that the file has: ", std::strerror(errno)),
              folder_, StrCat("free space there, offload less, or ", kHint));
}

bool OffloadFile::Reserve(int64_t bytes) {
  int failure = EINTR;
  while (failure == EINTR) failure = posix_fallocate(descriptor_, bytes_, bytes);
  errno = failure;
  if (failure != 0) return false;
  AddFree(bytes_, bytes);
  bytes_ += bytes;
  return true;
}

void OffloadFile::AddFree(int64_t offset, int64_t bytes) {
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && next->first == offset + bytes) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace(offset, bytes);
}

int64_t OffloadFile::held_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return bytes_;
}

}  // namespace encke
