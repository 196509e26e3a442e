#include "tools/encke/environment.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace encke::cli {
namespace {

using namespace std::string_literals;

TEST(ShellLine, QuotesWhatAShellWouldTakeApart) {
  EXPECT_EQ(ShellLine("encke\0train\0--set\0a.b=0.05\0"s), "encke train --set a.b=0.05");
  EXPECT_EQ(ShellLine("encke\0my run\0it's\0\0"s), "encke 'my run' 'it'\\''s' ''");
  EXPECT_EQ(ShellLine(""), "");
}

TEST(EnvironmentJson, SaysWhatTheRunRunsOn) {
  const nlohmann::json environment = nlohmann::json::parse(EnvironmentJson(1));
  EXPECT_EQ(environment.at("threads"), 1);
  EXPECT_GE(environment.at("cores"), 1);
  EXPECT_EQ(environment.at("version").get<std::string>().rfind("encke ", 0), 0u);
  EXPECT_NE(environment.at("command").get<std::string>().find("environment_test"),
            std::string::npos);
  EXPECT_EQ(EnvironmentJson(1).find('\n'), std::string::npos);
}

}  // namespace
}  // namespace encke::cli
