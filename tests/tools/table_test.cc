#include "tools/encke/table.h"

#include <gtest/gtest.h>

namespace encke::cli {
namespace {

Table Example() {
  Table table;
  table.AddColumn("layer", Table::Align::LEFT);
  table.AddColumn("bytes");
  table.AddColumn("note", Table::Align::LEFT);
  table.AddRow({"conv1", "7", "é"});
  table.AddRow({"layer1.0.conv1", "1,024"});
  table.AddRule();
  table.AddRow({"total", "1,031", "all"});
  return table;
}

TEST(Table, AlignsColumnsAndLeavesNoBlanksAtTheEnd) {
  EXPECT_EQ(Example().ToString(),
            "layer           bytes  note\n"
            "---------------------------\n"
            "conv1               7  é\n"
            "layer1.0.conv1  1,024\n"
            "---------------------------\n"
            "total           1,031  all\n");
}

TEST(Table, ShortensTheFirstColumnToFit) {
  EXPECT_EQ(Example().ToString(22),
            "layer      bytes  note\n"
            "----------------------\n"
            "conv1          7  é\n"
            "laye…onv1  1,024\n"
            "----------------------\n"
            "total      1,031  all\n");
}

}  // namespace
}  // namespace encke::cli
