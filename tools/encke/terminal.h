// What standard output and standard error are connected to.
#pragma once

namespace encke::cli {

enum class Stream { OUT, ERR };

bool IsTerminal(Stream stream);
// Columns of the terminal, `otherwise` where it is none or does not say.
int TerminalWidth(Stream stream, int otherwise);

}  // namespace encke::cli
