// The report's page: what it says, that it is one well-formed file of a bounded size whatever is in
// it, and that names from files stay text.
#include "converter/report/html/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/html_page.h"

namespace octet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kHostile = "<script>alert('1')</script>\"&\xff\xe2\x80\xae";

/// Two models, `layers` layers and `photos` photos, all of them called `name`.
ReportPage Filled(const std::string& name, size_t layers, size_t photos) {
  ReportPage page;
  page.title = page.data = page.preprocessing = page.command = name;
  page.labels = {name, name + "2", "tulips"};
  page.warnings = {name};
  page.samples = page.labelled = 10;
  page.provenance = {{"Source", name}};
  PageModel before, after;
  before.name = after.name = name;
  before.precision = "fp32";
  before.bytes = 4'000'000;
  before.ms = 2.0;
  before.labels_kept = 10;
  before.correct = 9;
  before.confusion = {{{0, 0}, 5}, {{1, 1}, 4}, {{1, 2}, 1}};
  after.precision = "int8";
  after.bytes = 1'000'000;
  after.ms = 0.5;
  after.labels_kept = 9;
  after.sqnr_db = 32.5;
  after.correct = 8;
  after.lost = 1;
  after.confusion = {{{0, 0}, 4}, {{0, 2}, 1}, {{1, 1}, 4}, {{1, 2}, 1}};
  after.tuning = {{TuneStep::kRounding, 30.0, 32.5, true}};
  after.budget = {name, name};
  after.by_hand = {name};
  LayerReport report;
  report.isolated_samples = 4;
  report.verdict.sqnr_db = 32.5;
  report.verdict.samples = 10;
  for (size_t i = 0; i < layers; ++i) {
    LayerDifference d;
    d.name = name + std::to_string(i);
    d.type = "conv2d";
    d.precision = "int8";
    d.sqnr_db = i == 0 ? std::numeric_limits<double>::infinity() : 5.0 * static_cast<double>(i);
    d.isolated_sqnr_db = d.sqnr_db;
    d.share = 1.0 / static_cast<double>(layers);
    d.weights = 1.0;
    d.range = {-1.0f, 3.0f};
    d.quantized = ValueRange{-1.0f, 2.0f};
    d.histogram.fill(1);
    d.clipped = 0.01;
    d.channels = 8;
    d.dead = {3};
    report.layers.push_back(d);
  }
  after.layers = report;
  page.models = {before, after};
  page.photos_in_all = static_cast<int64_t>(photos);
  for (size_t i = 0; i < photos; ++i)
    page.photos.push_back({name, 1, {{1, name, 0.75f}, {2, "", 0.5f}}, std::string(20'000, 'x')});
  page.prepared = {{name, "image/png", "123", 20, 10}};
  return page;
}

TEST(PageTest, SaysWhatItCost) {
  const std::string html = PageHtml(Filled("net", 3, 2));
  const auto elements = testing::ReadHtml(html);
  testing::ExpectHeadingsInOrder(elements);
  EXPECT_THAT(html,
              HasSubstr("int8 keeps the label of 9 of 10 samples, at 25\u00a0% of the size and "
                        "25\u00a0% of the time of fp32. It is right on 80.0\u00a0%, 10.0 "
                        "points less: no more than chance gives (p\u00a0=\u00a01.00)."));
  EXPECT_THAT(html, HasSubstr("49.0 to 94.3"));
  for (const char* section : {"warnings", "precisions", "layers", "decisions", "confusion",
                              "samples", "preparation", "provenance"})
    EXPECT_THAT(html, HasSubstr("<section id=\"" + std::string(section) + "\""));
  for (const auto& e : elements) {
    if (e.name == "img") {
      EXPECT_TRUE(e.attributes.contains("alt"));
    }
    if (e.name == "th") {
      EXPECT_TRUE(e.attributes.contains("scope"));
    }
    if (e.name == "section") {
      EXPECT_TRUE(e.attributes.contains("aria-labelledby"));
    }
  }
  const auto count = [&](const std::string& name) {
    return std::ranges::count(elements, name, &testing::HtmlElement::name);
  };
  EXPECT_EQ(count("main"), 1);
  EXPECT_EQ(count("table"), count("caption"));
  EXPECT_EQ(html, PageHtml(Filled("net", 3, 2)));
}

TEST(PageTest, NamesStayText) {
  const std::string html = PageHtml(Filled(kHostile, 3, 2));
  testing::ReadHtml(html);
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
  EXPECT_THAT(html, Not(HasSubstr("<script>alert")));
}

TEST(PageTest, EscapesWhatIsNoText) {
  EXPECT_EQ(EscapeHtml("a<b>\"c\"'d'&amp;"), "a&lt;b&gt;&quot;c&quot;&#39;d&#39;&amp;amp;");
  EXPECT_EQ(EscapeHtml("é €\xf0\x9f\x8c\xb7\n\t"), "é €\xf0\x9f\x8c\xb7\n\t");
  // Of each: not begun, not ended, too long, half of a pair, beyond Unicode, invisible.
  for (const std::string bad : {"\x80", "\xc3", "\xe2\x82", "\xc0", "\x01", "\x7f", "\xc2\x85",
                                "\xe2\x80\xae", "\xe2\x81\xa6", "\xef\xbf\xbf"}) {
    const std::string escaped = EscapeHtml(bad + "x");
    EXPECT_TRUE(escaped.starts_with("\xef\xbf\xbd") && escaped.ends_with("x")) << escaped;
    EXPECT_EQ(escaped.find(bad == "\xe2\x82" ? "\xe2\x82x"
                           : bad == "\xc3"   ? "\xc3x"
                                             : bad,
                           3),
              std::string::npos);
  }
  for (const std::string bad : {"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\xf5x"})
    EXPECT_EQ(EscapeHtml(bad).find(bad), std::string::npos);
  EXPECT_EQ(EscapeHtml(std::string("\0", 1)), "\xef\xbf\xbd");
}

TEST(PageTest, StaysSmall) {
  const std::string html = PageHtml(Filled(std::string(5000, 'n') + kHostile, 20'000, 500));
  EXPECT_LT(html.size(), kMostPageBytes);
  testing::ReadHtml(html);
  EXPECT_THAT(html, HasSubstr("are left out"));
  EXPECT_THAT(html, HasSubstr("layers with smaller errors are left out"));
}

TEST(PageTest, HasWhatThereIs) {
  ReportPage page;
  page.title = "net";
  page.not_measured = "no --calibration-data";
  page.models.emplace_back();
  page.models[0].precision = "int8";
  page.models[0].bytes = 1000;
  const std::string html = PageHtml(page);
  testing::ExpectHeadingsInOrder(testing::ReadHtml(html));
  EXPECT_THAT(html, HasSubstr("What it cost was not measured: no --calibration-data."));
  for (const char* section : {"layers", "confusion", "samples", "warnings", "decisions"})
    EXPECT_THAT(html, Not(HasSubstr("<section id=\"" + std::string(section) + "\"")));
}

TEST(PageTest, NamesTheMostConfusedOfManyClasses) {
  ReportPage page = Filled("net", 2, 0);
  page.labels.clear();
  page.models[0].confusion = {{{0, 0}, 5}, {{999, 7}, 4}, {{3, 7}, 1}};
  const std::string html = PageHtml(page);
  testing::ReadHtml(html);
  EXPECT_THAT(html, HasSubstr("<th scope=\"row\" class=\"text\">999</th><td class=\"text\">7</td>"
                              "<td>4</td><td>0</td>"));
  EXPECT_THAT(html, Not(HasSubstr("class=\"matrix\"")));
}

}  // namespace
}  // namespace octet
