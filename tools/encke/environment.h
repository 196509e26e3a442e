// What a run ran on, and how it was started.
#pragma once

#include <string>

namespace encke::cli {

// A JSON object on one line: `started` (local time), `version`, `command`, `cpu`, `instructions`,
// `cores`, `threads` (those that compute, with `threads` of the config: 0 = all), `memory_bytes`.
// What the kernel does not tell is left out.
std::string EnvironmentJson(int threads);

// The words as one line that a shell would read back: quoted where it needs to be.
std::string ShellLine(const std::string& zero_separated_words);

}  // namespace encke::cli
