#include "tools/encke/text_file.h"

#include <fstream>

#include "engine/core/error.h"

namespace encke::cli {

void WriteTextFile(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text;
  out.close();
  if (!out) throw Error(ErrorKind::DATA, "cannot write the file", path, "check folder and rights");
}

}  // namespace encke::cli
