#include "tools/encke/progress.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <vector>

#include "engine/core/log.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/terminal.h"

namespace encke::cli {
namespace {

constexpr std::chrono::milliseconds kTerminalPause(100);
constexpr std::chrono::seconds kPlainPause(10);
constexpr int kPlainWidth = 200;
constexpr char kGap[] = "  ";
constexpr int64_t kGapWidth = 2;

struct Field {
  int priority;  // the highest is left out last
  std::string text;
};

// 0.5 -> "0.50", 2 -> "2"
std::string Epochs(double epochs) {
  const bool whole = epochs == static_cast<double>(static_cast<int64_t>(epochs));
  return FormatFixed(epochs, whole ? 0 : 2);
}

// "61.2/73.0 MiB", or both units where they differ.
std::string NowAndPeak(int64_t now, int64_t peak) {
  const std::string first = FormatBytes(now), second = FormatBytes(peak);
  const size_t blank = first.find(' ');
  const bool same_unit = first.substr(blank) == second.substr(second.find(' '));
  return (same_unit ? first.substr(0, blank) : first) + "/" + second;
}

// Speed is not known before a few iterations are done.
std::vector<Field> SpeedFields(const Progress& p) {
  if (!(p.images_per_second > 0)) return {};
  const double steps = p.iterations_per_second;
  return {
      {1, StrCat(FormatFixed(steps, steps < 10 ? 2 : 0), " it/s")},
      {5, StrCat(FormatFixed(p.images_per_second, p.images_per_second < 10 ? 1 : 0), " img/s")},
      {6, StrCat("ETA ", FormatDuration(p.eta_seconds))},
  };
}

std::vector<Field> Fields(const Progress& p) {
  std::vector<Field> fields = {
      {9, StrCat("epoch ", FormatFixed(p.epoch, 2), "/", Epochs(p.epochs))},
      {2, StrCat("it ", p.iteration, "/", p.iterations)},
      {8, StrCat("loss ", FormatFixed(p.loss, 3))},
      {7, StrCat("top-1 ", FormatFixed(p.top1, 1), "%")},
      {4, "mem " + NowAndPeak(p.now.total(), p.peak.total())},
      {3, StrCat("ratio ", FormatRatio(p.ratio))},
  };
  for (Field& field : SpeedFields(p)) fields.push_back(std::move(field));
  return fields;
}

// The fields that fit, chosen by priority.
std::vector<bool> Chosen(const std::vector<Field>& fields, int64_t width) {
  std::vector<size_t> order(fields.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return fields[a].priority > fields[b].priority; });
  std::vector<bool> chosen(fields.size(), false);
  int64_t used = 0;
  for (const size_t i : order) {
    const int64_t needed = DisplayWidth(fields[i].text) + (used > 0 ? kGapWidth : 0);
    if (used > 0 && used + needed > width) continue;
    chosen[i] = true;
    used += needed;
  }
  return chosen;
}

}  // namespace

std::string ProgressLine(const Progress& progress, int width) {
  const std::vector<Field> fields = Fields(progress);
  const std::vector<bool> chosen = Chosen(fields, width);
  std::string line;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (chosen[i]) line += (line.empty() ? "" : kGap) + fields[i].text;
  }
  return line;
}

ProgressPrinter::ProgressPrinter() : terminal_(IsTerminal(Stream::ERR)), next_(Clock::now()) {}

ProgressPrinter::~ProgressPrinter() {
  if (terminal_) Log::SetStatus("");
}

void ProgressPrinter::Show(const Progress& progress) {
  const bool last = progress.iteration == progress.iterations;
  if (!last && Clock::now() < next_) return;
  if (terminal_) {
    Log::SetStatus(ProgressLine(progress, TerminalWidth(Stream::ERR, 80) - 1));
    next_ = Clock::now() + kTerminalPause;
  } else {
    std::fprintf(stderr, "%s\n", ProgressLine(progress, kPlainWidth).c_str());
    next_ = Clock::now() + kPlainPause;
  }
}

}  // namespace encke::cli
