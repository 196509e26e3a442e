#include "tools/encke/inspect_text.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

ActivationSeries Series(const std::string& layer, double raw, const std::vector<double>& stored) {
  ActivationSeries series;
  series.layer = layer;
  series.kind = "relu";
  series.shape = "2x3x8x8";
  for (size_t i = 0; i < stored.size(); ++i) {
    ActivationEntry entry;
    entry.iteration = static_cast<int64_t>(20 * i + 1);
    entry.codec = "fast";
    entry.raw_bytes = raw;
    entry.stored_bytes = stored[i];
    entry.error_bound = 0.5;
    series.entries.push_back(entry);
  }
  return series;
}

std::vector<std::string> Names(const std::vector<ActivationSeries>& series) {
  std::vector<std::string> names;
  for (const ActivationSeries& s : series) names.push_back(s.layer);
  return names;
}

TEST(SortSeries, PutsTheLargestFirstAndUnknownLast) {
  std::vector<ActivationSeries> series = {Series("b", 100, {50}), Series("a", 100, {10}),
                                          Series("c", 1000, {500})};
  SortSeries("ratio", &series);
  EXPECT_EQ(Names(series), (std::vector<std::string>{"a", "b", "c"}));
  SortSeries("stored", &series);
  EXPECT_EQ(Names(series), (std::vector<std::string>{"c", "b", "a"}));
  AuditEntry audit;
  audit.predicted_sigma = 1;
  audit.measured_sigma = 2;
  series[2].audits.push_back(audit);
  SortSeries("sigma", &series);
  EXPECT_EQ(series[0].layer, "a");
  SortSeries("name", &series);
  EXPECT_EQ(Names(series), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(OverviewText, ShowsTheLastEntryAndTheTotal) {
  const std::string text =
      OverviewText({Series("conv1", 4096, {2048, 1024}), Series("conv2", 1024, {1024})}, 0);
  EXPECT_NE(text.find("conv1  relu  ▁█           4.00 KiB  1.00 KiB  4.00x"), std::string::npos)
      << text;
  EXPECT_NE(text.find("total                     5.00 KiB  2.00 KiB  2.50x"), std::string::npos)
      << text;
}

TEST(OverviewText, PutsWhatHardlyMattersInOneRow) {
  const std::string text =
      OverviewText({Series("conv1", 1 << 20, {1 << 17}), Series("bn1.mean", 64, {64}),
                    Series("bn1.inv_std", 64, {64})},
                   0);
  EXPECT_EQ(text.find("bn1"), std::string::npos) << text;
  EXPECT_NE(text.find("2 small ones                        128 B    128 B  1.00x"),
            std::string::npos)
      << text;
}

TEST(HistoryText, NamesEveryCodecThatKeptTheValue) {
  ActivationSeries series = Series("conv1", 4096, {512, 512, 512, 512});
  for (int i : {0, 2}) series.entries[i].codec = "dense";
  const std::string text = HistoryText(series, 30);
  EXPECT_NE(text.find("codec dense, fast\n"), std::string::npos) << text;
  EXPECT_NE(CsvText({series}).find("\n41,conv1,0,relu,2x3x8x8,dense,"), std::string::npos);
}

TEST(HistoryText, ThinsOutLongHistories) {
  const std::string text = HistoryText(Series("conv1", 4096, std::vector<double>(500, 512)), 30);
  EXPECT_NE(text.find("40 of 500 entries shown"), std::string::npos);
  EXPECT_NE(text.find("\n     9981  "), std::string::npos) << "the last entry is there\n" << text;
}

AuditEntry Audit(const std::string& consumer, int64_t iteration, double measured) {
  AuditEntry audit;
  audit.consumer = consumer;
  audit.iteration = iteration;
  audit.predicted_sigma = 2;
  audit.measured_sigma = measured;
  audit.correction = 1.5;
  return audit;
}

TEST(AuditText, ShowsTheNewestAuditOfEveryLayerAndHowManyAreInside) {
  std::vector<ActivationSeries> series = {Series("relu1", 4096, {512}),
                                          Series("relu2", 4096, {512})};
  series[0].audits = {Audit("conv2", 50, 8.0), Audit("side", 50, 2.4), Audit("conv2", 100, 1.8)};
  series[1].audits = {Audit("conv3", 100, 2.6)};
  const std::string text = AuditText(series, 0);
  EXPECT_NE(text.find("conv2           100   2.00      1.80      0.90        1.50"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("4.00"), std::string::npos) << "an older audit\n" << text;
  EXPECT_NE(text.find("inside [0.8, 1.25]: 2 of 3 layers (67%)"), std::string::npos) << text;
}

TEST(AuditText, SaysHowToHaveAudits) {
  try {
    AuditText({Series("relu1", 4096, {512})}, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.hint().find("audit_every"), std::string::npos);
  }
}

TEST(CsvText, HasALineForEveryEntryAndAudit) {
  std::vector<ActivationSeries> series = {Series("conv1", 4096, {2048, 1024})};
  AuditEntry audit;
  audit.iteration = 21;
  audit.consumer = "conv2";
  audit.measured_sigma = 0.25;
  audit.error_over_bound = 0.75;
  series[0].audits.push_back(audit);
  const std::string text = CsvText(series);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
  EXPECT_NE(text.find("\n21,conv1,0,relu,2x3x8x8,fast,,4096.0,1024.0,4.0,0.5,,,,,,,,,\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("\n21,conv1,0,audit,2x3x8x8,fast,conv2,,,,,,,,,,0.25,,,0.75\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace encke::cli
