// Formats: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"; GNU tar manual,
// "Basic Tar Format".
//
//   offset 0    name      100     124  size  12 octal     156  type   1
//          345  prefix    155     148  check sum 8 octal  257  magic  6
#include "data/tar.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kBlock = 512;

struct Header {
  uint8_t bytes[kBlock];

  std::string Text(int64_t offset, size_t width) const {
    const char* text = reinterpret_cast<const char*>(bytes) + offset;
    return std::string(text, strnlen(text, width));
  }
  char type() const { return static_cast<char>(bytes[156]); }
  bool is_zero() const {
    return std::all_of(bytes, bytes + kBlock, [](uint8_t byte) { return byte == 0; });
  }

  std::string Path() const {
    const std::string prefix = Text(257, 6) == "ustar" ? Text(345, 155) : "";
    return prefix.empty() ? Text(0, 100) : prefix + "/" + Text(0, 100);
  }

  // Octal digits, or (GNU) a binary number after a first bit of 1. Negative when it is neither.
  int64_t Size() const {
    if ((bytes[124] & 0x80) != 0) {
      int64_t size = 0;
      for (int i = 128; i < 136; ++i)
        size = static_cast<int64_t>(static_cast<uint64_t>(size) << 8 | bytes[i]);
      return size;
    }
    return std::strtoll(Text(124, 12).c_str(), nullptr, 8);
  }

  // The sum of all bytes, those of the check sum itself taken as spaces.
  bool HasRightSum() const {
    int64_t sum = 8 * ' ';
    for (int64_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? 0 : bytes[i];
    return sum == std::strtoll(Text(148, 8).c_str(), nullptr, 8);
  }
};

std::string Normalised(std::string path) {
  while (path.compare(0, 2, "./") == 0) path.erase(0, 2);
  while (!path.empty() && path.back() == '/') path.pop_back();
  return path == "." ? "" : path;
}

class TarReader {
 public:
  explicit TarReader(const File& file) : file_(file) {}

  std::vector<TarMember> ReadAll() {
    Header header;
    while (offset_ + kBlock <= file_.size()) {
      file_.ReadAt(offset_, kBlock, header.bytes);
      if (header.is_zero()) break;
      if (!header.HasRightSum()) Fail("this is not a tar archive, or it is damaged");
      Take(header);
    }
    return std::move(members_);
  }

 private:
  [[noreturn]] void Fail(const std::string& message) const {
    throw Error(ErrorKind::DATA, message, StrCat(file_.path(), ", byte ", offset_));
  }

  void Take(const Header& header) {
    const int64_t size = next_size_ >= 0 ? next_size_ : header.Size();
    const int64_t contents = offset_ + kBlock;
    if (size < 0 || size > file_.size() - contents) Fail("the tar archive is truncated");
    switch (header.type()) {
      case 'L':  // GNU: the next member's path
        next_path_ = Contents(contents, size);
        next_path_ = next_path_.c_str();  // ends at the first NUL
        break;
      case 'x':
        TakePax(Contents(contents, size));
        break;
      case 'g':  // pax: for all members; nothing that matters here
      case 'K':  // GNU: the next member's link
        break;
      default:
        TakeMember(header, contents, size);
    }
    offset_ = contents + (size + kBlock - 1) / kBlock * kBlock;
  }

  void TakeMember(const Header& header, int64_t contents, int64_t size) {
    TarMember member{Normalised(next_path_.empty() ? header.Path() : next_path_), contents, size,
                     header.type() == '5'};
    next_path_.clear();
    next_size_ = -1;
    const bool is_file = header.type() == '0' || header.type() == '\0' || header.type() == '7';
    if ((is_file || member.is_folder) && !member.path.empty())
      members_.push_back(std::move(member));
  }

  // Records "LENGTH KEY=VALUE\n".
  void TakePax(const std::string& text) {
    for (size_t begin = 0; begin < text.size();) {
      const size_t length = std::strtoull(text.c_str() + begin, nullptr, 10);
      const size_t key = text.find(' ', begin) + 1;
      const size_t equals = text.find('=', key);
      if (length > text.size() - begin || key == 0 || equals >= begin + length) {
        Fail("a pax header is damaged");
      }
      const std::string value = text.substr(equals + 1, begin + length - 1 - (equals + 1));
      const std::string name = text.substr(key, equals - key);
      if (name == "path") next_path_ = value;
      if (name == "size") next_size_ = std::strtoll(value.c_str(), nullptr, 10);
      begin += length;
    }
  }

  std::string Contents(int64_t offset, int64_t size) const {
    std::string text(static_cast<size_t>(size), '\0');
    file_.ReadAt(offset, size, text.data());
    return text;
  }

  const File& file_;
  int64_t offset_ = 0;
  std::string next_path_;   // from a header before the member
  int64_t next_size_ = -1;  // likewise
  std::vector<TarMember> members_;
};

}  // namespace

std::vector<TarMember> ReadTarMembers(const File& file) {
  if (file.size() < kBlock) {
    throw Error(ErrorKind::DATA, "this is not a tar archive: it is shorter than a header",
                file.path());
  }
  return TarReader(file).ReadAll();
}

}  // namespace encke
