// Writing SVG and HTML.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace encke::cli::report {

// Text as it may stand in HTML and in attributes: & < > " ' replaced.
std::string Escape(const std::string& text);

// Pixels at their natural size, up to two decimals.
std::string Px(double value);

struct Point {
  double x = 0, y = 0;
};

inline constexpr double kCharacter = 6.4;  // mean width of a label's character in pixels

enum class Anchor { START, MIDDLE, END };

// How much room a chart has; the page shows the wide or the narrow drawing of it.
struct Canvas {
  double width = 960, height = 320;
  bool narrow = false;
};

// An <svg> being written. Colours come from the page's style sheet, by class.
class Svg {
 public:
  // `description` is read to those who do not see it.
  Svg(const Canvas& canvas, const std::string& description);

  void Line(Point from, Point to, const std::string& css);
  void Text(Point at, const std::string& text, const std::string& css,
            Anchor anchor = Anchor::START);
  // `data`: SVG path data.
  void Path(const std::string& data, const std::string& css);
  void Polyline(const std::vector<Point>& points, const std::string& css);
  // With `tip` not empty the page shows it at the pointer: lines separated by newlines, the first
  // one a title.
  void Circle(Point at, double radius, const std::string& css, const std::string& tip = "");
  void Rectangle(Point corner, double width, double height, const std::string& css);

  std::string Finish() const { return text_ + "</svg>\n"; }

 private:
  std::string text_;
};

// What the page shows while the pointer is over a chart: the text of the nearest place along x.
struct Tips {
  std::vector<double> at;  // 0 at the left of the plot, 1 at its right; ascending
  std::vector<std::string> text;
};

// A titled chart, drawn for wide and for narrow screens. With tips each drawing holds a rectangle
// of class "plot", which the page watches.
struct Figure {
  std::string title, unit;
  Canvas wide, narrow{360, 260, true};
  std::function<std::string(const Canvas&)> draw;
  Tips tips;
};
std::string ToHtml(const Figure& figure);

// Margins between a drawing's edge and its plot.
struct Margins {
  double left = 58, right = 58, top = 12, bottom = 30;
};

}  // namespace encke::cli::report
