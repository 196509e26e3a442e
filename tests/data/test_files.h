// Small files, good and bad, that the tests of the data sets make for themselves.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "engine/core/error.h"

namespace encke {

// A folder that is deleted with all that is in it.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  // Writes a file, with the folders above it; returns its path.
  std::string Write(const std::string& name, const std::string& contents) const;
  // Makes a folder; returns its path.
  std::string Folder(const std::string& name) const;

 private:
  std::string path_;
};

std::string Gzip(const std::string& contents);

// A whole image of one colour, (r, g, b), as `extension` (".png", ".jpg") says.
std::string EncodedImage(const std::string& extension, int h, int w, int r, int g, int b);

// A ustar archive; names that end in '/' are folders.
std::string Tar(const std::vector<std::pair<std::string, std::string>>& members);
// One header block and its padded contents.
std::string TarMemberBytes(const std::string& name, char type, const std::string& contents);

// Runs `action`, which must throw Error(DATA) whose text contains `part`.
template <typename Action>
void ExpectDataError(const Action& action, const std::string& part) {
  try {
    action();
    ADD_FAILURE() << "no error; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::DATA);
    EXPECT_THAT(std::string(error.what()), testing::HasSubstr(part));
  }
}

}  // namespace encke
