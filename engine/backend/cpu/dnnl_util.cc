#include "engine/backend/cpu/dnnl_util.h"

#include "engine/core/error.h"

namespace encke::cpu {

void ThrowDnnlError(const std::string& what, const dnnl::error& error) {
  throw Error(ErrorKind::DEVICE, StrCat("oneDNN: ", error.what(), " (status ", error.status, ")"),
              what);
}

dnnl::memory::data_type DnnlType(DType dtype) {
  ENCKE_CHECK(dtype == DType::F32 || dtype == DType::BF16, NameOf(dtype));
  return dtype == DType::F32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

namespace {

const char* IsaName(dnnl::cpu_isa isa) {
  switch (isa) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx2_vnni:
      return "avx2_vnni";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    case dnnl::cpu_isa::avx512_core_amx:
      return "avx512_core_amx";
    default:
      return "other instruction set";
  }
}

}  // namespace

std::string DnnlDescription() {
  const dnnl::version_t* version = dnnl::version();
  return StrCat(version->major, ".", version->minor, ".", version->patch, ", ",
                IsaName(dnnl::get_effective_cpu_isa()));
}

bool DnnlHasFastBf16() {
  constexpr int kBf16 = dnnl_cpu_isa_avx512_core_bf16;  // a set of bits, which later ones contain
  return (static_cast<int>(dnnl::get_effective_cpu_isa()) & kBf16) == kBf16;
}

size_t PrimitiveKeyHash::operator()(const PrimitiveKey& key) const {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over words
  for (int64_t word : key) hash = (hash ^ static_cast<uint64_t>(word)) * 0x100000001b3u;
  return hash ^ (hash >> 32);
}

void AppendToKey(const Shape& shape, PrimitiveKey* key) {
  key->insert(key->end(), {shape.n, shape.h, shape.w, shape.c});
}

dnnl::memory Wrap(const dnnl::memory::desc& desc, const dnnl::engine& engine, const void* data) {
  return dnnl::memory(desc, engine, const_cast<void*>(data));
}

}  // namespace encke::cpu
