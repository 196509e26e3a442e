#include "tools/encke/activation_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "engine/core/error.h"

namespace encke::cli {
namespace {

std::string WriteLog(const std::string& text) {
  const std::string path = testing::TempDir() + "/activations.jsonl";
  std::ofstream(path) << text;
  return path;
}

constexpr char kTwoLayers[] =
    R"({"iteration":1,"layer":"conv1","value":0,"shape":[2,3,8,8],"codec":"fast","raw_bytes":800,)"
    R"("stored_bytes":400,"error_bound":0.01,"nonzero_fraction":0.5,"predicted_sigma":0.002,)"
    R"("measured_sigma":0.0018,"encode_us":10,"decode_us":5})"
    "\n"
    R"({"iteration":1,"layer":"fc","value":3,"raw_bytes":100,"stored_bytes":50})"
    "\n"
    R"({"iteration":1,"layer":"conv1","value":0,"kind":"audit","consumer":"conv2","raw_bytes":0,)"
    R"("stored_bytes":0,"predicted_sigma":0.002,"measured_sigma":0.0022,"bias":-0.01})"
    "\n"
    R"({"iteration":21,"layer":"conv1","value":0,"raw_bytes":800,"stored_bytes":100,)"
    R"("predicted_sigma":null})"
    "\n";

TEST(ActivationLog, GroupsEntriesByValueInOrder) {
  const ActivationLog log = ReadActivationLog(WriteLog(kTwoLayers));
  ASSERT_EQ(log.series.size(), 2u);
  EXPECT_TRUE(log.warnings.empty());
  const ActivationSeries& conv = log.series[0];
  EXPECT_EQ(conv.layer, "conv1");
  ASSERT_EQ(conv.entries.size(), 2u);
  EXPECT_DOUBLE_EQ(conv.entries[0].ratio(), 2);
  EXPECT_DOUBLE_EQ(conv.last().ratio(), 8);
}

TEST(ActivationLog, WhatALineDoesNotSayIsUnknown) {
  const ActivationLog log = ReadActivationLog(WriteLog(kTwoLayers));
  const ActivationSeries& conv = log.series[0];
  EXPECT_TRUE(std::isnan(conv.last().predicted_sigma));
  EXPECT_TRUE(std::isnan(conv.last().encode_us));
  EXPECT_TRUE(std::isnan(log.series[1].LastAudit().measured_sigma));
}

TEST(ActivationLog, GivesTheWorstOfTheNewestAudits) {
  const ActivationLog log = ReadActivationLog(WriteLog(kTwoLayers));
  ASSERT_EQ(log.series[0].audits.size(), 2u);
  const AuditEntry audit = log.series[0].LastAudit();
  EXPECT_EQ(audit.consumer, "conv2");
  EXPECT_NEAR(audit.quotient(), 1.1, 1e-12);
  EXPECT_DOUBLE_EQ(audit.bias, -0.01);
}

TEST(ActivationLog, LeavesOutLaterIterations) {
  const ActivationLog log = ReadActivationLog(WriteLog(kTwoLayers), 20);
  EXPECT_EQ(log.series[0].last().iteration, 1);
}

TEST(ActivationLog, SkipsDamagedLinesAndNamesThem) {
  const std::string text = std::string("{\"iteration\": 1, \"lay\n\n[1, 2]\n{}\n") + kTwoLayers +
                           "{\"iteration\":41,\"layer\":\"conv1\",\"raw_by";
  const ActivationLog log = ReadActivationLog(WriteLog(text));
  EXPECT_EQ(log.series.size(), 2u);
  ASSERT_EQ(log.warnings.size(), 4u);
  EXPECT_NE(log.warnings[0].find("activations.jsonl:1:"), std::string::npos);
  EXPECT_NE(log.warnings[1].find("activations.jsonl:3:"), std::string::npos);
  EXPECT_NE(log.warnings[2].find("activations.jsonl:4:"), std::string::npos);
  EXPECT_NE(log.warnings[3].find("activations.jsonl:9:"), std::string::npos);
}

TEST(ActivationLog, MissingOrEmptyLogsAreDataErrors) {
  for (const std::string& path : {testing::TempDir() + "/no such run", WriteLog("")}) {
    try {
      ReadActivationLog(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::DATA);
    }
  }
}

}  // namespace
}  // namespace encke::cli
