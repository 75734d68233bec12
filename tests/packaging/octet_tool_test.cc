// octet as a user runs it: what is on photos, in models, and how good they are.
#include <gtest/gtest.h>

#include <string>

#include "tests/packaging/tools.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet::testing {
namespace {

class OctetToolTest : public ToolsTest {};

TEST_F(OctetToolTest, ClassifyPrintsTheBestClasses) {
  const Outcome text = RunCommand(kOctet + " classify --top 2 --model " + File("fp32.octet") + " " +
                                  File("red.ppm"));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_EQ(text.err, "");
  EXPECT_EQ(std::count(text.out.begin(), text.out.end(), '\n'), 3) << text.out;
  EXPECT_NE(text.out.find("red.ppm"), std::string::npos);

  const Outcome json =
      RunCommand(kOctet + " classify --json --model " + File("fp32.octet") + " " + File("red.ppm"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << json.out;
  ASSERT_EQ(j.size(), 1u);
  ASSERT_EQ(j[0]["predictions"].size(), 5u);
  double sum = 0.0, last = 1.0;
  for (const Json& p : j[0]["predictions"]) {
    EXPECT_EQ(p["label"], kLabels.at(p["index"].get<size_t>()));
    EXPECT_LE(p["probability"].get<double>(), last);
    last = p["probability"].get<double>();
    sum += last;
  }
  EXPECT_NEAR(sum, 1.0, 1e-5);
}

TEST_F(OctetToolTest, PhotosThatCannotBeReadAreNamedAndPassedOver) {
  Write("text.jpg", "not a photo\n");
  const std::string jpeg(reinterpret_cast<const char*>(kBaselineJpeg), sizeof(kBaselineJpeg));
  Write("good.jpg", jpeg);
  Write("cut.jpg", jpeg.substr(0, jpeg.size() * 2 / 3));
  const std::string classify = kOctet + " classify --top 1 --model " + File("int8.octet") + " ";
  EXPECT_EQ(RunCommand(classify + File("good.jpg")).code, 0);
  std::filesystem::create_directories(*folder_ / "nothing");
  for (const std::string name : {"text.jpg", "cut.jpg", "missing.jpg", "nothing"}) {
    ExpectError(classify + File(name), 1, name);
    const Outcome o = RunCommand(classify + File(name) + " " + File("red.ppm"));
    EXPECT_EQ(o.code, 1);
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    EXPECT_NE(o.out.find("red.ppm"), std::string::npos) << o.out;
  }
}

TEST_F(OctetToolTest, ClassifyTakesFoldersRecordsAndStandardInput) {
  const std::string red = Ppm(20, 10, 255, 0, 0), green = Ppm(30, 30, 10, 200, 40);
  const auto record = [](const std::string& name, const std::string& photo) {
    return MakeExample(
        {{"image/encoded", BytesFeature(photo)}, {"image/filename", BytesFeature(name)}});
  };
  const auto write = [&](const std::string& name, const std::vector<Bytes>& records) {
    const Bytes bytes = MakeTfRecord(records);
    Write(name, std::string(bytes.begin(), bytes.end()));
    return bytes.size();
  };
  write("a.tfrecord-00000-of-00002",
        {record("first.ppm", red), record("bad.jpg", "not a photo"), record("third.ppm", green)});
  write("a.tfrecord-00001-of-00002", {record("fourth.ppm", red)});
  Write("pixels.npy",
        Npy("|u1", "2, 10, 20, 3", red.substr(red.size() - 600) + green.substr(20, 600)));
  const std::string classify =
      kOctet + " classify --json --top 1 --model " + File("fp32.octet") + " ";
  const Outcome o = RunCommand(classify + File("classes") + " " + File("a.tfrecord*") + " - " +
                               File("pixels.npy") + " " + File("red.ppm") + " <" + File("red.ppm"));
  EXPECT_EQ(o.code, 1);
  EXPECT_EQ(o.err.rfind("octet: " + *folder_ / "a.tfrecord-00000-of-00002: record 1 at byte ", 0),
            0u)
      << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << o.out;
  std::vector<std::string> names;
  for (const Json& photo : j) {
    names.push_back(photo.value("image", ""));
    EXPECT_EQ(photo.contains("error"), !photo.contains("predictions")) << photo;
  }
  std::vector<std::string> expected;
  for (const char* label : {"daisy", "dandelion", "roses", "sunflowers", "tulips"})
    expected.push_back(*folder_ / "classes/" + label + "/photo.ppm");
  for (const char* name :
       {"first.ppm", "", "third.ppm", "fourth.ppm", "-", "pixels.npy[0]", "pixels.npy[1]"})
    expected.emplace_back(name);
  expected.push_back(*folder_ / "red.ppm");
  ASSERT_EQ(names, expected);
  EXPECT_NE(j[6]["error"].get<std::string>().find("bad.jpg"), std::string::npos);
  // The same photo is the same wherever it comes from.
  for (const size_t red_photo : {5, 8, 9, 10})
    EXPECT_EQ(j[red_photo]["predictions"], j[12]["predictions"]);
  for (const size_t green_photo : {1, 2, 3, 4, 7})
    EXPECT_EQ(j[green_photo]["predictions"], j[0]["predictions"]);

  // Behind a damaged place the next file follows.
  const size_t size = write("cut.tfrecord", {record("first.ppm", red), record("second.ppm", red)});
  Write("cut.tfrecord", ReadFile(*folder_ / "cut.tfrecord").substr(0, size - 9));
  const Outcome cut = RunCommand(classify + File("cut.tfrecord") + " " + File("red.ppm"));
  EXPECT_EQ(cut.code, 1);
  EXPECT_EQ(std::count(cut.err.begin(), cut.err.end(), '\n'), 1) << cut.err;
  EXPECT_EQ(Json::parse(cut.out, nullptr, false).size(), 3u) << cut.out;
  ExpectError(kOctet + " classify --model " + File("fp32.octet") + " - </dev/null", 1,
              "standard input: is empty, expected an image");
  ExpectError(kOctet + " classify --model " + File("fp32.octet") + " " + Quote(kTiny + "input.npy"),
              1, "input.npy: holds numbers, no photos; octet run computes with them");
}

TEST_F(OctetToolTest, NamesInAnyEncoding) {
  Write("gr\xfcn.ppm", Ppm(4, 4, 0, 255, 0));
  const Outcome o = RunCommand(kOctet + " classify --json --model " + File("int8.octet") + " " +
                               File("gr\xfcn.ppm"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_FALSE(Json::parse(o.out, nullptr, false).is_discarded()) << o.out;
}

TEST_F(OctetToolTest, EvaluateComparesModels) {
  const std::string evaluate = kOctet + " evaluate --model " + File("fp32.octet") + " --model " +
                               File("int8.octet") + " --data " + File("classes") +
                               " --predictions " + File("out.csv");
  const Outcome o = RunCommand(evaluate + " --json");
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << o.out;
  ASSERT_EQ(j["models"].size(), 2u);
  for (const Json& m : j["models"]) {
    EXPECT_EQ(m["total"], 5);
    // Five equal images of five classes: exactly one is right.
    EXPECT_EQ(m["correct"], 1);
    EXPECT_DOUBLE_EQ(m["top1"].get<double>(), 0.2);
    EXPECT_GT(m["median_ms"].get<double>(), 0.0);
  }
  EXPECT_EQ(j["models"][0]["precision"], "fp32");
  EXPECT_EQ(j["models"][1]["precision"], "int8");
  EXPECT_EQ(j["models"][0]["agreement"], 1.0);
  EXPECT_EQ(j["models"][1]["size_bytes"], ModelBytes().size());
  const std::string csv = ReadFile(*folder_ / "out.csv");
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 6) << csv;

  const Outcome table = RunCommand(evaluate);
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_EQ(table.err, "");
  EXPECT_NE(table.out.find("20.00 %"), std::string::npos) << table.out;
}

TEST_F(OctetToolTest, EvaluateNeedsDataThatFits) {
  const std::string evaluate = kOctet + " evaluate --model " + File("int8.octet") +
                               " --predictions " + File("never.csv") + " --data ";
  ExpectError(evaluate + File("missing.tfrecord"), 1, "missing.tfrecord");
  std::filesystem::create_directories(*folder_ / "nothing");
  ExpectError(evaluate + File("nothing"), 1, "nothing");
  std::filesystem::create_directories(*folder_ / "two/apples");
  std::filesystem::create_directories(*folder_ / "two/pears");
  Write("two/apples/a.ppm", Ppm(4, 4, 1, 2, 3));
  Write("two/pears/b.ppm", Ppm(4, 4, 1, 2, 3));
  ExpectError(evaluate + File("two"), 1, "two");
  std::filesystem::create_directories(*folder_ / "bad/roses");
  Write("bad/roses/a.ppm", "P6 20 20 255\nshort");
  ExpectError(evaluate + File("bad"), 1, "a.ppm");
  Write("foreign.tfrecord", std::string(1000, 'z'));
  ExpectError(evaluate + File("foreign.tfrecord"), 1, "foreign.tfrecord");
  EXPECT_FALSE(Exists("never.csv"));
  ExpectError(kOctet + " evaluate --model " + File("int8.octet") + " --data " + File("classes") +
                  " --predictions " + File("no_such_folder/out.csv"),
              1, "no_such_folder");
}

TEST_F(OctetToolTest, InspectShowsWhatIsInside) {
  const Outcome text = RunCommand(kOctet + " inspect " + File("int8.octet"));
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("flowers_resnet"), std::string::npos);

  const Outcome json = RunCommand(kOctet + " inspect --json " + File("int8.octet"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded());
  EXPECT_EQ(j["labels"], kLabels);
  EXPECT_EQ(j["precision"], "int8");
  EXPECT_EQ(j["size_bytes"], ModelBytes().size());
  EXPECT_EQ(j["macs"], 246391104);
  // What `octet_convert --preprocessing` reads.
  EXPECT_EQ(j["preprocessing"]["order"], "rgb");
  EXPECT_EQ(j["preprocessing"]["mean"].size(), 3u);
  int64_t macs = 0;
  for (const Json& op : j["operators"]) macs += op["macs"].get<int64_t>();
  EXPECT_EQ(macs, 246391104);

  const Outcome dot = RunCommand(kOctet + " inspect --dot " + File("int8.octet"));
  EXPECT_EQ(dot.code, 0);
  EXPECT_EQ(dot.out.rfind("digraph", 0), 0u);
  for (const char* part : {" then relu", " then +relu", "float32[1,160,160,3]", "  out"})
    EXPECT_NE(dot.out.find(part), std::string::npos) << part;
}

TEST_F(OctetToolTest, VerifyRunsTheGoldenInput) {
  const Outcome o = RunCommand(kOctet + " verify " + File("fp32.octet") + " " + File("int8.octet"));
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(std::count(o.out.begin(), o.out.end(), '\n'), 2) << o.out;
}

}  // namespace
}  // namespace octet::testing
