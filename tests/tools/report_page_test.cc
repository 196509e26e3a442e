// The page: nothing of it comes from elsewhere, names cannot break out of it, and what is missing
// is said in words.
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "tests/tools/run_files.h"
#include "tools/encke/report/page.h"

namespace encke::cli::report {
namespace {

using test::NewFolder;
using test::WriteFile;
using test::WriteRun;

std::string PageOf(const std::vector<std::string>& paths) {
  Runs runs;
  for (const std::string& path : paths) runs.push_back(ReadRun(path));
  LabelRuns(&runs);
  return Page(runs);
}

bool Has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(Page, IsOneFileThatNeedsNoNetwork) {
  const std::string page = PageOf({WriteRun("network", "conv1")});
  EXPECT_FALSE(Has(page, "http:") || Has(page, "https:") || Has(page, "src=")) << page;
  EXPECT_FALSE(Has(page, "@import") || Has(page, "<link") || Has(page, "{{"));
  EXPECT_TRUE(Has(page, "<style>") && Has(page, "prefers-color-scheme: dark"));
  EXPECT_EQ(page.rfind("<!DOCTYPE html>", 0), 0u);
}

TEST(Page, HasEverySectionOnceAndClosesWhatItOpens) {
  const std::string page = PageOf({WriteRun("sections", "conv1")});
  for (const char* id :
       {"runs", "learning", "memory", "layers", "ratio", "audits", "trade", "provenance"}) {
    EXPECT_EQ(Count(page, std::string("<section id=\"") + id + "\""), 1u) << id;
    EXPECT_EQ(Count(page, std::string("href=\"#") + id + "\""), 1u) << id;
  }
  for (const char* tag : {"section", "svg", "table", "tbody", "tr", "details", "div", "figure"}) {
    const std::regex opened(std::string("<") + tag + "[ >]");
    const auto begin = std::sregex_iterator(page.begin(), page.end(), opened);
    EXPECT_EQ(static_cast<size_t>(std::distance(begin, std::sregex_iterator())),
              Count(page, std::string("</") + tag + ">"))
        << tag;
  }
}

TEST(Page, ShowsTheFiguresOfTheRun) {
  const std::string page = PageOf({WriteRun("figures", "conv1")});
  EXPECT_TRUE(Has(page, "61.25%")) << "test accuracy";
  EXPECT_TRUE(Has(page, "8.00x")) << "ratio";
  EXPECT_TRUE(Has(page, "peak 5.32 KiB · backward of conv1")) << "the step with the most in use";
  EXPECT_TRUE(Has(page, "<b>100.0%</b> of 1 audits within [0.8, 1.25]"));
  EXPECT_TRUE(Has(page, "quotient: 1.10"));
  EXPECT_TRUE(Has(page, "<code>encke train tiny</code>"));
}

TEST(Page, NamesCannotBreakOutOfIt) {
  const std::string name = "</script><script>alert(1)</script>&\"'";
  const std::string page = PageOf({WriteRun("hostile", name)});
  EXPECT_FALSE(Has(page, "<script>alert")) << "neither in HTML nor in the tips' JSON";
  EXPECT_FALSE(Has(page, "\"'\"")) << "nor out of an attribute";
  EXPECT_TRUE(Has(page, "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;"));
}

TEST(Page, SaysWhatIsMissing) {
  const std::string path = NewFolder("empty");
  WriteFile(path + "/config.textproto", "name: \"empty\"\n");
  const std::string page = PageOf({path});
  for (const char* words :
       {"No metrics were logged", "memory.csv is missing", "No saved values were logged",
        "No run of this report compressed anything", "There was no audit",
        "at least two runs that were evaluated", "The environment was not recorded",
        "Nothing was logged yet"}) {
    EXPECT_TRUE(Has(page, words)) << words;
  }
  for (const char* not_a_number : {">nan", " nan", "nan%", "\"nan"}) {
    EXPECT_FALSE(Has(page, not_a_number)) << not_a_number;
  }
}

TEST(Page, PutsRunsSideBySide) {
  const std::string raw = "activations {\n  mode: RAW\n}\n";
  const std::string dense = "activations {\n  codec: \"dense\"\n}\n";
  const std::string page =
      PageOf({WriteRun("a", "conv1", raw), WriteRun("b", "conv1", dense), WriteRun("c", "conv1")});
  EXPECT_TRUE(Has(page, "encke dense, training: 1.000")) << "tips name the runs";
  EXPECT_TRUE(Has(page, "What differs"));
  EXPECT_TRUE(Has(page, "<code>activations.codec</code>"));
  EXPECT_EQ(Count(page, "<figcaption><b>Test accuracy</b>"), 1u);
  EXPECT_FALSE(Has(page, "at least two runs"));
}

TEST(Page, NamesDamagedLines) {
  const std::string path = WriteRun("warned", "conv1");
  WriteFile(path + "/metrics.jsonl", "{\"iteration\":\n");
  EXPECT_TRUE(Has(PageOf({path}), "metrics.jsonl:1: damaged line left out"));
}

TEST(Page, LongNetworksOpenWithTheirStages) {
  const std::string path = WriteRun("long", "conv1");
  std::string lines;
  for (int i = 0; i < 150; ++i) {
    lines += "{\"iteration\":20,\"layer\":\"layer" + std::to_string(i / 50) + "." +
             std::to_string(i) + ".conv1\",\"value\":" + std::to_string(i) +
             ",\"raw_bytes\":4096,\"stored_bytes\":512}\n";
  }
  WriteFile(path + "/activations.jsonl", lines);
  const std::string page = PageOf({path});
  EXPECT_TRUE(Has(page, "<table class=\"layers long\">"));
  EXPECT_EQ(Count(page, "<tr class=\"stage\">"), 3u);
  EXPECT_EQ(Count(page, "data-order="), 150u);
}

}  // namespace
}  // namespace encke::cli::report
