// Which of cuDNN's algorithms was the fastest, remembered in a file from run to run: measuring
// takes seconds to minutes, and the same choice gives the same bytes. Host logic without CUDA.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace encke::cuda {

class ConvChoices {
 public:
  // Reads `path`; choices made under another `context` (GPU, versions, limits) are left alone in
  // the file and not used. A file that is missing or damaged counts as empty; "" keeps nothing.
  ConvChoices(const std::string& path, const std::string& context);

  // The place of the choice in the order in which cuDNN proposes; -1 when none is known.
  int64_t Find(const std::string& problem) const;
  // Remembers, and appends to the file. A file that cannot be written is no error: the next run
  // measures again.
  void Add(const std::string& problem, int64_t choice);

 private:
  const std::string path_, context_;
  std::map<std::string, int64_t> choices_;  // by problem
};

// $ENCKE_CACHE, or encke below $XDG_CACHE_HOME or ~/.cache; "" when there is no such place.
std::string CacheFolder();

}  // namespace encke::cuda
