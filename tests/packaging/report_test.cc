// --report as users get it: of a conversion, a comparison and an evaluation, read here and opened
// in Chromium, where that is installed.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/data_dir.h"
#include "tests/html_page.h"
#include "tests/packaging/tools.h"

namespace octet::testing {
namespace {

/// What a person would see wrong with the pages, in Chromium.
void ExpectReadable(const std::vector<std::string>& pages) {
  if (RunCommand("python3 --version").code != 0) GTEST_SKIP() << "python3 is not installed";
  std::string command = "python3 " OCTET_SOURCE_DIR "/tests/packaging/report_page.py";
  for (const std::string& page : pages) command += " " + Quote(page);
  const Outcome o = RunCommand(command);
  if (o.code == 77) GTEST_SKIP() << "chromium is not installed";
  EXPECT_EQ(o.code, 0) << o.out << o.err;
}

/// Without the page in the message.
void ExpectHas(const std::string& html, const std::string& part) {
  EXPECT_NE(html.find(part), std::string::npos) << part;
}

std::string ReadPage(const std::string& path) {
  const std::string html = ReadFile(path);
  EXPECT_GT(html.size(), 10'000u) << path;
  EXPECT_LT(html.size(), 2'000'000u) << path;
  ExpectHeadingsInOrder(ReadHtml(html));
  return html;
}

class ReportTest : public ToolsTest {
 protected:
  static void SetUpTestSuite() {
    ToolsTest::SetUpTestSuite();
    WriteFile(*folder_ / "classes/roses/<script>\"&'.ppm", Ppm(40, 20, 200, 30, 60));
  }

  static std::string Convert(const std::string& options) {
    return kConvert + " " + Quote(kFlowers + "flowers_resnet.safetensors") +
           " --graph=flowers_resnet --labels=" + Quote(kFlowers + "labels.txt") +
           " --preprocessing=" + Quote(kFlowers + "preprocessing.json") + " " + options;
  }
};

TEST_F(ReportTest, OfAConversion) {
  const Outcome o = RunCommand(
      Convert("--precision=hybrid,int8 --tune=pixels --calibration-data=" + File("classes") +
              " --output=" + File("made.octet") + " --report=" + File("convert.html")));
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_TRUE(Exists("made_int8.octet"));
  const std::string html = ReadPage(*folder_ / "convert.html");
  for (const char* part :
       {"(the source)", "hybrid", "made_int8.octet, ", "FNV-1a ", "layer3.<wbr>0.<wbr>conv1",
        "&lt;script&gt;&quot;&amp;&#39;.ppm",
        "--precision=hybrid,int8 --tune=pixels --calibration-data=", "stretched to 160x160",
        "The part that is used: ", "calibrated on 6 samples"})
    ExpectHas(html, part);
  ExpectReadable({*folder_ / "convert.html"});
}

TEST_F(ReportTest, OfAComparisonAndAnEvaluation) {
  const Outcome compared = RunCommand(
      kOctet + " compare " + File("fp32.octet") + " " + File("int8.octet") +
      " --isolated-samples=2 --data=" + File("classes") + " --report=" + File("compare.html"));
  ASSERT_EQ(compared.code, 0) << compared.err;
  ExpectHas(ReadPage(*folder_ / "compare.html"), "Where the error is from");
  const Outcome evaluated = RunCommand(
      kOctet + " evaluate --model=" + File("fp32.octet") + " --model=" + File("int8.octet") +
      " --data=" + File("classes") + " --report=" + File("evaluate.html"));
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  ExpectHas(ReadPage(*folder_ / "evaluate.html"), "What is taken for what");
  ExpectReadable({*folder_ / "compare.html", *folder_ / "evaluate.html"});
}

TEST_F(ReportTest, TheSourceIsNoFileUnlessItIsWanted) {
  const Outcome o =
      RunCommand(Convert("--precision=fp16,hybrid --data=" + File("classes") +
                         " --output=" + File("other.octet") + " --report=" + File("other.html")));
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string html = ReadPage(*folder_ / "other.html");
  ExpectHas(html, "(the source)");
  ExpectHas(html, "other_fp16.octet, ");
  EXPECT_EQ(html.find("other_fp32.octet"), std::string::npos);
  EXPECT_FALSE(Exists("other_fp32.octet"));
}

TEST_F(ReportTest, WithoutData) {
  const Outcome o = RunCommand(
      Convert("--precision=int8 --calibration-table=" + Quote(kFlowers + "calibration.json") +
              " --output=" + File("table.octet") + " --report=" + File("table.html")));
  ASSERT_EQ(o.code, 0) << o.err;
  ExpectHas(ReadPage(*folder_ / "table.html"),
            "What it cost was not measured: a calibration table and no data.");
}

TEST_F(ReportTest, FindsOutFirstWhetherItCanBeWritten) {
  const std::string missing = " --report=" + File("missing/report.html");
  ExpectError(Convert("--output=" + File("never.octet") + missing), 1, "missing does not exist");
  EXPECT_FALSE(Exists("never.octet"));
  ExpectError(kOctet + " compare " + File("fp32.octet") + " " + File("int8.octet") +
                  " --data=" + File("classes") + missing,
              1, "missing does not exist");
  ExpectError(
      kOctet + " evaluate --model=" + File("fp32.octet") + " --data=" + File("classes") + missing,
      1, "missing does not exist");
}

TEST_F(ReportTest, OfTheFlowerModelOnItsPhotos) {
  OCTET_REQUIRE_DATA();
  const Outcome o = RunCommand(Convert("--precision=fp32,fp16,hybrid,int8 --calibration-data=" +
                                       Quote(DataDir() + "/flowers/validation.tfrecord") +
                                       " --data=" + Quote(DataDir() + "/flowers/test.tfrecord") +
                                       " --output=" + File("flowers.octet") +
                                       " --report=" + File("flowers.html")));
  ASSERT_EQ(o.code, 0) << o.err;
  const std::string html = ReadPage(*folder_ / "flowers.html");
  ExpectHas(html, "int8 keeps the label of 50 of 50 samples");
  const auto elements = ReadHtml(html);
  // 48 of the photos, and three on the way to the input.
  EXPECT_EQ(std::ranges::count(elements, "img", &HtmlElement::name), 51);
  EXPECT_EQ(std::ranges::count_if(elements,
                                  [](const HtmlElement& e) {
                                    const auto c = e.attributes.find("class");
                                    return c != e.attributes.end() && c->second == "strip";
                                  }),
            3);
  ExpectReadable({*folder_ / "flowers.html"});
}

}  // namespace
}  // namespace octet::testing
