// zstd with errors as exceptions.
#pragma once

#include <cstdint>
#include <vector>

namespace encke {

// Appends to `out`, which grows.
void ZstdCompress(const uint8_t* data, int64_t size, std::vector<uint8_t>* out);
// Exactly `bytes` bytes or Error(CORRUPTION).
void ZstdDecompress(const uint8_t* stream, int64_t size, int64_t bytes, uint8_t* out);
// The size that a stream says it has, at most `limit`; otherwise Error(CORRUPTION).
int64_t ZstdContentSize(const uint8_t* stream, int64_t size, int64_t limit);

}  // namespace encke
