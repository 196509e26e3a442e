#include "tests/data/test_files.h"

#include <stdlib.h>
#include <zlib.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <opencv2/imgcodecs.hpp>

namespace encke {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder()
    : path_((fs::temp_directory_path() / "encke-test-XXXXXX").string()) {
  if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make " + path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::Write(const std::string& name, const std::string& contents) const {
  const fs::path path = fs::path(path_) / name;
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << contents;
  return path.string();
}

std::string TemporaryFolder::Folder(const std::string& name) const {
  const fs::path path = fs::path(path_) / name;
  fs::create_directories(path);
  return path.string();
}

std::string Gzip(const std::string& contents) {
  z_stream stream = {};
  constexpr int kGzip = 16;  // added to the bits of the window
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + kGzip, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, contents.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(contents.data()));
  stream.avail_in = static_cast<uInt>(contents.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string EncodedImage(const std::string& extension, int h, int w, int r, int g, int b) {
  std::vector<uint8_t> bytes;
  cv::imencode(extension, cv::Mat(h, w, CV_8UC3, cv::Scalar(b, g, r)), bytes);
  return std::string(bytes.begin(), bytes.end());
}

std::string TarMemberBytes(const std::string& name, char type, const std::string& contents) {
  std::string header(512, '\0');
  header.replace(0, name.size(), name);
  char size[13];
  std::snprintf(size, sizeof(size), "%011zo", contents.size());
  header.replace(124, 11, size, 11);
  header.replace(148, 8, 8, ' ');
  header[156] = type;
  header.replace(257, 8, std::string("ustar\00000", 8));
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof(digits), "%06o", sum);
  header.replace(148, 7, digits, 7);
  return header + contents + std::string((512 - contents.size() % 512) % 512, '\0');
}

std::string Tar(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string tar;
  for (const auto& [name, contents] : members) {
    tar += TarMemberBytes(name, name.back() == '/' ? '5' : '0', contents);
  }
  return tar + std::string(1024, '\0');
}

}  // namespace encke
