#include "tools/encke/report/svg.h"

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace encke::cli::report {
namespace {

const char* NameOf(Anchor anchor) {
  switch (anchor) {
    case Anchor::START:
      return "start";
    case Anchor::MIDDLE:
      return "middle";
    case Anchor::END:
      return "end";
  }
  return "start";
}

// JSON that may stand in a <script>: no tag can begin in it.
std::string ScriptJson(const nlohmann::json& value) {
  std::string safe;
  for (const char c : value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    safe += c == '<' ? std::string("\\u003c") : std::string(1, c);
  }
  return safe;
}

std::string TipsHtml(const Tips& tips) {
  if (tips.at.empty()) return "";
  nlohmann::json at = nlohmann::json::array();
  for (const double place : tips.at) at.push_back(std::round(place * 1e4) / 1e4);
  return StrCat("<script type=\"application/json\">", ScriptJson({{"at", at}, {"text", tips.text}}),
                "</script>\n");
}

}  // namespace

std::string Escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string Px(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", value);
  std::string short_text = text;
  short_text.erase(short_text.find_last_not_of('0') + 1);
  if (short_text.back() == '.') short_text.pop_back();
  return short_text == "-0" ? "0" : short_text;
}

Svg::Svg(const Canvas& canvas, const std::string& description)
    : text_(StrCat("<svg class=\"", canvas.narrow ? "narrow" : "wide", "\" viewBox=\"0 0 ",
                   Px(canvas.width), " ", Px(canvas.height), "\" role=\"img\" aria-label=\"",
                   Escape(description), "\">")) {}

void Svg::Line(Point from, Point to, const std::string& css) {
  text_ += StrCat("<line class=\"", css, "\" x1=\"", Px(from.x), "\" y1=\"", Px(from.y), "\" x2=\"",
                  Px(to.x), "\" y2=\"", Px(to.y), "\"/>");
}

void Svg::Text(Point at, const std::string& text, const std::string& css, Anchor anchor) {
  text_ += StrCat("<text class=\"", css, "\" x=\"", Px(at.x), "\" y=\"", Px(at.y),
                  "\" text-anchor=\"", NameOf(anchor), "\">", Escape(text), "</text>");
}

void Svg::Path(const std::string& data, const std::string& css) {
  text_ += StrCat("<path class=\"", css, "\" d=\"", data, "\"/>");
}

void Svg::Polyline(const std::vector<Point>& points, const std::string& css) {
  if (points.empty()) return;
  std::string data;
  for (const Point& point : points) {
    data += StrCat(data.empty() ? "M" : "L", Px(point.x), " ", Px(point.y));
  }
  Path(data, css);
}

void Svg::Circle(Point at, double radius, const std::string& css, const std::string& tip) {
  text_ += StrCat("<circle class=\"", css, "\" cx=\"", Px(at.x), "\" cy=\"", Px(at.y), "\" r=\"",
                  Px(radius), "\"");
  if (!tip.empty()) text_ += StrCat(" data-tip=\"", Escape(tip), "\"");
  text_ += "/>";
}

void Svg::Rectangle(Point corner, double width, double height, const std::string& css) {
  text_ += StrCat("<rect class=\"", css, "\" x=\"", Px(corner.x), "\" y=\"", Px(corner.y),
                  "\" width=\"", Px(width), "\" height=\"", Px(height), "\"/>");
}

std::string ToHtml(const Figure& figure) {
  return StrCat("<figure class=\"chart\"><figcaption><b>", Escape(figure.title), "</b> <span>",
                Escape(figure.unit), "</span></figcaption>\n", figure.draw(figure.wide),
                figure.draw(figure.narrow), TipsHtml(figure.tips), "</figure>\n");
}

}  // namespace encke::cli::report
