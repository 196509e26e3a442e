#include "compression/dense_tables.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace encke {
namespace {

// Two rows of 32 pixels and 32 channels, of one number each.
simd::DenseTables TablesOf(QuantizerMode mode, int first_row, int second_row) {
  const simd::DenseShape shape{32, 32};
  std::vector<uint16_t> codes(2048, static_cast<uint16_t>(simd::ToZigzag(first_row)));
  std::fill(codes.begin() + 1024, codes.end(), static_cast<uint16_t>(simd::ToZigzag(second_row)));
  DenseTableBuilder builder(mode);
  builder.Add(codes, shape);
  const std::vector<uint8_t> tables = builder.Build().tables;
  EXPECT_TRUE(AreDenseTables(tables, mode));
  return ExpandDenseTables(tables);
}

// Only active codes have raw bits, and are told by their tokens. First rows are not counted, but
// decide the window and the shift.
TEST(DenseTables, ActiveCodesHaveATokenEvenWhereNoneWasCounted) {
  const simd::DenseTables tables = TablesOf(QuantizerMode::ACTIVITY, 300, -4);
  EXPECT_GT(tables.shift, 0);
  EXPECT_EQ(tables.lowest + tables.rule.zero, 0);
  EXPECT_GT(tables.tokens, tables.rule.zero + 1);
}

TEST(DenseTables, NegativeCodesHaveATail) {
  for (int high = 1; high < 400; high = high * 3 / 2 + 1) {
    EXPECT_LT(TablesOf(QuantizerMode::SIGNED, high, -1).lowest, 0) << high;
    EXPECT_EQ(TablesOf(QuantizerMode::SIGNED, high, 0).lowest, 0) << high;
  }
}

}  // namespace
}  // namespace encke
