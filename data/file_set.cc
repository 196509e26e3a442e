#include "data/file_set.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "data/file.h"
#include "data/tar.h"
#include "engine/core/error.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

class FolderFiles : public FileSet {
 public:
  explicit FolderFiles(const std::string& path) : root_(path) {
    try {
      Walk();
    } catch (const fs::filesystem_error& error) {
      throw Error(ErrorKind::DATA, error.what(), path);
    }
    std::sort(files_.begin(), files_.end());
  }

  std::vector<uint8_t> Read(size_t file) const override { return ReadWholeFile(Place(file)); }
  std::string Place(size_t file) const override { return (root_ / files_[file]).string(); }

 private:
  void Walk() {
    fs::recursive_directory_iterator it(root_, fs::directory_options::follow_directory_symlink);
    for (; it != fs::recursive_directory_iterator(); ++it) {
      const fs::path& path = it->path();
      const bool is_folder = it->is_directory();
      if (path.filename().string().front() == '.') {
        if (is_folder) it.disable_recursion_pending();
        continue;
      }
      (is_folder ? folders_ : files_).push_back(path.lexically_relative(root_).generic_string());
    }
  }

  fs::path root_;
};

bool IsHidden(const std::string& path) {
  return path.front() == '.' || path.find("/.") != std::string::npos;
}

class TarFiles : public FileSet {
 public:
  explicit TarFiles(const std::string& path) : tar_(File::OpenUncompressed(path)) {
    std::vector<TarMember> members = ReadTarMembers(tar_);
    std::sort(members.begin(), members.end(),
              [](const TarMember& a, const TarMember& b) { return a.path < b.path; });
    for (TarMember& member : members) {
      if (IsHidden(member.path)) continue;
      if (member.is_folder) {
        folders_.push_back(std::move(member.path));
      } else {
        files_.push_back(std::move(member.path));
        extents_.push_back({member.offset, member.bytes});
      }
    }
  }

  std::vector<uint8_t> Read(size_t file) const override {
    std::vector<uint8_t> bytes(static_cast<size_t>(extents_[file].bytes));
    tar_.ReadAt(extents_[file].offset, extents_[file].bytes, bytes.data());
    return bytes;
  }
  std::string Place(size_t file) const override {
    return StrCat(tar_.path(), ", member ", files_[file]);
  }

 private:
  struct Extent {
    int64_t offset, bytes;
  };

  File tar_;
  std::vector<Extent> extents_;  // one a file
};

}  // namespace

std::unique_ptr<FileSet> OpenFileSet(const std::string& path) {
  if (fs::is_directory(path)) return std::make_unique<FolderFiles>(path);
  return std::make_unique<TarFiles>(path);
}

}  // namespace encke
