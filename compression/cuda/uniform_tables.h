// The quantiser's constants in the order in which a GPU's lanes read them.
#pragma once

#include <vector>

#include "compression/cuda/element_rule.h"
#include "compression/quantizer_tables.h"

namespace encke::cuda {

// period + 64 entries, as RuleTables wants them.
inline std::vector<UniformTable> UniformTables(const QuantizerTables& tables) {
  std::vector<UniformTable> entries(tables.period + kBlockElements);
  for (size_t i = 0; i < entries.size(); ++i) {
    entries[i] = {tables.bound[i], tables.step[i], tables.inverse_step[i], tables.center[i]};
  }
  return entries;
}

}  // namespace encke::cuda
