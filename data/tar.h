// The table of contents of a tar archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/file.h"

namespace encke {

struct TarMember {
  std::string path;    // without leading "./" and trailing "/"
  int64_t offset = 0;  // of the contents in the archive
  int64_t bytes = 0;
  bool is_folder = false;
};

// Regular files and folders of an uncompressed archive, in its order; links and devices are left
// out. Understands POSIX ustar and pax (path, size) and GNU (long names, sizes over 8 GiB).
// Error(DATA) with the offset when a header is none, or the archive ends inside a member.
std::vector<TarMember> ReadTarMembers(const File& file);

}  // namespace encke
