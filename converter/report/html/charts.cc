#include "converter/report/html/charts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>

#include "converter/report/html/page.h"
#include "converter/report/report.h"
#include "formats/base/str_cat.h"
#include "formats/data/table.h"

namespace octet {
namespace {

/// Of drawings: enough for a line to be where it should be.
std::string At(double v) {
  std::string s = Fixed(v, 1);
  if (s.ends_with(".0")) s.resize(s.size() - 2);
  return s;
}

/// 1, 2 or 5 times a power of ten, so that about four of them span `span`.
double Step(double span) {
  const double power = std::pow(10.0, std::floor(std::log10(span / 4.0)));
  for (const double factor : {1.0, 2.0, 5.0})
    if (span / (factor * power) <= 5.0) return factor * power;
  return 10.0 * power;
}

struct Box {
  double x, y, width, height;
  bool Meets(const Box& o) const {
    return x < o.x + o.width && o.x < x + width && y < o.y + o.height && o.y < y + height;
  }
};

std::string Line(double x1, double y1, double x2, double y2, const char* kind) {
  return StrCat("<line class=\"", kind, "\" x1=\"", At(x1), "\" y1=\"", At(y1), "\" x2=\"", At(x2),
                "\" y2=\"", At(y2), "\"/>");
}

std::string Text(double x, double y, const char* kind, const std::string& text) {
  return StrCat("<text class=\"", kind, "\" x=\"", At(x), "\" y=\"", At(y), "\">", EscapeHtml(text),
                "</text>");
}

}  // namespace

std::string ChoicesSvg(const std::string& id, const std::string& title, const std::string& x_title,
                       const std::vector<ChoicePoint>& points) {
  constexpr double kWidth = 360, kHeight = 270, kLeft = 44, kRight = 344, kTop = 34, kBottom = 226,
                   kExactGap = 26, kLetter = 7.2;
  double most = 0.0, low = 1e9, high = -1e9;
  bool any_exact = false;
  std::string described = title + ": ";
  for (const ChoicePoint& p : points) {
    most = std::max(most, p.x);
    described += StrCat(&p == &points[0] ? "" : "; ", p.name, " ", Fixed(p.x, p.x < 10 ? 2 : 0),
                        " at ", DecibelText(p.y));
    if (std::isinf(p.y)) {
      any_exact = true;
    } else {
      low = std::min(low, p.y), high = std::max(high, p.y);
    }
  }
  if (low > high) low = 0.0, high = 40.0;
  const double spread = std::max(0.0, 10.0 - (high - low)) / 2.0;
  low -= spread, high += spread;
  const double y_step = Step(high - low), x_step = Step(most * 1.05);
  low = std::floor((low - 0.35 * y_step) / y_step) * y_step;
  high = std::ceil((high + 0.35 * y_step) / y_step) * y_step;
  const double top = any_exact ? kTop + kExactGap : kTop, x_end = most * 1.08;
  const auto to_x = [&](double v) { return kLeft + v / x_end * (kRight - kLeft); };
  const auto to_y = [&](double v) {
    return std::isinf(v) ? kTop : kBottom - (v - low) / (high - low) * (kBottom - top);
  };
  std::string svg = StrCat("<svg class=\"choices\" viewBox=\"0 0 ", kWidth, " ", kHeight,
                           "\" role=\"img\" aria-labelledby=\"", id, "\"><title id=\"", id, "\">",
                           EscapeHtml(described), "</title>");
  for (double v = low; v <= high + 0.01 * y_step; v += y_step) {
    svg += Line(kLeft, to_y(v), kRight, to_y(v), "grid");
    svg += Text(kLeft - 7, to_y(v) + 4, "tick end", Fixed(v, y_step < 1.0 ? 1 : 0));
  }
  if (any_exact) {
    svg += Line(kLeft, kTop, kRight, kTop, "grid exact");
    svg += Text(kLeft - 7, kTop + 4, "tick end", "exact");
  }
  const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(x_step))));
  for (double v = 0.0; v <= x_end; v += x_step)
    svg += Text(to_x(v), kBottom + 18, "tick middle", Fixed(v, decimals));
  svg += Text(kLeft - 36, 14, "axis", "dB");
  svg += Text(kRight, kBottom + 38, "axis end", x_title);

  std::vector<ChoicePoint> sorted = points;
  std::stable_sort(sorted.begin(), sorted.end(), [](const ChoicePoint& a, const ChoicePoint& b) {
    return a.x != b.x ? a.x < b.x : a.y > b.y;
  });
  std::string path;
  double best = -1e9;
  std::vector<Box> taken;
  for (const ChoicePoint& p : sorted) {
    taken.push_back({to_x(p.x) - 7, to_y(p.y) - 7, 14, 14});
    if (p.y <= best) continue;
    path += path.empty() ? StrCat("M", At(to_x(p.x)), " ", At(to_y(p.y)))
                         : StrCat("H", At(to_x(p.x)), "V", At(to_y(p.y)));
    best = p.y;
  }
  svg += StrCat("<path class=\"front\" d=\"", path, "\"/>");
  for (const ChoicePoint& p : sorted) {
    const double x = to_x(p.x), y = to_y(p.y), width = kLetter * static_cast<double>(p.name.size());
    Box label{x + 10, y - 8, width, 16};
    for (const auto& [dx, dy] :
         std::initializer_list<std::pair<double, double>>{{10, -8},
                                                          {-10 - width, -8},
                                                          {-width / 2, 9},
                                                          {-width / 2, -25},
                                                          {10, 8},
                                                          {10, -24},
                                                          {-10 - width, 8},
                                                          {-10 - width, -24}}) {
      const Box at{x + dx, y + dy, width, 16};
      const bool free =
          at.x >= kLeft && at.x + width <= kWidth && at.y >= 18 && at.y + 16 <= kBottom &&
          std::none_of(taken.begin(), taken.end(), [&](const Box& b) { return at.Meets(b); });
      if (!free) continue;
      label = at;
      break;
    }
    taken.push_back(label);
    svg += StrCat("<circle class=\"point", std::isinf(p.y) ? " original" : "", "\" cx=\"", At(x),
                  "\" cy=\"", At(y), "\" r=\"5\"/>");
    svg += Text(label.x, label.y + 12, "name", p.name);
  }
  return svg + "</svg>";
}

std::string HistogramSvg(const LayerDifference& d) {
  constexpr double kBar = 5, kHeight = 64;
  const double most = std::log1p(static_cast<double>(std::ranges::max(d.histogram)));
  std::array<std::string, 2> bars;  // Within, and beyond.
  for (int i = 0; i < kHistogramBins; ++i) {
    const auto count = static_cast<double>(d.histogram[static_cast<size_t>(i)]);
    if (count == 0.0) continue;
    const double height = std::max(1.0, kHeight * std::log1p(count) / most);
    bars[i < kHistogramBeyond || i >= kHistogramBins - kHistogramBeyond] +=
        StrCat("M", At(i * kBar), " ", At(4 + kHeight), "v-", At(height), "h4v", At(height), "z");
  }
  std::string svg = StrCat("<svg class=\"histogram\" viewBox=\"0 0 ", kHistogramBins * kBar, " ",
                           kHeight + 6, "\" aria-hidden=\"true\">");
  if (!bars[0].empty()) svg += StrCat("<path d=\"", bars[0], "\"/>");
  if (!bars[1].empty()) svg += StrCat("<path class=\"beyond\" d=\"", bars[1], "\"/>");
  for (const int edge : {kHistogramBeyond, kHistogramBins - kHistogramBeyond})
    svg += Line(edge * kBar - 0.5, 0, edge * kBar - 0.5, kHeight + 6, "edge");
  return svg + Line(0, kHeight + 4.5, kHistogramBins * kBar, kHeight + 4.5, "grid") + "</svg>";
}

}  // namespace octet
