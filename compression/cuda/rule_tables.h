// A quantiser's constants in the order in which a GPU's lanes read them.
#pragma once

#include <cstring>
#include <vector>

#include "compression/cuda/element_rule.h"
#include "compression/quantizer.h"

namespace encke::cuda {

inline UniformTable TableAt(const QuantizerTables& t, int64_t i, UniformTable) {
  return {t.bound[i], t.step[i], t.inverse_step[i], t.center[i]};
}

inline ActivityTable TableAt(const QuantizerTables& t, int64_t i, ActivityTable) {
  return {t.bound[i],          t.step[i],  t.inverse_step[i],  t.threshold[i], t.direction[i],
          t.inactive_bound[i], t.width[i], t.inverse_width[i], t.centroids[i]};
}

// What the entries of RuleTables are read from, period + 64 of them, and the period.
struct PackedTables {
  std::vector<uint8_t> bytes;
  uint32_t period;
};

template <typename Table>
PackedTables PackAs(const QuantizerTables& tables) {
  const int64_t count = tables.period + kBlockElements;
  PackedTables packed = {std::vector<uint8_t>(count * sizeof(Table)),
                         static_cast<uint32_t>(tables.period)};
  for (int64_t i = 0; i < count; ++i) {
    const Table table = TableAt(tables, i, Table());
    std::memcpy(packed.bytes.data() + i * sizeof(Table), &table, sizeof(Table));
  }
  return packed;
}

inline PackedTables PackTables(const Quantizer& quantizer) {
  const ExpandedQuantizer expanded = quantizer.Expand();
  return quantizer.mode() == QuantizerMode::ACTIVITY ? PackAs<ActivityTable>(expanded.tables())
                                                     : PackAs<UniformTable>(expanded.tables());
}

}  // namespace encke::cuda
