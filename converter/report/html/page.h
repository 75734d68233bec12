// What a conversion, a comparison or an evaluation found, as one HTML file that needs nothing else.
#ifndef OCTET_CONVERTER_REPORT_HTML_PAGE_H_
#define OCTET_CONVERTER_REPORT_HTML_PAGE_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "converter/report/layers.h"
#include "converter/report/verdict.h"
#include "converter/tune/tune.h"
#include "engine/include/octet/octet.h"

namespace octet {

/// A network of the run.
struct PageModel {
  std::string name;       ///< Its path, for people.
  std::string precision;  ///< PrecisionName.
  int64_t bytes = 0;
  double ms = 0.0;  ///< Median; 0: not measured.
  // Of the page's samples, against the first model's answers; those with labels.
  int64_t labels_kept = 0;
  std::optional<double> sqnr_db;  ///< As in Verdict; nothing: not measured.
  int64_t correct = 0, lost = 0, won = 0;
  std::map<std::pair<int, int>, int64_t> confusion;  ///< By true class and the one that it said.
  std::optional<LayerReport> layers;
  std::vector<TuneResult> tuning;    ///< Steps that were tried.
  std::vector<std::string> budget;   ///< BudgetLines; empty where none was given.
  std::vector<std::string> by_hand;  ///< Layers of another precision: "conv1 in fp32".

  bool decided() const { return !tuning.empty() || !budget.empty() || !by_hand.empty(); }
};

struct PagePhoto {
  std::string name;
  int label = -1;                   ///< The true class; -1 unknown.
  std::vector<Prediction> answers;  ///< The best one of each model.
  std::string jpeg;                 ///< What the network sees, small; empty where it is no image.
};

/// A picture beside its words.
struct PagePicture {
  std::string caption;
  std::string mime, bytes;
  int width = 0, height = 0;
};

struct ReportPage {
  std::string title;  ///< The network's name.
  std::string data;   ///< What the samples are, for people; empty for none.
  int64_t samples = 0, labelled = 0;
  std::string not_measured;  ///< Why there are no samples.
  std::vector<std::string> labels, warnings;
  std::vector<PageModel> models;  ///< The original first.
  std::vector<PagePhoto> photos;  ///< In the order to be shown.
  int64_t photos_in_all = 0;
  std::string preprocessing;  ///< In words.
  std::vector<PagePicture> prepared;
  std::vector<std::pair<std::string, std::string>> provenance;
  std::string command;  ///< That repeats it.
};

/// Whatever the page has to leave out for it is told there.
inline constexpr size_t kMostPageBytes = 2'000'000;

/// The file. The same page gives the same bytes. Whatever comes from files is escaped, and bytes
/// that are not UTF-8 become U+FFFD.
std::string PageHtml(const ReportPage& page);

/// As text of an element or a quoted attribute.
std::string EscapeHtml(const std::string& text);

/// What the first model and `model` are to each other, where a verdict tells.
void SetVerdict(const Verdict& verdict, PageModel* first, PageModel* model, ReportPage* page);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_PAGE_H_
