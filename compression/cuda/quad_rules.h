// How a lane quantises and decodes four consecutive elements.
#pragma once

#include "compression/cuda/element_rule.h"
#include "compression/cuda/quad.h"

namespace encke::cuda {

// The constants of consecutive elements: the same for all where the bound is uniform.
template <typename Table>
struct QuadTables {
  const Table* from;
  Table first;
  bool uniform;

  ENCKE_INLINE_MEMBER const Table& operator[](int i) const { return uniform ? first : from[i]; }
};

// Of the elements from `element` of a chunk on. `first`: tables.entries[0], loaded before.
template <typename Rule>
ENCKE_INLINE QuadTables<typename Rule::Table> TablesFrom(const RuleTables<Rule>& tables,
                                                         const typename Rule::Table& first,
                                                         uint32_t element) {
  return {tables.From(element), first, tables.period == 1};
}
template <typename Rule>
ENCKE_INLINE QuadTables<typename Rule::DecodeTable> DecodeTablesFrom(
    const RuleTables<Rule>& tables, const typename Rule::DecodeTable& first, uint32_t element) {
  return {tables.decode() + tables.IndexOf(element), first, tables.period == 1};
}

// What a lane sums up while quantising.
struct LaneSums {
  uint32_t nonzero;
  uint32_t escapes;
  float squares;  // of finite elements; infinite when one overflows

  ENCKE_INLINE_MEMBER void AddSquare(float x) {
    if (fabsf(x) < INFINITY) squares += x * x;
  }
};

}  // namespace encke::cuda
