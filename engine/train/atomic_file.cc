#include "engine/train/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "engine/core/error.h"

namespace encke {
namespace {

void SyncFolderOf(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  const int descriptor = open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  fsync(descriptor);  // some file systems cannot; the rename stands either way
  close(descriptor);
}

void CopyAtomically(const std::string& from, const std::string& to) {
  std::ifstream in(from, std::ios::binary);
  if (!in) throw Error(ErrorKind::DATA, StrCat("cannot read: ", std::strerror(errno)), from);
  AtomicFile out(to);
  std::vector<char> piece(1 << 20);
  while (in.read(piece.data(), static_cast<std::streamsize>(piece.size())) || in.gcount() > 0)
    out.Write(piece.data(), in.gcount());
  out.Commit();
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (descriptor_ < 0) Fail("create");
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

void AtomicFile::Fail(const char* action) const {
  throw Error(ErrorKind::DATA, StrCat("cannot ", action, " the file: ", std::strerror(errno)),
              temporary_, "check the free space and the permissions of the folder");
}

void AtomicFile::Write(const void* data, int64_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written =
        write(descriptor_, next, static_cast<size_t>(std::min<int64_t>(bytes, 1 << 30)));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) Fail("write");
    next += written;
    bytes -= written;
  }
}

void AtomicFile::Commit() {
  if (fsync(descriptor_) != 0) Fail("sync");
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0) Fail("close");
  if (std::rename(temporary_.c_str(), path_.c_str()) != 0) Fail("rename");
  SyncFolderOf(path_);
}

void LinkAtomically(const std::string& from, const std::string& to) {
  const std::string temporary = to + ".tmp";
  unlink(temporary.c_str());
  if (link(from.c_str(), temporary.c_str()) != 0) return CopyAtomically(from, to);
  if (std::rename(temporary.c_str(), to.c_str()) != 0)
    throw Error(ErrorKind::DATA, StrCat("cannot rename: ", std::strerror(errno)), to);
  unlink(temporary.c_str());  // rename does nothing when both names are the same file already
  SyncFolderOf(to);
}

}  // namespace encke
