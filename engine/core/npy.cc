#include "engine/core/npy.h"

#include <cstring>
#include <fstream>
#include <limits>

#include "engine/core/error.h"

namespace encke {
namespace {

constexpr char kMagic[] = "\x93NUMPY\x01\x00";  // with version 1.0
constexpr int64_t kPreamble = 10;               // magic, version and the header's length

std::string Header(const std::vector<int64_t>& shape) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (int64_t extent : shape) header += std::to_string(extent) + ", ";
  header += "), }";
  while ((kPreamble + header.size() + 1) % 64 != 0) header += ' ';
  return header + '\n';
}

[[noreturn]] void Fail(const std::string& path, const std::string& message) {
  throw Error(ErrorKind::DATA, message, path, "expected a float32 array in C order (.npy)");
}

std::vector<int64_t> ParseShape(const std::string& path, const std::string& header) {
  const size_t open = header.find("'shape': (");
  const size_t close = header.find(')', open);
  if (open == std::string::npos || close == std::string::npos) Fail(path, "no shape in the header");
  std::vector<int64_t> shape;
  std::istringstream list(header.substr(open + 10, close - open - 10));
  std::string item;
  while (std::getline(list, item, ',')) {
    if (item.find_first_not_of(' ') == std::string::npos) continue;
    const long long extent = std::strtoll(item.c_str(), nullptr, 10);
    if (extent < 0 || extent > (1LL << 40)) Fail(path, "absurd shape in the header");
    shape.push_back(extent);
  }
  return shape;
}

}  // namespace

void WriteNpy(const std::string& path, const std::vector<int64_t>& shape, const float* data) {
  const std::string header = Header(shape);
  int64_t elements = 1;
  for (int64_t extent : shape) elements *= extent;
  std::ofstream file(path, std::ios::binary);
  file.write(kMagic, 8);
  const char length[2] = {static_cast<char>(header.size() & 0xff),
                          static_cast<char>(header.size() >> 8)};
  file.write(length, 2);
  file << header;
  file.write(reinterpret_cast<const char*>(data), elements * static_cast<int64_t>(sizeof(float)));
  if (!file) throw Error(ErrorKind::DATA, "cannot write the array", path, "check space and rights");
}

NpyArray ReadNpy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Fail(path, "cannot open the file");
  char preamble[kPreamble];
  if (!file.read(preamble, kPreamble) || std::memcmp(preamble, kMagic, 8) != 0) {
    Fail(path, "not an .npy file of version 1.0");
  }
  std::string header(
      static_cast<unsigned char>(preamble[8]) | (static_cast<unsigned char>(preamble[9]) << 8),
      ' ');
  if (!file.read(header.data(), static_cast<int64_t>(header.size())))
    Fail(path, "truncated header");
  if (header.find("'<f4'") == std::string::npos) Fail(path, "elements are not float32");
  if (header.find("'fortran_order': False") == std::string::npos) Fail(path, "not in C order");
  NpyArray array{ParseShape(path, header), {}};
  int64_t elements = 1;
  for (int64_t extent : array.shape) {
    if (extent > 0 && elements > std::numeric_limits<int64_t>::max() / 4 / extent) {
      Fail(path, "absurd shape in the header");
    }
    elements *= extent;
  }
  const std::streampos start = file.tellg();
  file.seekg(0, std::ios::end);
  if (file.tellg() - start < elements * 4) Fail(path, "truncated data");
  file.seekg(start);
  array.data.resize(elements);
  file.read(reinterpret_cast<char*>(array.data.data()), elements * 4);
  return array;
}

}  // namespace encke
