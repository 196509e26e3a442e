// The DENSE codec for one instruction set: `Ops` quantises blocks (simd/ops_*.h), `Blocks` makes
// tokens of them (simd/dense_blocks*.h), `Rans` codes tokens (simd/rans_*.h). The stream is drawn
// in doc/codec-format.md.
#pragma once

#include "compression/simd/dense_decode.h"
#include "compression/simd/dense_encode.h"

namespace encke::simd {
namespace {

template <typename Ops, typename T, QuantizerMode kMode>
void QuantizeAllAs(const EncodeJob& job, uint16_t* codes) {
  const T* data = static_cast<const T*>(job.data);
  TableCursor cursor(job.tables);
  typename Ops::Sums sums;
  T padded[kBlockElements];
  for (int64_t begin = 0; begin < job.elements; begin += kBlockElements, cursor.Next()) {
    const T* x = WholeBlock(data + begin, job.elements - begin, padded);
    const uint64_t valid = ValidElements(job.elements - begin);
    WholeCodes<Ops>(Ops::template Quantize<kMode>(x, valid, cursor.At<kMode>(), &sums),
                    codes + begin);
  }
}

template <typename Ops>
void QuantizeAll(DType dtype, const EncodeJob& job, uint16_t* codes) {
  ForTypeAndMode(dtype, job.mode, [&](auto type, auto mode) {
    QuantizeAllAs<Ops, decltype(type), mode()>(job, codes);
  });
}

template <typename Blocks, typename Rans>
void EncodeDense(DType dtype, const EncodeJob* jobs, int count, const DenseShape& shape,
                 const DenseTables& tables, uint8_t* const* scratch, ChunkSums* sums,
                 int64_t* sizes) {
  ForTypeAndMode(dtype, jobs[0].mode, [&](auto type, auto mode) {
    EncodeDenseAs<Blocks, Rans, decltype(type), mode()>(jobs, count, shape, tables, scratch, sums,
                                                        sizes);
  });
}

template <typename Blocks, typename Rans>
bool DecodeDense(DType dtype, const DecodeJob* jobs, int count, const DenseShape& shape,
                 const DenseTables& tables, uint8_t* const* scratch) {
  return ForTypeAndMode(dtype, jobs[0].mode, [&](auto type, auto mode) {
    return DecodeDenseAs<Blocks, Rans, decltype(type), mode()>(jobs, count, shape, tables, scratch);
  });
}

}  // namespace
}  // namespace encke::simd
