#include "engine/core/shape.h"

#include "engine/core/error.h"

namespace encke {

std::string Shape::ToString() const {
  if (h == 1 && w == 1) return StrCat(n, "x", c);
  return StrCat(n, "x", c, "x", h, "x", w);
}

}  // namespace encke
