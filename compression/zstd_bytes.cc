#include "compression/zstd_bytes.h"

#include <zstd.h>

#include "compression/stream.h"
#include "engine/core/error.h"

namespace encke {
namespace {

constexpr int kLevel = 1;  // what a step of training has time for

}  // namespace

void ZstdCompress(const uint8_t* data, int64_t size, std::vector<uint8_t>* out) {
  const size_t start = out->size();
  out->resize(start + ZSTD_compressBound(size));
  const size_t written =
      ZSTD_compress(out->data() + start, out->size() - start, data, size, kLevel);
  ENCKE_CHECK(!ZSTD_isError(written), ZSTD_getErrorName(written));
  out->resize(start + written);
}

void ZstdDecompress(const uint8_t* stream, int64_t size, int64_t bytes, uint8_t* out) {
  const size_t read = ZSTD_decompress(out, bytes, stream, size);
  if (ZSTD_isError(read)) ThrowCorruption(ZSTD_getErrorName(read));
  if (static_cast<int64_t>(read) != bytes) ThrowCorruption("a zstd stream is too short");
}

int64_t ZstdContentSize(const uint8_t* stream, int64_t size, int64_t limit) {
  const unsigned long long bytes = ZSTD_getFrameContentSize(stream, size);
  // The two error codes are huge numbers.
  if (bytes > static_cast<unsigned long long>(limit)) ThrowCorruption("a zstd stream is broken");
  return static_cast<int64_t>(bytes);
}

}  // namespace encke
