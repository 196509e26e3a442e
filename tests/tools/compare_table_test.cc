#include "tools/encke/compare_table.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

using nlohmann::ordered_json;

TEST(ParseMode, TakesRawEnckeAndSettings) {
  EXPECT_EQ(ParseMode("raw").overrides, std::vector<std::string>{"activations.mode=RAW"});
  const ModeSpec mode = ParseMode("encke:tolerance=0.1:training.batch=32");
  EXPECT_EQ(mode.name, "encke:tolerance=0.1:training.batch=32");
  EXPECT_EQ(mode.overrides,
            (std::vector<std::string>{"activations.mode=ENCKE", "activations.tolerance=0.1",
                                      "training.batch=32"}));
}

TEST(ParseMode, FieldsOfGroupsInActivationsNeedNoPrefix) {
  EXPECT_EQ(ParseMode("encke:norm_input.codec=jpeg:activations.value.keep=RAW").overrides,
            (std::vector<std::string>{"activations.mode=ENCKE", "activations.norm_input.codec=jpeg",
                                      "activations.value.keep=RAW"}));
}

TEST(ParseMode, RefusesOthers) {
  for (const char* text : {"", "sz", "encke:tolerance", "encke:=3", "Raw"}) {
    EXPECT_THROW(ParseMode(text), Error) << text;
  }
}

ordered_json Mode(int64_t peak, double images_per_second, const ordered_json& accuracy) {
  return {{"peak_bytes", {{"parameter", 1 << 20}, {"saved", peak - (1 << 20)}, {"total", peak}}},
          {"images_per_second", images_per_second},
          {"loss", 0.5},
          {"accuracy", accuracy}};
}

TEST(CompareTable, RelatesEveryModeToRaw) {
  const std::string table =
      CompareTable({"encke", "raw"}, {Mode(20 << 20, 90, 80.5), Mode(100 << 20, 100, 81)}, "");
  EXPECT_EQ(table,
            "                      encke  vs raw           raw\n"
            "-------------------------------------------------\n"
            "peak memory        20.0 MiB  5.00x less   100 MiB\n"
            "  parameter        1.00 MiB  same        1.00 MiB\n"
            "  saved            19.0 MiB  5.21x less  99.0 MiB\n"
            "images per second      90.0  0.90x          100.0\n"
            "training loss        0.5000  +0.0000       0.5000\n"
            "accuracy             80.50%  -0.50         81.00%\n");
}

TEST(CompareTable, ShowsADashForWhatOneModeLacks) {
  const std::string table =
      CompareTable({"raw", "encke"}, {Mode(2 << 20, 1, nullptr), Mode(2 << 20, 1, 50)}, "");
  EXPECT_NE(table.find("accuracy                  -    50.00%  -\n"), std::string::npos) << table;
}

}  // namespace
}  // namespace encke::cli
