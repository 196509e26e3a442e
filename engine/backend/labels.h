// Labels as every backend checks them.
#pragma once

#include <cstdint>

#include "engine/core/error.h"

namespace encke {

// `count` labels in host memory, one for each sample. Error(DATA) names the sample whose label is
// no class.
inline void CheckLabels(const int32_t* labels, int64_t count, int64_t samples, int64_t classes) {
  ENCKE_CHECK(count == samples, count, " for ", samples);
  for (int64_t n = 0; n < samples; ++n) {
    if (labels[n] >= 0 && labels[n] < classes) continue;
    throw Error(ErrorKind::DATA,
                StrCat("sample ", n, " of the batch has label ", labels[n], ", but the network ",
                       "has ", classes, " classes"),
                "", "labels start at 0; give the last layer one output for each class");
  }
}

}  // namespace encke
