// A tile: the codes of 32 blocks of 64 elements in shared memory, between the warp's coalesced
// loads and stores, where a lane has four elements of a block, and the coding of blocks, where a
// lane has a block to itself.
#pragma once

#include "compression/cuda/element_rule.h"
#include "compression/cuda/plane_ops.h"
#include "compression/cuda/quad.h"
#include "compression/cuda/warp.h"

namespace encke::cuda {

constexpr uint32_t kTileBlocks = kWarpLanes;
constexpr uint32_t kTileElements = kTileBlocks * kBlockElements;
constexpr int kTileQuads = kTileElements / kQuad / kWarpLanes;  // of each lane
constexpr int kQuadBatch = 4;                                   // in flight at a time

// The low bytes of the codes, one row a block. A row is one word longer than its codes, so that
// lanes that read a word of their own row each meet in no bank.
struct FastTile {
  uint32_t words[kTileBlocks][kCodeWords + 1];
};
constexpr uint32_t kTileWords = kTileBlocks * (kCodeWords + 1);

// Row and quad of a lane's `step`-th quad: lanes side by side have elements side by side.
ENCKE_INLINE uint32_t RowOf(int step, int lane) {
  return static_cast<uint32_t>(step * 2 + lane / kQuadsInBlock);
}
ENCKE_INLINE uint32_t QuadOf(int lane) { return static_cast<uint32_t>(lane % kQuadsInBlock); }

// The tables of four elements: the same for all where the bound is uniform.
template <typename Rule>
struct QuadTables {
  const typename Rule::Table* from;
  typename Rule::Table first;
  bool uniform;

  ENCKE_INLINE_MEMBER QuadTables(const RuleTables<Rule>& tables,
                                 const typename Rule::Table& uniform_table, uint32_t element)
      : from(tables.From(element)), first(uniform_table), uniform(tables.period == 1) {}
  ENCKE_INLINE_MEMBER typename Rule::Table operator[](int i) const {
    return uniform ? first : from[i];
  }
};

// What a lane sums up while quantising.
struct LaneSums {
  uint32_t nonzero;
  uint32_t escapes;
  float squares;  // of finite elements; infinite when one overflows

  ENCKE_INLINE_MEMBER void Count(float x, bool counted) {
    nonzero += counted;
    if (fabsf(x) < INFINITY) squares += x * x;
  }
};

// Quantises elements [begin, begin + 2048) of a chunk's `elements` into `tile`; what lies behind
// the chunk has code 0. Returns one bit for each block with an escape or a code above 255, whose
// row does not count.
template <typename Warp, typename T, typename Rule>
ENCKE_WARP_CODE uint32_t QuantizeTile(Warp& warp, const T* data, uint32_t begin, uint32_t elements,
                                      const RuleTables<Rule>& tables, FastTile* tile,
                                      typename Warp::template PerLane<LaneSums>* sums) {
  const typename Rule::Table first = tables.entries[0];
  uint32_t extended = 0;
  for (int batch = 0; batch < kTileQuads; batch += kQuadBatch) {
    typename Warp::template PerLane<bool> odd[kQuadBatch];
    warp.Each([&](int lane) {
      Quad<T> quads[kQuadBatch];
      ENCKE_UNROLL
      for (int k = 0; k < kQuadBatch; ++k) {
        const uint32_t row = RowOf(batch + k, lane);
        quads[k] = LoadQuad(data, begin + row * kBlockElements + QuadOf(lane) * kQuad, elements);
      }
      ENCKE_UNROLL
      for (int k = 0; k < kQuadBatch; ++k) {
        const uint32_t row = RowOf(batch + k, lane);
        const uint32_t at = begin + row * kBlockElements + QuadOf(lane) * kQuad;
        const QuadTables<Rule> quad_tables(tables, first, at);
        uint32_t word = 0, all = 0;
        ENCKE_UNROLL
        for (int i = 0; i < kQuad; ++i) {
          if (at + i >= elements) break;
          const ElementCode element = Rule::Quantize(quads[k].x[i], quad_tables[i]);
          word |= (element.code & 255) << 8 * i;
          all |= element.good ? element.code : 256;
          (*sums)[lane].Count(Widen(quads[k].x[i]), element.counted);
        }
        tile->words[row][QuadOf(lane)] = word;
        odd[k][lane] = all > 255;
      }
    });
    for (int k = 0; k < kQuadBatch; ++k) {
      const uint32_t bits = warp.Ballot(odd[k]);
      const uint32_t two = ((bits & 0xffff) != 0 ? 1u : 0u) | (bits >> 16 != 0 ? 2u : 0u);
      extended |= two << 2 * (batch + k);
    }
  }
  return extended;
}

// A block whose elements one lane has all to itself: those that need more than a row of a tile.
template <typename T>
struct LaneBlock {
  T x[kBlockElements];
  PlaneOps::Quantized codes;
};

template <typename T, typename Rule>
ENCKE_HOST_DEVICE ENCKE_NOINLINE void QuantizeBlock(const T* data, uint32_t begin,
                                                    uint32_t elements,
                                                    const RuleTables<Rule>& tables,
                                                    LaneBlock<T>* block) {
  const typename Rule::Table* table = tables.From(begin);
  block->codes = {};
  for (int i = 0; i < kBlockElements && begin + i < elements; ++i) {
    block->x[i] = data[begin + i];
    const ElementCode element = Rule::Quantize(block->x[i], table[i]);
    block->codes.escapes |= static_cast<uint64_t>(!element.good) << i;
    block->codes.wide |= element.code > 255;
    for (int p = 0; p < kPlanes; ++p) {
      block->codes.low.plane[p] |= static_cast<uint64_t>(element.code >> p & 1) << i;
      block->codes.high.plane[p] |= static_cast<uint64_t>(element.code >> (p + 8) & 1) << i;
    }
  }
}

}  // namespace encke::cuda
