#include "tools/encke/cpu_info.h"

#include <gtest/gtest.h>

#include <sstream>

namespace encke::cli {
namespace {

TEST(CpuInfo, ReadsTheFirstProcessor) {
  std::istringstream in(
      "processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n"
      "flags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16\n\n"
      "processor\t: 1\nmodel name\t: Another\n");
  const CpuInfo cpu = ReadCpuInfo(in);
  EXPECT_EQ(cpu.model, "Some CPU @ 2.00GHz");
  EXPECT_TRUE(cpu.Has("avx2"));
  EXPECT_FALSE(cpu.Has("avx"));
  EXPECT_EQ(InstructionSets(cpu), "AVX2, AVX-512, AVX-512 BF16, AMX, AMX BF16");
}

TEST(CpuInfo, CopesWithNothing) {
  std::istringstream in("\n:\nx\n");
  EXPECT_EQ(ReadCpuInfo(in).model, "");
  EXPECT_EQ(InstructionSets(CpuInfo()), "none that Encke uses");
}

TEST(MemoryField, IsInBytes) {
  std::istringstream in("MemTotal:       16384 kB\nMemAvailable:    8192 kB\n");
  EXPECT_EQ(ReadMemoryField(in, "MemAvailable"), 8192 * 1024);
  std::istringstream other("MemTotal: 1 kB\n");
  EXPECT_EQ(ReadMemoryField(other, "SwapTotal"), -1);
}

}  // namespace
}  // namespace encke::cli
