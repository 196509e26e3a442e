#include "tools/encke/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

namespace encke::cli {
namespace {

int FileOf(Stream stream) { return stream == Stream::OUT ? STDOUT_FILENO : STDERR_FILENO; }

}  // namespace

bool IsTerminal(Stream stream) {
  const char* term = std::getenv("TERM");
  return isatty(FileOf(stream)) == 1 && (term == nullptr || std::string(term) != "dumb");
}

int TerminalWidth(Stream stream, int otherwise) {
  winsize size{};
  if (!IsTerminal(stream) || ioctl(FileOf(stream), TIOCGWINSZ, &size) != 0) return otherwise;
  return size.ws_col > 0 ? size.ws_col : otherwise;
}

}  // namespace encke::cli
