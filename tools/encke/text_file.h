// Results that a command leaves in a file.
#pragma once

#include <string>

namespace encke::cli {

// Replaces the file at `path`. Error(DATA) when it cannot be written.
void WriteTextFile(const std::string& path, const std::string& text);

}  // namespace encke::cli
