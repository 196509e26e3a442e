#include "tools/encke/report/memory_chart.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "engine/core/units.h"
#include "tools/encke/format.h"
#include "tools/encke/report/axis.h"
#include "tools/encke/report/line_chart.h"
#include "tools/encke/report/stages.h"

namespace encke::cli::report {
namespace {

// From the bottom: what never changes first.
constexpr MemoryCategory kStack[] = {
    MemoryCategory::PARAMETER, MemoryCategory::GRADIENT, MemoryCategory::OPTIMIZER,
    MemoryCategory::DATA,      MemoryCategory::SAVED,    MemoryCategory::TRANSIENT,
    MemoryCategory::WORKSPACE, MemoryCategory::UNUSED,
};

double BytesOf(const MemoryPoint& point, MemoryCategory category) {
  return point.bytes[static_cast<int>(category)];
}

bool Has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

// Where the steps lie along x: each is as wide as the next.
struct Steps {
  Plot plot;
  size_t count;
  double Left(size_t step) const {
    return plot.left +
           (plot.right - plot.left) * static_cast<double>(step) / static_cast<double>(count);
  }
};

// The outline of heights over the steps, from left to right or back.
void AppendEdge(const std::vector<double>& y, const Steps& steps, bool back, std::string* data) {
  for (size_t i = 0; i < y.size(); ++i) {
    const size_t step = back ? y.size() - 1 - i : i;
    const double first = steps.Left(back ? step + 1 : step),
                 last = steps.Left(back ? step : step + 1);
    const bool turns = i == 0 || y[step] != y[back ? step + 1 : step - 1];
    if (i == 0) {
      *data += StrCat(back ? "L" : "M", Px(first), " ", Px(y[step]));
    } else if (turns) {
      *data += StrCat("H", Px(first), "V", Px(y[step]));
    }
    if (i + 1 == y.size()) *data += StrCat("H", Px(last));
  }
}

void DrawStack(const RunData& run, const Axis& bytes, const Steps& steps, Svg* svg) {
  std::vector<double> sum(run.memory.size(), 0.0);
  const auto heights = [&] {
    std::vector<double> y;
    for (const double value : sum) {
      y.push_back(std::round(10 * bytes.Place(value, steps.plot.bottom, steps.plot.top)) / 10);
    }
    return y;
  };
  std::vector<double> below = heights();
  for (const MemoryCategory category : kStack) {
    for (size_t s = 0; s < sum.size(); ++s) sum[s] += BytesOf(run.memory[s], category);
    const std::vector<double> above = heights();
    std::string data;
    AppendEdge(above, steps, /*back=*/false, &data);
    AppendEdge(below, steps, /*back=*/true, &data);
    svg->Path(data + "Z", StrCat("memory ", NameOf(category)));
    below = above;
  }
}

void DrawPrediction(const RunData& run, const Axis& bytes, const Steps& steps, Svg* svg) {
  std::vector<double> y;
  for (const MemoryPoint& point : run.memory) {
    y.push_back(bytes.Place(point.predicted_in_use, steps.plot.bottom, steps.plot.top));
  }
  std::string data;
  AppendEdge(y, steps, /*back=*/false, &data);
  svg->Path(data, "predicted");
}

// The first step that belongs to the backward pass.
size_t FirstBackward(const RunData& run) {
  const auto found =
      std::find_if(run.memory.begin(), run.memory.end(),
                   [](const MemoryPoint& point) { return Has(point.action, "backward"); });
  return static_cast<size_t>(found - run.memory.begin());
}

void DrawPasses(const RunData& run, const Steps& steps, Svg* svg) {
  const size_t turn = FirstBackward(run);
  const double x = steps.Left(turn);
  svg->Line({x, steps.plot.top - 30}, {x, steps.plot.bottom}, "turn");
  svg->Text({x - 7, steps.plot.top - 22}, "forward →", "pass", Anchor::END);
  if (turn < run.memory.size()) svg->Text({x + 7, steps.plot.top - 22}, "backward →", "pass");
}

// The layer that the network is at: steps between those of layers (store, fetch, ...) belong to the
// one before.
std::vector<std::string> LayersOf(const RunData& run) {
  std::vector<std::string> layers;
  for (const MemoryPoint& point : run.memory) {
    const bool computes = Has(point.action, "forward") || Has(point.action, "backward");
    layers.push_back(computes || layers.empty() ? point.layer : layers.back());
  }
  return layers;
}

// Names of the network's stages under the steps that work on them, where there is room.
void DrawStages(const RunData& run, const Steps& steps, Svg* svg) {
  const double y = steps.plot.bottom;
  double written_to = 0;
  for (const Stage& stage : StagesOf(LayersOf(run))) {
    const double left = steps.Left(stage.first), right = steps.Left(stage.last + 1);
    svg->Line({left, y}, {left, y + 6}, "base");
    const double width = kCharacter * static_cast<double>(DisplayWidth(stage.name));
    const double middle = (left + right) / 2;
    const bool fits = width < right - left + 6 && middle - width / 2 > written_to;
    if (!fits) continue;
    svg->Text({middle, y + 17}, stage.name, "tick", Anchor::MIDDLE);
    written_to = middle + width / 2 + 3;
  }
}

// Named above the plot, where nothing is in the way.
void DrawPeak(const RunData& run, const Axis& bytes, const Steps& steps, const Canvas& canvas,
              Svg* svg) {
  const MemoryPoint& peak = PeakOf(run);
  const auto step = static_cast<size_t>(&peak - run.memory.data());
  const double x = (steps.Left(step) + steps.Left(step + 1)) / 2;
  const double y = bytes.Place(peak.in_use, steps.plot.bottom, steps.plot.top);
  svg->Line({x, y}, {x, steps.plot.top - 3}, "leader");
  svg->Circle({x, y}, 4, "peak");
  const std::string size = FormatBytes(std::llround(peak.in_use));
  const std::string text =
      canvas.narrow ? "peak " + size : StrCat("peak ", size, " · ", Describe(peak));
  const bool is_left = x > (steps.plot.left + steps.plot.right) / 2;
  svg->Text({x + (is_left ? 4 : -4), steps.plot.top - 6}, text, "callout",
            is_left ? Anchor::END : Anchor::START);
}

std::string Draw(const RunData& run, const Axis& bytes, const Canvas& canvas) {
  Svg svg(canvas, "Memory over one iteration of " + run.label);
  Margins margins;
  margins.top = 44;
  margins.right = 12;
  const Plot plot = PlotOf(canvas, margins);
  const Steps steps{plot, run.memory.size()};
  DrawGrid(Axis(), bytes, plot, &svg);
  DrawStack(run, bytes, steps, &svg);
  DrawPrediction(run, bytes, steps, &svg);
  DrawPasses(run, steps, &svg);
  DrawStages(run, steps, &svg);
  DrawPeak(run, bytes, steps, canvas, &svg);
  return svg.Finish();
}

std::string TipOf(const MemoryPoint& point) {
  std::string text = StrCat(Describe(point), "\nin use: ", FormatBytes(std::llround(point.in_use)),
                            "\nplanned: ", FormatBytes(std::llround(point.predicted_in_use)));
  for (auto category = std::rbegin(kStack); category != std::rend(kStack); ++category) {
    const double bytes = BytesOf(point, *category);
    if (bytes > 0) text += StrCat("\n", NameOf(*category), ": ", FormatBytes(std::llround(bytes)));
  }
  return text;
}

Tips TipsOf(const RunData& run) {
  Tips tips;
  for (size_t s = 0; s < run.memory.size(); ++s) {
    tips.at.push_back((static_cast<double>(s) + 0.5) / static_cast<double>(run.memory.size()));
    tips.text.push_back(TipOf(run.memory[s]));
  }
  return tips;
}

}  // namespace

Figure MemoryFigure(const RunData& run) {
  double highest = 0;
  for (const MemoryPoint& point : run.memory) {
    highest = std::max({highest, point.total, point.predicted_in_use});
  }
  const Axis bytes = ByteAxis(highest, 5);
  Figure figure;
  figure.title = run.label;
  figure.unit = StrCat("iteration ", run.memory_iteration, ", ", run.memory.size(), " steps");
  figure.wide = {960, 310, false};
  figure.draw = [&run, bytes](const Canvas& canvas) { return Draw(run, bytes, canvas); };
  figure.tips = TipsOf(run);
  return figure;
}

std::string PeakBar(const RunData& run, double widest) {
  std::string html = "<span class=\"stack\">";
  for (const MemoryCategory category : kStack) {
    const double bytes = BytesOf(PeakOf(run), category);
    if (bytes <= 0) continue;
    html +=
        StrCat("<i class=\"", NameOf(category), "\" style=\"width:", Px(100 * bytes / widest),
               "%\" title=\"", NameOf(category), ": ", FormatBytes(std::llround(bytes)), "\"></i>");
  }
  return html + "</span>";
}

const MemoryPoint& PeakOf(const RunData& run) {
  return *std::max_element(
      run.memory.begin(), run.memory.end(),
      [](const MemoryPoint& a, const MemoryPoint& b) { return a.in_use < b.in_use; });
}

std::string MemoryLegend() {
  std::string html = "<p class=\"legend\">";
  for (auto category = std::rbegin(kStack); category != std::rend(kStack); ++category) {
    const char* name = NameOf(*category);
    html += StrCat("<span class=\"key\"><svg viewBox=\"0 0 12 12\"><rect class=\"memory ", name,
                   "\" width=\"12\" height=\"12\"/></svg>", name, "</span> ");
  }
  return html +
         "<span class=\"key\"><svg viewBox=\"0 0 12 12\"><path class=\"predicted\" d=\"M0 6H12\"/>"
         "</svg>in use, as planned</span></p>\n";
}

std::string Describe(const MemoryPoint& point) {
  if (point.action == "input") return "input";
  std::string action = point.action;
  std::replace(action.begin(), action.end(), '_', ' ');
  return StrCat(action, " of ", point.layer);
}

}  // namespace encke::cli::report
