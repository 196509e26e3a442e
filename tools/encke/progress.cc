#include "tools/encke/progress.h"

#include <algorithm>
#include <cstdio>
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

struct Field {
  int priority;  // the highest is left out last
  std::string text;
};

// 0.5 -> "0.50", 2 -> "2"
std::string Epochs(double epochs) {
  const bool whole = epochs == static_cast<double>(static_cast<int64_t>(epochs));
  return FormatFixed(epochs, whole ? 0 : 2);
}

std::vector<Field> Fields(const Progress& p, int64_t batch) {
  const double steps_per_second = batch > 0 ? p.images_per_second / static_cast<double>(batch) : 0;
  return {
      {9, StrCat("epoch ", FormatFixed(p.epoch, 2), "/", Epochs(p.epochs))},
      {2, StrCat("it ", p.iteration, "/", p.iterations)},
      {1, StrCat(FormatFixed(steps_per_second, steps_per_second < 10 ? 2 : 0), " it/s")},
      {5, StrCat(FormatFixed(p.images_per_second, p.images_per_second < 10 ? 1 : 0), " img/s")},
      {8, StrCat("loss ", FormatFixed(p.loss, 3))},
      {7, StrCat("top-1 ", FormatFixed(p.top1, 1), "%")},
      {4, StrCat("mem ", FormatBytes(p.now.total()), " / ", FormatBytes(p.peak.total()))},
      {3, StrCat("ratio ", FormatRatio(p.ratio))},
      {6, StrCat("ETA ", FormatDuration(p.eta_seconds))},
  };
}

int64_t WidthOf(const std::vector<Field>& fields) {
  int64_t width = -static_cast<int64_t>(sizeof(kGap) - 1);
  for (const Field& field : fields) {
    width += DisplayWidth(field.text) + static_cast<int64_t>(sizeof(kGap) - 1);
  }
  return width;
}

}  // namespace

std::string ProgressLine(const Progress& progress, int64_t batch, int width) {
  std::vector<Field> fields = Fields(progress, batch);
  while (fields.size() > 1 && WidthOf(fields) > width) {
    fields.erase(std::min_element(fields.begin(), fields.end(), [](const Field& a, const Field& b) {
      return a.priority < b.priority;
    }));
  }
  std::string line;
  for (const Field& field : fields) line += (line.empty() ? "" : kGap) + field.text;
  return line;
}

ProgressPrinter::ProgressPrinter(int64_t batch)
    : batch_(batch), terminal_(IsTerminal(Stream::ERR)), next_(Clock::now()) {}

ProgressPrinter::~ProgressPrinter() {
  if (terminal_) Log::SetStatus("");
}

void ProgressPrinter::Show(const Progress& progress) {
  const bool last = progress.iteration == progress.iterations;
  if (!last && Clock::now() < next_) return;
  if (terminal_) {
    Log::SetStatus(ProgressLine(progress, batch_, TerminalWidth(Stream::ERR, 80) - 1));
    next_ = Clock::now() + kTerminalPause;
  } else {
    std::fprintf(stderr, "%s\n", ProgressLine(progress, batch_, kPlainWidth).c_str());
    next_ = Clock::now() + kPlainPause;
  }
}

}  // namespace encke::cli
