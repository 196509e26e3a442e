// A quantiser's constants in the order in which a GPU's lanes read them.
#pragma once

#include <cstring>
#include <vector>

#include "compression/cuda/element_rule.h"
#include "compression/quantizer.h"

namespace encke::cuda {

inline UniformTable TableAt(const QuantizerTables& t, int64_t i, UniformTable) {
  return {{t.step[i], t.center[i]}, t.bound[i], t.inverse_step[i]};
}

inline ActivityTable TableAt(const QuantizerTables& t, int64_t i, ActivityTable) {
  const float direction = t.direction[i];
  return {{t.threshold[i], t.step[i] * direction, t.width[i] * direction, t.centroids[i]},
          t.bound[i],
          t.inverse_step[i],
          t.inactive_bound[i],
          t.inverse_width[i]};
}

// What RuleTables reads: period + 64 entries, their DecodeTables, and the period.
struct PackedTables {
  std::vector<uint8_t> bytes;
  uint32_t period;
};

template <typename Table>
PackedTables PackAs(const QuantizerTables& tables) {
  const int64_t count = tables.period + kBlockElements;
  using DecodeTable = decltype(Table::decode);
  PackedTables packed = {std::vector<uint8_t>(count * (sizeof(Table) + sizeof(DecodeTable))),
                         static_cast<uint32_t>(tables.period)};
  uint8_t* entry = packed.bytes.data();
  uint8_t* decode = entry + count * sizeof(Table);
  for (int64_t i = 0; i < count; ++i) {
    const Table table = TableAt(tables, i, Table());
    std::memcpy(entry + i * sizeof(Table), &table, sizeof(Table));
    std::memcpy(decode + i * sizeof(DecodeTable), &table.decode, sizeof(DecodeTable));
  }
  return packed;
}

inline PackedTables PackTables(const Quantizer& quantizer) {
  const ExpandedQuantizer expanded = quantizer.Expand();
  return quantizer.mode() == QuantizerMode::ACTIVITY ? PackAs<ActivityTable>(expanded.tables())
                                                     : PackAs<UniformTable>(expanded.tables());
}

}  // namespace encke::cuda
