// NumPy's .npy files, version 1.0: how tensors leave Encke for other tools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace encke {

// Writes `data` (C order, little-endian float32) of this shape to `path`. Error(DATA) when it
// cannot be written.
void WriteNpy(const std::string& path, const std::vector<int64_t>& shape, const float* data);

struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<float> data;
};
// Reads a float32 .npy file in C order; anything else is an Error(DATA) that says what was found.
NpyArray ReadNpy(const std::string& path);

}  // namespace encke
