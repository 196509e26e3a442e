#include "compression/jpeg_codec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "compression/value_coding.h"
#include "compression/zstd_bytes.h"
#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int64_t kSide = 8;
constexpr uint8_t kEndOfBlock = 64;
constexpr float kMaxLevel = 1 << 24;
constexpr int64_t kSampleBlocks = 256;

using Block = std::array<float, kSide * kSide>;

constexpr uint8_t kTable[64] = {16,  11,  10,  16,  24, 40, 51,  61,  12,  12,  14,  19,  26,
                                58,  60,  55,  14,  13, 16, 24,  40,  57,  69,  56,  14,  17,
                                22,  29,  51,  87,  80, 62, 18,  22,  37,  56,  68,  109, 103,
                                77,  24,  35,  55,  64, 81, 104, 113, 92,  49,  64,  78,  87,
                                103, 121, 120, 101, 72, 92, 95,  98,  112, 100, 103, 99};
constexpr uint8_t kZigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

// The orthonormal DCT-II as a matrix: row u is the basis of frequency u.
Block DctMatrix() {
  Block matrix;
  for (int u = 0; u < kSide; ++u) {
    for (int x = 0; x < kSide; ++x) {
      const double norm = u == 0 ? std::sqrt(1.0 / kSide) : std::sqrt(2.0 / kSide);
      matrix[u * kSide + x] =
          static_cast<float>(norm * std::cos((2 * x + 1) * u * 3.141592653589793 / (2 * kSide)));
    }
  }
  return matrix;
}

Block Transpose(const Block& a) {
  Block t;
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) t[j * kSide + i] = a[i * kSide + j];
  }
  return t;
}

// GCC's and Clang's vectors of a row's size, on machines of any vector size.
using Row = float __attribute__((vector_size(kSide * sizeof(float))));

Block Multiply(const Block& a, const Block& b) {
  Row rows[kSide];
  std::memcpy(rows, b.data(), sizeof(rows));
  Block product;
  for (int i = 0; i < kSide; ++i) {
    Row sum = {};
    for (int k = 0; k < kSide; ++k) sum += a[i * kSide + k] * rows[k];
    std::memcpy(product.data() + i * kSide, &sum, sizeof(sum));
  }
  return product;
}

class Dct {
 public:
  Block Forward(const Block& x) const { return Multiply(Multiply(matrix_, x), transposed_); }
  Block Inverse(const Block& y) const { return Multiply(Multiply(transposed_, y), matrix_); }

 private:
  Block matrix_ = DctMatrix();
  Block transposed_ = Transpose(matrix_);
};

// Visits the blocks of all planes: body(element of the block's corner, rows, columns).
template <typename Body>
void ForEachBlock(const Shape& chunk, const Body& body) {
  for (int64_t n = 0; n < chunk.n; ++n) {
    for (int64_t c = 0; c < chunk.c; ++c) {
      for (int64_t h = 0; h < chunk.h; h += kSide) {
        for (int64_t w = 0; w < chunk.w; w += kSide) {
          body(((n * chunk.h + h) * chunk.w + w) * chunk.c + c, std::min(kSide, chunk.h - h),
               std::min(kSide, chunk.w - w));
        }
      }
    }
  }
}

// The block at `corner`, its last row and column repeated where the plane ends.
Block Gather(const float* corner, const Shape& chunk, int64_t rows, int64_t columns) {
  Block block;
  for (int64_t h = 0; h < kSide; ++h) {
    for (int64_t w = 0; w < kSide; ++w) {
      const int64_t pixel = std::min(h, rows - 1) * chunk.w + std::min(w, columns - 1);
      block[h * kSide + w] = corner[pixel * chunk.c];
    }
  }
  return block;
}

float StepOf(int index, float scale) { return scale * static_cast<float>(kTable[index]); }

// Nan, which sums of huge values may give, becomes the least level.
int32_t LevelOf(float coefficient, float step) {
  const float quotient = coefficient / step;
  const float above = quotient > -kMaxLevel ? quotient : -kMaxLevel;
  return static_cast<int32_t>(std::lrintf(above < kMaxLevel ? above : kMaxLevel));
}

void WriteLevels(const Block& coefficients, float scale, std::vector<uint8_t>* out) {
  uint8_t run = 0;
  for (int i = 0; i < 64; ++i) {
    const int at = kZigzag[i];
    const int32_t level = LevelOf(coefficients[at], StepOf(at, scale));
    if (level == 0) {
      ++run;
      continue;
    }
    out->push_back(run);
    uint32_t code = static_cast<uint32_t>(level) << 1 ^ static_cast<uint32_t>(level >> 31);
    for (; code >= 128; code >>= 7) out->push_back(static_cast<uint8_t>(code | 128));
    out->push_back(static_cast<uint8_t>(code));
    run = 0;
  }
  out->push_back(kEndOfBlock);
}

// Reads bytes, none past the end.
class ByteReader {
 public:
  explicit ByteReader(const std::vector<uint8_t>& bytes) : bytes_(bytes) {}

  uint8_t Next() {
    if (position_ >= bytes_.size()) ThrowCorruption("a JPEG chunk ends early");
    return bytes_[position_++];
  }
  uint32_t NextVarint() {
    uint32_t value = 0;
    for (int shift = 0; shift < 32; shift += 7) {
      const uint32_t byte = Next();
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
    ThrowCorruption("a JPEG chunk has an endless number");
  }

 private:
  const std::vector<uint8_t>& bytes_;
  size_t position_ = 0;
};

Block ReadLevels(float scale, ByteReader* reader) {
  Block coefficients = {};
  int i = 0;
  for (uint8_t run = reader->Next(); run != kEndOfBlock; run = reader->Next()) {
    i += run;
    if (i >= 64) ThrowCorruption("a JPEG block has too many coefficients");
    const uint32_t code = reader->NextVarint();
    const auto level = static_cast<int32_t>(code >> 1 ^ (~(code & 1) + 1));
    const int at = kZigzag[i++];
    coefficients[at] = static_cast<float>(level) * StepOf(at, scale);
  }
  return coefficients;
}

double SquaredError(const std::vector<Block>& blocks, float scale) {
  double sum = 0;
  for (const Block& block : blocks) {
    for (int i = 0; i < 64; ++i) {
      const float step = StepOf(i, scale);
      const double error = block[i] - static_cast<float>(LevelOf(block[i], step)) * step;
      sum += error * error;
    }
  }
  return sum / (64.0 * static_cast<double>(std::max<size_t>(blocks.size(), 1)));
}

// The coarsest scale with no more than this mean squared error, about.
float ChooseScale(const std::vector<Block>& blocks, double allowed) {
  double low = std::sqrt(allowed) / 128, high = std::sqrt(allowed) * 16;
  for (int round = 0; round < 16; ++round) {
    const double middle = std::sqrt(low * high);
    (SquaredError(blocks, static_cast<float>(middle)) <= allowed ? low : high) = middle;
  }
  return static_cast<float>(low);
}

float ScaleOf(const ValueCoding& coding) {
  float scale = 0;
  ENCKE_CHECK(coding.tables.size() == sizeof(scale), coding.tables.size());
  std::memcpy(&scale, coding.tables.data(), sizeof(scale));
  return scale;
}

}  // namespace

void JpegCodec::Prepare(const std::vector<ChunkView>& sample, DType dtype,
                        ValueCoding* coding) const {
  const Dct dct;
  std::vector<Block> blocks;
  for (const ChunkView& chunk : sample) {
    const std::vector<float> values = FiniteValues(chunk.data, dtype, chunk.shape.elements());
    ForEachBlock(chunk.shape, [&](int64_t corner, int64_t rows, int64_t columns) {
      if (static_cast<int64_t>(blocks.size()) >= kSampleBlocks) return;
      blocks.push_back(dct.Forward(Gather(values.data() + corner, chunk.shape, rows, columns)));
    });
  }
  const std::vector<float>& bounds = coding->quantizer.bounds();
  double squares = 0;
  for (const float bound : bounds) squares += static_cast<double>(bound) * bound;
  // An error uniform within +-b has a mean square of b^2 / 3. Bound 0 asks for what it cannot give.
  const double allowed = std::max(squares / static_cast<double>(3 * bounds.size()), 1e-24);
  const float scale = ChooseScale(blocks, allowed);
  coding->tables.resize(sizeof(scale));
  std::memcpy(coding->tables.data(), &scale, sizeof(scale));
}

bool JpegCodec::KnowsTables(const std::vector<uint8_t>& tables, QuantizerMode /*mode*/) const {
  float scale = 0;
  if (tables.size() != sizeof(scale)) return false;
  std::memcpy(&scale, tables.data(), sizeof(scale));
  return std::isfinite(scale) && scale > 0;
}

void JpegCodec::EncodeValues(const std::vector<float>& values, const Shape& chunk,
                             const ValueCoding& coding, std::vector<uint8_t>* out) const {
  const Dct dct;
  const float scale = ScaleOf(coding);
  std::vector<uint8_t> levels;
  ForEachBlock(chunk, [&](int64_t corner, int64_t rows, int64_t columns) {
    WriteLevels(dct.Forward(Gather(values.data() + corner, chunk, rows, columns)), scale, &levels);
  });
  ZstdCompress(levels.data(), levels.size(), out);
}

void JpegCodec::DecodeValues(const uint8_t* stream, int64_t size, const Shape& chunk,
                             const ValueCoding& coding, std::vector<float>* values) const {
  const Dct dct;
  const float scale = ScaleOf(coding);
  // A level takes at most five bytes and its run one.
  int64_t blocks = 0;
  ForEachBlock(chunk, [&](int64_t, int64_t, int64_t) { ++blocks; });
  std::vector<uint8_t> levels(ZstdContentSize(stream, size, blocks * (64 * 6 + 1)));
  ZstdDecompress(stream, size, levels.size(), levels.data());
  ByteReader reader(levels);
  ForEachBlock(chunk, [&](int64_t corner, int64_t rows, int64_t columns) {
    const Block block = dct.Inverse(ReadLevels(scale, &reader));
    for (int64_t h = 0; h < rows; ++h) {
      for (int64_t w = 0; w < columns; ++w) {
        (*values)[corner + (h * chunk.w + w) * chunk.c] = block[h * kSide + w];
      }
    }
  });
}

}  // namespace encke
