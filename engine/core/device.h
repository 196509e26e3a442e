// Where a tensor lives and work runs.
#pragma once

#include <string>

namespace encke {

struct Device {
  enum class Type { CPU, CUDA };
  Type type = Type::CPU;
  int index = 0;

  bool is_cpu() const { return type == Type::CPU; }
  // Parses "cpu", "cuda" or "cuda:1"; anything else is an Error(USAGE) that lists the legal forms.
  static Device Parse(const std::string& text);
  std::string ToString() const;
};

inline bool operator==(const Device& a, const Device& b) {
  return a.type == b.type && a.index == b.index;
}

}  // namespace encke
