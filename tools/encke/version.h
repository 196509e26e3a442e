// The program's version.
#pragma once

namespace encke::cli {

inline constexpr char kVersion[] = "encke 0.1.0";

}  // namespace encke::cli
