// Pictures of numbers as inline SVG, colored by the page's style.
#ifndef OCTET_CONVERTER_REPORT_HTML_CHARTS_H_
#define OCTET_CONVERTER_REPORT_HTML_CHARTS_H_

#include <string>
#include <vector>

#include "converter/report/layers.h"

namespace octet {

struct ChoicePoint {
  std::string name;
  double x = 0.0;
  double y = 0.0;  ///< Decibels; infinite for what is exact.
};

/// Cost against decibels, with the choices that no other beats in both joined. `id` is unique on
/// the page, `title` its text alternative's beginning.
std::string ChoicesSvg(const std::string& id, const std::string& title, const std::string& x_title,
                       const std::vector<ChoicePoint>& points);

/// Float values of a layer, more often higher by the logarithm, between the ends of the codes.
std::string HistogramSvg(const LayerDifference& layer);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_CHARTS_H_
