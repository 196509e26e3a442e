#include "engine/core/device.h"

#include <cstdlib>

#include "engine/core/dtype.h"
#include "engine/core/error.h"

namespace encke {

const char* NameOf(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return "fp32";
    case DType::BF16:
      return "bf16";
    case DType::U8:
      return "u8";
    case DType::I32:
      return "i32";
  }
  return "?";
}

Device Device::Parse(const std::string& text) {
  if (text == "cpu") return {Type::CPU, 0};
  if (text == "cuda") return {Type::CUDA, 0};
  if (text.rfind("cuda:", 0) == 0) {
    char* end = nullptr;
    const long index = std::strtol(text.c_str() + 5, &end, 10);
    if (end != text.c_str() + 5 && *end == '\0' && index >= 0 && index < 1024) {
      return {Type::CUDA, static_cast<int>(index)};
    }
  }
  throw Error(ErrorKind::USAGE, StrCat("unknown device '", text, "'"), "--device",
              "use cpu, cuda or cuda:INDEX");
}

std::string Device::ToString() const {
  return type == Type::CPU ? std::string("cpu") : StrCat("cuda:", index);
}

}  // namespace encke
