// Run directories made by hand, for tests of what reads them.
#pragma once

#include <string>

namespace encke::test {

// A new empty folder of this name; what was there before is removed.
std::string NewFolder(const std::string& name);

void WriteFile(const std::string& path, const std::string& text);

// A run of two logged iterations with an evaluation: a compressed layer `layer`, audited once, and
// the memory of four steps. `config` comes after the name in config.textproto.
std::string WriteRun(const std::string& name, const std::string& layer,
                     const std::string& config = "");

}  // namespace encke::test
