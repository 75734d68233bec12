// A conversion's page: of its own samples, on top of an evaluation where there is one.
#ifndef OCTET_CONVERTER_REPORT_HTML_CONVERSION_H_
#define OCTET_CONVERTER_REPORT_HTML_CONVERSION_H_

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "converter/calibrate/sample_source.h"
#include "converter/report/html/page.h"
#include "converter/report/report.h"
#include "formats/model/graph.h"

namespace octet {

/// A file that was made.
struct PageFile {
  const ConversionReport& report;
  std::span<const std::byte> bytes;
};

/// What they were made of.
struct PageSource {
  const std::string& path;
  const Graph& graph;
  Precision own;
  const std::vector<std::string>& data;  ///< That verdicts are of; may be empty.
  const std::string& data_text;          ///< The same, for people.
  std::span<const NamedSample> samples;  ///< Held of the same.
};

/// Fills `page`, which has the models of an evaluation, the source's own first and then those of
/// `files` that are of other precisions, or none. Errors: those of CompareLayers, unless it only
/// does not take the networks, and of reading.
Status FillPage(const PageSource& source, std::span<const PageFile> files,
                const CompareLayersOptions& options, ReportPage* page);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_CONVERSION_H_
