// The inner loops of the codecs, once for each instruction set; all give identical bytes.
#pragma once

#include <cstdint>

#include "compression/quantizer_tables.h"
#include "engine/core/dtype.h"

namespace encke::simd {

// Sums over the elements of a chunk, gathered while encoding.
struct ChunkSums {
  int64_t nonzero = 0;
  int64_t escapes = 0;
  double squares = 0;  // not finite when an element is not, or its square overflows a float
};

struct EncodeJob {
  const void* data;
  int64_t elements;
  QuantizerTables tables;
  QuantizerMode mode;
  uint8_t* out;
  int64_t limit;  // give up when the stream would get longer; kMaxOvershoot more bytes are writable
};

struct DecodeJob {
  const uint8_t* stream;
  int64_t size;
  QuantizerTables tables;
  QuantizerMode mode;
  void* data;
  int64_t elements;
};

struct DenseTables;  // compression/simd/dense_format.h

// The DENSE codec's jobs are the FAST codec's with shape, tables and scratch memory.
struct DenseShape {
  int64_t channels;
  int64_t width;
};

// Scratch memory that encode_dense and decode_dense need for a chunk.
int64_t DenseScratch(int64_t elements, const DenseShape& shape);
int64_t DenseDecodingScratch(int64_t elements, const DenseShape& shape);

// Chunks of a value that they take at a time, at the most: a coder's next state waits for the one
// before, but coders can wait side by side.
constexpr int kDenseEncodedTogether = 4, kDenseDecodedTogether = 8;

// Bytes that an encoder may write past `limit` before it notices.
constexpr int64_t kMaxOvershoot = 1024;

struct Kernels {
  const char* name;
  // Length of the FAST stream of doc/codec-format.md, or -1 when it would pass the limit.
  int64_t (*encode_fast)(DType dtype, const EncodeJob& job, ChunkSums* sums);
  // False when the stream is broken.
  bool (*decode_fast)(DType dtype, const DecodeJob& job);
  // The codes of all elements, 0 for escapes; `codes` has room for whole blocks of 64.
  void (*quantize)(DType dtype, const EncodeJob& job, uint16_t* codes);
  // As encode_fast and decode_fast, of `count` chunks, each with scratch memory and sums of its
  // own.
  void (*encode_dense)(DType dtype, const EncodeJob* jobs, int count, const DenseShape& shape,
                       const DenseTables& tables, uint8_t* const* scratch, ChunkSums* sums,
                       int64_t* sizes);
  bool (*decode_dense)(DType dtype, const DecodeJob* jobs, int count, const DenseShape& shape,
                       const DenseTables& tables, uint8_t* const* scratch);
};

const Kernels& ReferenceKernels();
const Kernels& Avx2Kernels();    // AVX2, BMI1/2, LZCNT, POPCNT
const Kernels& Avx512Kernels();  // the same and AVX-512 F, BW, DQ, VL

}  // namespace encke::simd
