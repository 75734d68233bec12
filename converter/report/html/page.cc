// Section by section. A page that becomes too large is made again with fewer photos and layers, and
// shorter names.
#include "converter/report/html/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <set>
#include <string_view>

#include "converter/report/html/charts.h"
#include "converter/report/report.h"
#include "formats/base/str_cat.h"
#include "formats/data/table.h"
#include "formats/model/preprocessing.h"
#include "page_assets.h"

namespace octet {
namespace {

constexpr char kNone[] = "–";
/// Of 100, on one line with its number.
constexpr char kPercent[] = "\u00a0%";
constexpr size_t kMostMatrix = 20, kMostPairs = 20, kMostHistograms = 12;

/// Bytes of the UTF-8 letter at the beginning; 0 where there is none.
size_t LetterBytes(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(s[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || s.size() < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  const bool bad = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) > 0x9f) ||
                   (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) > 0x8f);
  return bad ? 0 : size;
}

/// Whether it shows nothing, or turns the text behind it around.
bool IsHidden(std::string_view letter) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(letter[i]); };
  if (letter.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7f;
  if (letter.size() == 2) return byte(0) == 0xc2 && byte(1) < 0xa0;
  if (letter.size() != 3) return false;
  if (byte(0) == 0xef) return byte(1) == 0xbf && byte(2) >= 0xbe;  // U+FFFE and U+FFFF
  return byte(0) == 0xe2 && ((byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae) ||
                             (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9));
}

/// Escaped names may go on in the next line behind what divides them.
std::string Breakable(const std::string& html) {
  std::string out;
  for (const char c : html) {
    out += c;
    if (c == '/' || c == '.') out += "<wbr>";
  }
  return out;
}

std::string Base64(const std::string& bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t three = 0;
    for (size_t j = i; j < i + 3; ++j)
      three = three << 8 | (j < bytes.size() ? static_cast<uint8_t>(bytes[j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kDigits[three >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::string Short(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.3g", value);
  return text;
}

std::string Decibels(double db) { return std::isinf(db) ? "exact" : Fixed(db, 1); }

/// Of 1.
std::string ShareText(double share) {
  if (share == 0.0) return kNone;
  return share < 0.001 ? "<0.1\u00a0%" : Fixed(100.0 * share, 1) + kPercent;
}

std::string SizeText(int64_t bytes) {
  return bytes < 100'000 ? Fixed(static_cast<double>(bytes) / 1e3, 1) + " kB"
                         : Fixed(static_cast<double>(bytes) / 1e6, 2) + " MB";
}

std::string Milliseconds(double ms) { return Fixed(ms, ms < 10.0 ? 3 : 1); }

/// By which a layer is colored.
struct ErrorClass {
  double below;
  const char *style, *text;
};
constexpr ErrorClass kErrorClasses[] = {
    {10.0, "e4", "below 10 dB"},
    {20.0, "e3", "10 to 20"},
    {30.0, "e2", "20 to 30"},
    {40.0, "e1", "30 to 40"},
    {std::numeric_limits<double>::infinity(), "e0", "40 dB and more, or exact"}};

const char* ErrorStyle(const LayerDifference& d) {
  if (d.precision.empty()) return "e-none";
  for (const ErrorClass& c : kErrorClasses)
    if (d.sqnr_db < c.below) return c.style;
  return "e0";
}

std::string CauseText(const LayerDifference& d) {
  const std::pair<double, const char*> most =
      std::max({std::pair{d.weights, "weights"}, {d.ranges, "ranges"}, {d.rounding, "rounding"}});
  return most.first == 0.0 ? kNone
                           : StrCat(most.second, " ", Fixed(100.0 * most.first, 0), kPercent);
}

std::string SentenceOf(const LayerDifference& d) {
  std::string s = StrCat(d.name, " (", d.type, ")");
  if (d.precision.empty()) return s + ": not in the other network";
  s += StrCat(", ", d.precision, ": ", DecibelText(d.sqnr_db));
  if (d.share > 0.0)
    s += StrCat("; ", ShareText(d.share), " of the error, most of it from ", CauseText(d));
  return s;
}

/// What a page can hold.
struct Limits {
  size_t photos, layers, letters;
};

class Page {
 public:
  Page(const ReportPage& page, const Limits& limits) : page_(page), limits_(limits) {}

  std::string Html() {
    Head();
    Warnings();
    Precisions();
    Layers();
    Decisions();
    Confusion();
    Photos();
    Preparation();
    Provenance();
    std::string nav;
    for (const std::string& id : sections_) {
      nav += StrCat("<li><a href=\"#", id, "\">", static_cast<char>(id[0] - 'a' + 'A'),
                    id.substr(1), "</a></li>\n");
    }
    return StrCat("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n",
                  "<link rel=\"icon\" href=\"data:,\">\n<title>", Text(page_.title),
                  ": octet report</title>\n<style>\n", kPageStyle,
                  "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">Skip to the "
                  "report</a>\n",
                  head_, "<nav aria-label=\"Sections\"><ul>\n", nav,
                  "</ul></nav>\n<main id=\"main\">\n", html_, "</main>\n<footer>Made by octet ",
                  kPageVersion, ". Nothing on this page comes from elsewhere.</footer>\n<script>\n",
                  kPageScript, "</script>\n</body>\n</html>\n");
  }

 private:
  /// Escaped, and cut where it is too long for a page.
  std::string Text(const std::string& s) const {
    if (s.size() <= limits_.letters) return EscapeHtml(s);
    size_t cut = limits_.letters;
    while (cut > 0 && (static_cast<uint8_t>(s[cut]) & 0xc0) == 0x80) --cut;
    return EscapeHtml(s.substr(0, cut)) + "…";
  }

  void Open(const char* id, const char* title, const std::string& lead = "",
            const char* style = "") {
    sections_.emplace_back(id);
    html_ += StrCat("<section id=\"", id, "\" aria-labelledby=\"", id, "-title\"",
                    *style != '\0' ? StrCat(" class=\"", style, "\"") : "", ">\n<h2 id=\"", id,
                    "-title\">", title, "</h2>\n");
    if (!lead.empty()) html_ += StrCat("<p class=\"lead\">", lead, "</p>\n");
  }
  void Close() { html_ += "</section>\n"; }

  /// Wide tables scroll by themselves, also by keyboard.
  void OpenTable(const std::string& caption, const std::string& name, const std::string& style) {
    html_ +=
        StrCat("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"", name,
               "\"><table class=\"", style, "\"><caption><span>", caption, "</span></caption>\n");
  }
  void CloseTable() { html_ += "</tbody></table></div>\n"; }

  static std::string Cell(const std::string& html, const char* style = "") {
    return StrCat("<td", *style != '\0' ? StrCat(" class=\"", style, "\"") : "", ">", html,
                  "</td>");
  }

  std::string Label(int label) const {
    if (label < 0) return "unknown";
    const auto at = static_cast<size_t>(label);
    return at < page_.labels.size() ? Text(page_.labels[at]) : std::to_string(label);
  }

  bool measured() const { return page_.samples > 0; }
  const PageModel& first() const { return page_.models[0]; }
  /// The one that the page is mostly about: the fastest of the others.
  const PageModel* Chosen() const {
    const PageModel* chosen = nullptr;
    for (const PageModel& m : page_.models) {
      if (&m == &first()) continue;
      if (chosen == nullptr || m.ms < chosen->ms) chosen = &m;
    }
    return chosen;
  }
  std::string PercentOf(double part, double whole) const {
    return whole > 0.0 ? Fixed(100.0 * part / whole, 0) + kPercent : kNone;
  }
  std::string Accuracy(const PageModel& m) const {
    return Fixed(100.0 * static_cast<double>(m.correct) / static_cast<double>(page_.labelled), 1) +
           kPercent;
  }

  std::string VerdictSentences() const {
    const PageModel* m = Chosen();
    if (!measured()) {
      return StrCat("What it cost was not measured: ", Text(page_.not_measured), ".");
    }
    if (m == nullptr) {
      return page_.labelled == 0 ? StrCat("Measured on ", page_.samples, " samples.")
                                 : StrCat("Right on ", first().correct, " of ", page_.labelled,
                                          " labelled samples (", Accuracy(first()), ").");
    }
    std::string s =
        StrCat(m->precision, " keeps the label of ", m->labels_kept, " of ", page_.samples,
               " samples, at ",
               PercentOf(static_cast<double>(m->bytes), static_cast<double>(first().bytes)),
               " of the size");
    if (m->ms > 0.0 && first().ms > 0.0)
      s += StrCat(" and ", PercentOf(m->ms, first().ms), " of the time");
    s += StrCat(" of ", first().precision, ".");
    if (page_.labelled > 0) {
      const int64_t drop = first().correct - m->correct;
      const double p = McNemar(m->lost, m->won);
      s += StrCat(" It is right on ", Accuracy(*m), ", ",
                  drop == 0 ? "as before"
                            : StrCat(Fixed(std::fabs(100.0 * static_cast<double>(drop) /
                                                     static_cast<double>(page_.labelled)),
                                           1),
                                     " points ", drop > 0 ? "less" : "more",
                                     p >= 0.05 ? ": no more than chance gives"
                                               : ": more than chance gives"),
                  drop == 0 ? "." : StrCat(" (p\u00a0=\u00a0", Fixed(p, 2), ")."));
    }
    return s;
  }

  void Fact(const char* name, const std::string& value, const std::string& beside) {
    head_ +=
        StrCat("<div><dt>", name, "</dt><dd>", value, "<small>", beside, "</small></dd></div>\n");
  }

  void Head() {
    head_ = StrCat("<header>\n<p class=\"kind\">octet report</p>\n<h1>", Text(page_.title),
                   "</h1>\n<p class=\"verdict\">", VerdictSentences(), "</p>\n");
    const PageModel* chosen = Chosen();
    const PageModel& m = chosen != nullptr ? *chosen : first();
    head_ += "<dl class=\"facts\">\n";
    const std::string of = StrCat(m.precision, " of ");
    if (measured() && chosen != nullptr) {
      Fact("Labels kept", StrCat(m.labels_kept, " of ", page_.samples),
           StrCat(PercentOf(static_cast<double>(m.labels_kept), static_cast<double>(page_.samples)),
                  ", ", m.precision));
    }
    if (page_.labelled > 0)
      Fact("Accuracy", Accuracy(m),
           chosen != nullptr ? StrCat(Accuracy(first()), " before") : m.precision);
    if (chosen != nullptr && m.sqnr_db)
      Fact("Signal to noise", DecibelText(*m.sqnr_db), "of the outputs");
    Fact("Size", SizeText(m.bytes),
         chosen != nullptr ? SizeText(first().bytes) + " before" : m.precision);
    if (m.ms > 0.0) {
      Fact("Time of an image", Milliseconds(m.ms) + " ms",
           chosen != nullptr ? Milliseconds(first().ms) + " ms before" : "median");
    }
    head_ += "</dl>\n</header>\n";
  }

  void Warnings() {
    if (page_.warnings.empty()) return;
    Open("warnings", page_.warnings.size() == 1 ? "A warning" : "Warnings", "", "warnings");
    List(page_.warnings, "");
    Close();
  }

  void List(const std::vector<std::string>& lines, const char* style) {
    html_ += StrCat("<ul", *style != '\0' ? StrCat(" class=\"", style, "\"") : "", ">\n");
    for (const std::string& line : lines) html_ += StrCat("<li>", Text(line), "</li>\n");
    html_ += "</ul>\n";
  }

  void Precisions() {
    Open("precisions", "Precisions beside the original",
         measured() ? StrCat("Measured on ", Thousands(page_.samples), " samples",
                             page_.labelled > 0 && page_.labelled < page_.samples
                                 ? StrCat(", ", Thousands(page_.labelled), " of them labelled")
                                 : "",
                             ": ", Text(page_.data), ".")
                    : "");
    std::vector<std::string> heads{"Size"};
    if (page_.labelled > 0) heads.insert(heads.end(), {"Accuracy", "Lost, won"});
    if (measured()) heads.insert(heads.end(), {"Labels kept", "SQNR"});
    const bool timed = first().ms > 0.0;
    if (timed) heads.push_back("Median time");
    OpenTable(StrCat("Small figures are shares of the original",
                     page_.labelled > 0 ? ", of accuracies what one can be 95 % sure of" : "",
                     ". SQNR: signal to quantization noise of the outputs."),
              "Precisions", "precisions");
    html_ +=
        "<thead><tr><th scope=\"col\" class=\"text\">Precision</th>"
        "<th scope=\"col\" class=\"text\">File</th>";
    for (const std::string& h : heads) html_ += StrCat("<th scope=\"col\">", h, "</th>");
    html_ += "</tr></thead><tbody>\n";
    for (const PageModel& m : page_.models) {
      const bool original = &m == &first();
      const auto small = [&](const std::string& s) {
        return original ? "" : " <small>" + s + "</small>";
      };
      html_ += StrCat(
          "<tr><th scope=\"row\" class=\"text\">", Text(m.precision), "</th>",
          Cell(Breakable(Text(m.name)), "text"),
          Cell(SizeText(m.bytes) +
               small(PercentOf(static_cast<double>(m.bytes), static_cast<double>(first().bytes)))));
      if (page_.labelled > 0) {
        const ConfidenceInterval sure = WilsonInterval(m.correct, page_.labelled);
        html_ += Cell(StrCat(Accuracy(m), " <small>", Fixed(100.0 * sure.low, 1), " to ",
                             Fixed(100.0 * sure.high, 1), "</small>")) +
                 Cell(original ? kNone : StrCat(m.lost, ", ", m.won));
      }
      if (measured()) {
        html_ += Cell(original ? kNone
                               : StrCat(m.labels_kept,
                                        small(PercentOf(static_cast<double>(m.labels_kept),
                                                        static_cast<double>(page_.samples))))) +
                 Cell(original || !m.sqnr_db ? kNone : DecibelText(*m.sqnr_db));
      }
      if (timed) html_ += Cell(Milliseconds(m.ms) + " ms" + small(PercentOf(m.ms, first().ms)));
      html_ += "</tr>\n";
    }
    CloseTable();
    Choices(timed);
    Close();
  }

  void Choices(bool timed) {
    std::vector<ChoicePoint> by_time, by_size;
    for (const PageModel& m : page_.models) {
      const bool original = &m == &first();
      if (!original && !m.sqnr_db) continue;
      ChoicePoint p{m.precision, m.ms,
                    original ? std::numeric_limits<double>::infinity() : *m.sqnr_db};
      if (page_.labelled > 0) p.name += StrCat(", ", Accuracy(m));
      if (timed) by_time.push_back(p);
      p.x = static_cast<double>(m.bytes) / 1e6;
      by_size.push_back(p);
    }
    if (by_size.size() < 2) return;
    html_ += StrCat(
        "<h3>What each choice costs</h3>\n<p class=\"lead\">Further up is nearer to the "
        "original's answers, further left is ",
        timed ? "faster or smaller" : "smaller",
        ". The line joins the choices that no other beats in both.",
        page_.labelled > 0 ? " Percentages are accuracies." : "", "</p>\n<div class=\"charts\">\n");
    if (timed) {
      html_ += StrCat("<figure><figcaption>By time</figcaption>",
                      ChoicesSvg("choices-time", "Milliseconds of an image against decibels",
                                 "ms of an image", by_time),
                      "</figure>\n");
    }
    html_ +=
        StrCat("<figure><figcaption>By size</figcaption>",
               ChoicesSvg("choices-size", "Megabytes of the file against decibels", "MB", by_size),
               "</figure>\n</div>\n");
  }

  void Layers() {
    std::vector<size_t> with;
    for (size_t i = 0; i < page_.models.size(); ++i)
      if (page_.models[i].layers) with.push_back(i);
    if (with.empty()) return;
    std::stable_sort(with.begin(), with.end(), [&](size_t a, size_t b) {
      return page_.models[a].layers->verdict.sqnr_db < page_.models[b].layers->verdict.sqnr_db;
    });
    Open("layers", "Where the error is from",
         "The network from its input on the left to its output, each layer colored by how far its "
         "values are from the original's.");
    html_ += "<ul class=\"legend\" aria-label=\"Colors\">";
    for (auto c = std::rbegin(kErrorClasses); c != std::rend(kErrorClasses); ++c)
      html_ += StrCat("<li><i class=\"", c->style, "\"></i>", c->text, "</li>");
    html_ += "</ul>\n";
    for (size_t i : with) LayersOf(i, i == with[0]);
    Close();
  }

  void LayersOf(size_t index, bool open) {
    const PageModel& m = page_.models[index];
    const LayerReport& report = *m.layers;
    const std::string id = StrCat("m", index);
    std::vector<size_t> shown(report.layers.size());
    std::iota(shown.begin(), shown.end(), size_t{0});
    const auto worst_first = [&](size_t a, size_t b) {
      const LayerDifference &x = report.layers[a], &y = report.layers[b];
      return x.share != y.share ? x.share > y.share : x.sqnr_db < y.sqnr_db;
    };
    if (shown.size() > limits_.layers) {
      std::stable_sort(shown.begin(), shown.end(), worst_first);
      shown.resize(limits_.layers);
      std::sort(shown.begin(), shown.end());
    }
    const size_t left = report.layers.size() - shown.size();
    html_ += StrCat("<details", open ? " open" : "", "><summary>", Text(m.precision), "<small>",
                    report.layers.size(), " layers, outputs ", DecibelText(report.verdict.sqnr_db),
                    " on ", Thousands(report.verdict.samples), " samples</small></summary>\n");
    html_ += StrCat("<ol class=\"strip\" data-readout=\"", id, "-readout\" aria-label=\"Layers of ",
                    Text(m.precision), ", in order\">\n");
    for (size_t i : shown) {
      const std::string text = Text(SentenceOf(report.layers[i]));
      html_ += StrCat("<li><a class=\"", ErrorStyle(report.layers[i]), "\" href=\"#", id, "-", i,
                      "\" aria-label=\"", text, "\" title=\"", text, "\"></a></li>\n");
    }
    html_ += StrCat("</ol>\n<p class=\"readout\" id=\"", id, "-readout\">",
                    "Point at a layer, or go there with Tab and the arrow keys; Enter leads to its "
                    "row.</p>\n");
    LayerTable(m, id, shown, left);
    Histograms(report, worst_first);
    Channels(report);
    html_ += "</details>\n";
  }

  void LayerTable(const PageModel& m, const std::string& id, const std::vector<size_t>& shown,
                  size_t left) {
    const LayerReport& report = *m.layers;
    struct Column {
      const char* title;
      bool text;
    };
    static constexpr Column kColumns[] = {
        {"#", false},        {"Layer", true},      {"As", true},    {"dB", false},
        {"Alone dB", false}, {"Share", false},     {"Cause", true}, {"Max error", false},
        {"Clipped", false},  {"Saturated", false}, {"ms", false},   {"kB", false},
        {"Type", true}};
    std::string caption =
        "dB: its values against the original's, with the errors of all layers before it.";
    if (report.isolated_samples > 0) {
      caption += StrCat(" Alone: the network's answers with nothing but this layer quantized, ",
                        report.isolated_samples, " samples; share: of all such errors.");
    }
    caption += " ms and kB: of the original's.";
    if (left > 0) caption += StrCat(" ", left, " layers with smaller errors are left out.");
    OpenTable(caption, StrCat("Layers of ", Text(m.precision)), "layers sortable");
    html_ += "<thead><tr>";
    for (const Column& c : kColumns) {
      html_ += StrCat("<th scope=\"col\" aria-sort=\"", &c == kColumns ? "ascending" : "none", "\"",
                      c.text ? " class=\"text\"" : "", "><button type=\"button\">", c.title,
                      "</button></th>");
    }
    html_ += "</tr></thead><tbody>\n";
    const bool isolated = report.isolated_samples > 0;
    double largest = 0.0;
    for (const LayerDifference& d : report.layers) largest = std::max(largest, d.share);
    for (size_t i : shown) {
      const LayerDifference& d = report.layers[i];
      const bool paired = !d.precision.empty();
      const auto of = [&](bool known, const std::string& text) {
        return Cell(known ? text : kNone);
      };
      html_ +=
          StrCat("<tr id=\"", id, "-", i, "\">", Cell(std::to_string(i)),
                 "<th scope=\"row\" class=\"text name\">", Breakable(Text(d.name)), "</th>",
                 Cell(paired ? Text(d.precision) : kNone, "text"), of(paired, Decibels(d.sqnr_db)),
                 of(paired && isolated, Decibels(d.isolated_sqnr_db)),
                 of(isolated && d.share > 0.0,
                    StrCat("<span class=\"bar\"><i style=\"width:",
                           Fixed(largest > 0.0 ? 100.0 * d.share / largest : 0.0, 0),
                           "%\"></i></span>", EscapeHtml(ShareText(d.share)))),
                 Cell(CauseText(d), "text"), of(paired, Short(d.largest_error)),
                 of(paired, EscapeHtml(ShareText(d.clipped))),
                 of(paired, EscapeHtml(ShareText(d.saturated))),
                 Cost(d, Fixed(d.after_ms, 3), Fixed(d.before_ms, 3)),
                 Cost(d, Kilobytes(d.after_bytes), Kilobytes(d.before_bytes)),
                 Cell(Text(d.type), "text"), "</tr>\n");
    }
    CloseTable();
  }

  static std::string Kilobytes(int64_t bytes) { return Fixed(static_cast<double>(bytes) / 1e3, 1); }
  static std::string Cost(const LayerDifference& d, const std::string& after,
                          const std::string& before) {
    return Cell(StrCat(d.precision.empty() ? kNone : after, " <small>of ", before, "</small>"));
  }

  template <typename WorstFirst>
  void Histograms(const LayerReport& report, const WorstFirst& worst_first) {
    std::vector<size_t> order;
    for (size_t i = 0; i < report.layers.size(); ++i)
      if (report.layers[i].quantized) order.push_back(i);
    if (order.empty()) return;
    const size_t all = order.size();
    std::stable_sort(order.begin(), order.end(), worst_first);
    order.resize(std::min(order.size(), kMostHistograms));
    html_ += StrCat(
        "<h3>What the values are</h3>\n<p class=\"lead\">The original's values in ",
        order.size() < all
            ? StrCat("the ", order.size(), " layers with the largest shares of the error")
            : std::string("each layer"),
        ", on a logarithmic scale. Dashed lines are the ends of the range that was chosen; what is "
        "beyond is cut off there.</p>\n<div class=\"histograms\">\n");
    for (size_t i : order) {
      const LayerDifference& d = report.layers[i];
      html_ += StrCat("<figure>", HistogramSvg(d), "<figcaption><b>", Breakable(Text(d.name)),
                      "</b> <span>Seen ", Short(d.range.min), " to ", Short(d.range.max),
                      ", range ", Short(d.quantized->min), " to ", Short(d.quantized->max), "; ",
                      d.clipped > 0.0 ? EscapeHtml(ShareText(d.clipped)) : "nothing",
                      " beyond</span></figcaption></figure>\n");
    }
    html_ += "</div>\n";
  }

  void Channels(const LayerReport& report) {
    std::vector<std::string> lines;
    for (const LayerDifference& d : report.layers) {
      for (const auto& [channels, what] :
           {std::pair{&d.dead, "never anything but 0"},
            {&d.outliers, "more than 8 times as loud as the median"}}) {
        if (channels->empty()) continue;
        std::string list;
        for (size_t i = 0; i < std::min<size_t>(channels->size(), 8); ++i)
          list += StrCat(i == 0 ? "" : ", ", (*channels)[i]);
        if (channels->size() > 8) list += ", …";
        lines.push_back(
            StrCat(d.name, ": ", channels->size(), " of ", d.channels, " ", what, " (", list, ")"));
      }
    }
    if (lines.empty()) return;
    lines.resize(std::min(lines.size(), limits_.layers));
    html_ += "<h3>Odd channels</h3>\n";
    List(lines, "plain");
  }

  void Decisions() {
    if (std::none_of(page_.models.begin(), page_.models.end(),
                     [](const PageModel& m) { return m.decided(); }))
      return;
    Open("decisions", "What was tried",
         StrCat("Each step is kept where the answers come nearer to the original's by ",
                kWorthwhileDb, " dB or more."));
    for (const PageModel& m : page_.models) {
      if (!m.decided()) continue;
      html_ += StrCat("<h3>", Text(m.precision), "</h3>\n");
      if (!m.tuning.empty()) {
        OpenTable("Decibels of the answers, without the step and with it.",
                  StrCat("Steps of ", Text(m.precision)), "steps");
        html_ +=
            "<thead><tr><th scope=\"col\" class=\"text\">Step</th><th scope=\"col\">Before</th>"
            "<th scope=\"col\">After</th><th scope=\"col\" class=\"text\">Kept</th></tr></thead>"
            "<tbody>\n";
        for (const TuneResult& t : m.tuning) {
          html_ += StrCat("<tr><th scope=\"row\" class=\"text\">", NameOf(kTuneStepNames, t.step),
                          "</th>", Cell(DecibelText(t.before_db)), Cell(DecibelText(t.after_db)),
                          Cell(t.kept ? "yes" : "no", "text"), "</tr>\n");
        }
        CloseTable();
      }
      if (!m.by_hand.empty()) {
        html_ += "<p class=\"lead\">By hand:</p>\n";
        List(m.by_hand, "plain");
      }
      if (!m.budget.empty()) {
        html_ += StrCat("<p class=\"lead\">Budget: ", Text(m.budget[0]),
                        m.budget.size() > 1 ? ". Raised:" : ".", "</p>\n");
        if (m.budget.size() > 1) List({m.budget.begin() + 1, m.budget.end()}, "plain");
      }
    }
    Close();
  }

  size_t Classes() const {
    int most = static_cast<int>(page_.labels.size()) - 1;
    for (const PageModel& m : page_.models)
      for (const auto& [at, n] : m.confusion) most = std::max({most, at.first, at.second});
    return static_cast<size_t>(most + 1);
  }

  void Confusion() {
    if (page_.labelled == 0 || first().confusion.empty()) return;
    const size_t classes = Classes();
    if (classes > kMostMatrix) return ConfusedPairs();
    Open("confusion", "What is taken for what", "Rows are the true classes, columns the answers.");
    html_ += "<div class=\"matrices\">\n";
    for (const PageModel& m : page_.models) {
      html_ += "<div class=\"matrix\">";
      OpenTable(Text(m.precision), StrCat("Confusion matrix of ", Text(m.precision)), "");
      html_ += "<thead><tr><td class=\"none\"></td>";
      for (size_t said = 0; said < classes; ++said)
        html_ += StrCat("<th scope=\"col\">", Label(static_cast<int>(said)), "</th>");
      html_ += "</tr></thead><tbody>\n";
      for (size_t label = 0; label < classes; ++label) {
        int64_t row = 0;
        for (const auto& [at, n] : m.confusion) row += at.first == static_cast<int>(label) ? n : 0;
        html_ += StrCat("<tr><th scope=\"row\" class=\"text\">", Label(static_cast<int>(label)),
                        "</th>");
        for (size_t said = 0; said < classes; ++said) {
          const auto found = m.confusion.find({static_cast<int>(label), static_cast<int>(said)});
          const int64_t n = found == m.confusion.end() ? 0 : found->second;
          html_ += n == 0 ? Cell("0", "none")
                          : StrCat("<td", label == said ? " class=\"hit\"" : "",
                                   " style=\"--s:", 15 + 50 * n / row, "\">", n, "</td>");
        }
        html_ += "</tr>\n";
      }
      CloseTable();
      html_ += "</div>\n";
    }
    html_ += "</div>\n";
    Close();
  }

  /// Of many classes.
  void ConfusedPairs() {
    std::map<std::pair<int, int>, int64_t> worst;
    for (const PageModel& m : page_.models) {
      for (const auto& [at, n] : m.confusion)
        if (at.first != at.second) worst[at] = std::max(worst[at], n);
    }
    std::vector<std::pair<std::pair<int, int>, int64_t>> order(worst.begin(), worst.end());
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& a, const auto& b) { return a.second > b.second; });
    order.resize(std::min(order.size(), kMostPairs));
    if (order.empty()) return;
    Open("confusion", "What is taken for what");
    OpenTable(StrCat("The ", order.size(), " most frequent of ", worst.size(),
                     " kinds of wrong answers."),
              "Most confused classes", "");
    html_ +=
        "<thead><tr><th scope=\"col\" class=\"text\">True class</th>"
        "<th scope=\"col\" class=\"text\">Answer</th>";
    for (const PageModel& m : page_.models)
      html_ += StrCat("<th scope=\"col\">", Text(m.precision), "</th>");
    html_ += "</tr></thead><tbody>\n";
    for (const auto& [at, most] : order) {
      html_ += StrCat("<tr><th scope=\"row\" class=\"text\">", Label(at.first), "</th>",
                      Cell(Label(at.second), "text"));
      for (const PageModel& m : page_.models) {
        const auto found = m.confusion.find(at);
        html_ += Cell(std::to_string(found == m.confusion.end() ? 0 : found->second));
      }
      html_ += "</tr>\n";
    }
    CloseTable();
    Close();
  }

  std::string Name(const Prediction& p) const {
    return p.label.empty() ? Label(p.index) : Text(p.label);
  }

  void Photos() {
    if (page_.photos.empty()) return;
    const size_t shown = std::min(page_.photos.size(), limits_.photos);
    const int64_t left = page_.photos_in_all - static_cast<int64_t>(shown);
    Open("samples", "Samples",
         StrCat(
             "As the network sees them, those with another answer than the original's first, then "
             "those that are wrong. ",
             left > 0
                 ? StrCat(Thousands(left), " of ", Thousands(page_.photos_in_all), " are left out.")
                 : ""));
    html_ += "<div class=\"photos\">\n";
    for (size_t i = 0; i < shown; ++i) Photo(page_.photos[i]);
    html_ += "</div>\n";
    Close();
  }

  void Photo(const PagePhoto& photo) {
    const int original = photo.answers[0].index;
    const bool changed = std::any_of(photo.answers.begin(), photo.answers.end(),
                                     [&](const Prediction& p) { return p.index != original; });
    const bool labelled = photo.label >= 0;
    std::string alt = labelled ? Label(photo.label) : "sample " + Text(photo.name);
    html_ += "<figure>";
    if (!photo.jpeg.empty()) {
      html_ +=
          StrCat("<img alt=\"", alt, "\" src=\"data:image/jpeg;base64,", Base64(photo.jpeg), "\">");
    }
    html_ += StrCat("<figcaption><b>", labelled ? Label(photo.label) : Name(photo.answers[0]),
                    changed                               ? "<span class=\"mark\">changed</span>"
                    : labelled && original != photo.label ? "<span class=\"mark soft\">wrong</span>"
                                                          : "",
                    "</b><span>", Text(photo.name), "</span><dl>");
    for (size_t i = 0; i < photo.answers.size(); ++i) {
      const Prediction& p = photo.answers[i];
      const char* style = p.index != original ? " class=\"other\"" : "";
      html_ += StrCat("<dt>", Text(page_.models[i].precision), "</dt><dd", style, ">", Name(p),
                      "</dd><dd class=\"p\">", Fixed(100.0 * p.probability, 1), kPercent, "</dd>");
    }
    html_ += "</dl></figcaption></figure>\n";
  }

  void Preparation() {
    if (page_.preprocessing.empty() && page_.prepared.empty()) return;
    Open("preparation", "From a photo to the input", Text(page_.preprocessing));
    if (!page_.prepared.empty()) {
      html_ += "<div class=\"prepared\">\n";
      for (const PagePicture& p : page_.prepared) {
        html_ += StrCat("<figure><img", p.width < 128 ? " class=\"pixels\"" : "", " alt=\"",
                        Text(p.caption), "\" width=\"", std::max(p.width, 128), "\" height=\"",
                        p.height * std::max(p.width, 128) / p.width, "\" src=\"data:", p.mime,
                        ";base64,", Base64(p.bytes), "\"><figcaption>", Text(p.caption),
                        "</figcaption></figure>\n");
      }
      html_ += "</div>\n";
    }
    Close();
  }

  void Provenance() {
    if (page_.provenance.empty() && page_.command.empty()) return;
    Open("provenance", "Where it is from");
    html_ += "<dl class=\"provenance\">\n";
    for (const auto& [name, value] : page_.provenance)
      html_ += StrCat("<dt>", Text(name), "</dt><dd>", Text(value), "</dd>\n");
    html_ += "</dl>\n";
    if (!page_.command.empty())
      html_ += StrCat("<h3>To do it again</h3>\n<pre><code>",
                      EscapeHtml(page_.command.substr(0, 20000)), "</code></pre>\n");
    Close();
  }

  const ReportPage& page_;
  const Limits limits_;
  std::string head_, html_;
  std::vector<std::string> sections_;
};

}  // namespace

std::string EscapeHtml(const std::string& text) {
  std::string out;
  for (size_t i = 0, size = 0; i < text.size(); i += std::max<size_t>(size, 1)) {
    size = LetterBytes(std::string_view(text).substr(i));
    const std::string_view letter = std::string_view(text).substr(i, size);
    if (size == 1 && (letter[0] == '\n' || letter[0] == '\t')) {
      out += letter;
    } else if (size == 0 || IsHidden(letter)) {
      out += "\xef\xbf\xbd";
    } else if (size > 1) {
      out += letter;
    } else {
      switch (letter[0]) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '"':
          out += "&quot;";
          break;
        case '\'':
          out += "&#39;";
          break;
        default:
          out += letter;
      }
    }
  }
  return out;
}

std::string PageHtml(const ReportPage& page) {
  std::string html;
  for (Limits limits{48, 1000, 200}; limits.letters > 10;) {
    html = Page(page, limits).Html();
    if (html.size() <= kMostPageBytes) break;
    limits = {limits.photos * 2 / 3, limits.layers * 2 / 3, limits.letters * 4 / 5};
  }
  return html;
}

void SetVerdict(const Verdict& v, PageModel* first, PageModel* model, ReportPage* page) {
  page->samples = v.samples;
  page->labelled = v.labelled;
  first->ms = v.float_ms;
  first->labels_kept = v.samples;
  first->correct = v.float_correct;
  model->ms = v.ms;
  model->labels_kept = v.labels_kept;
  model->sqnr_db = v.sqnr_db;
  model->correct = v.correct;
  model->lost = v.lost;
  model->won = v.won;
}

}  // namespace octet
