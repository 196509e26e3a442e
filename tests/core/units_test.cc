#include "engine/core/units.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace encke {
namespace {

TEST(FormatBytes, ShowsThreeDigitsInTheLargestFittingUnit) {
  EXPECT_EQ(FormatBytes(0), "0 B");
  EXPECT_EQ(FormatBytes(999), "999 B");
  EXPECT_EQ(FormatBytes(1000), "0.98 KiB");
  EXPECT_EQ(FormatBytes(1536), "1.50 KiB");
  EXPECT_EQ(FormatBytes(int64_t{77} << 20), "77.0 MiB");
  EXPECT_EQ(FormatBytes(int64_t{4} << 30), "4.00 GiB");
  EXPECT_EQ(FormatBytes((int64_t{1} << 40) - 1), "1.00 TiB");
  EXPECT_EQ(FormatBytes(-(int64_t{200} << 20)), "-200 MiB");
}

TEST(ParseBytes, ReadsWhatPeopleWrite) {
  EXPECT_EQ(ParseBytes("2GiB"), int64_t{2} << 30);
  EXPECT_EQ(ParseBytes("1.5 gib"), int64_t{3} << 29);
  EXPECT_EQ(ParseBytes("500MB"), 500000000);
  EXPECT_EQ(ParseBytes("300k"), 300 * 1024);
  EXPECT_EQ(ParseBytes("12345"), 12345);
  EXPECT_EQ(ParseBytes("7 B"), 7);
}

TEST(ParseBytes, RefusesEverythingElse) {
  for (const char* text : {"", "GiB", "two", "2 GiBs", "-1", "nan", "1e30", "2 XB", "1 kk"}) {
    try {
      ParseBytes(text);
      FAIL() << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::USAGE) << text;
      EXPECT_NE(std::string(error.what()).find("2GiB"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace encke
