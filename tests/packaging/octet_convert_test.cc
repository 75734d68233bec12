// octet_convert as a user runs it: what it writes and says of models that are in order.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/data_dir.h"
#include "tests/packaging/tools.h"

namespace octet::testing {
namespace {

class OctetConvertTest : public ToolsTest {};

TEST_F(OctetConvertTest, ComparesWithTheSourcesAnswers) {
  // Its rescaling is part of the source's network, and of octet's preprocessing.
  const std::string compare = " --compare-input " + Quote(kTiny + "input.npy") +
                              " --compare-with " + Quote(kTiny + "expected.npy");
  for (const std::string model : {"fp32.tflite", "model.h5", "model.keras"}) {
    const Outcome o = RunCommand(kConvert + " --json " + Quote(kTiny + model) + " --output " +
                                 File("compared.octet") + compare);
    ASSERT_EQ(o.code, 0) << o.err;
    const Json j = Json::parse(o.out, nullptr, false)["comparison"];
    EXPECT_EQ(j["reference"], kTiny + "expected.npy");
    EXPECT_EQ(j["images"], 4);
    EXPECT_LE(j["relative_error"].get<double>(), 1e-5);
    EXPECT_GT(j["absolute_error"].get<double>(), 0.0);
    EXPECT_EQ(j["equal_top1"], 4);
    EXPECT_EQ(j["equal_top1_share"], 1.0);
  }
  const Outcome text = RunCommand(kConvert + " " + Quote(kTiny + "int8_float.tflite") +
                                  " --output " + File("compared.octet") + compare);
  EXPECT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("expected.npy, 4 images: absolute error 0.0"), std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("/4 ("), std::string::npos) << text.out;

  // Channels first, and the errors of answers that are far off: 0 instead of probabilities.
  const std::string input = ReadFile(kTiny + "input.npy");
  const size_t image = 8 * 8 * 3;
  ASSERT_GE(input.size(), 4 * image * 4);
  const std::string values = input.substr(input.size() - 4 * image * 4);
  std::string transposed(values.size(), '\0');
  for (size_t n = 0; n < 4; ++n) {
    for (size_t i = 0; i < image; ++i) {
      const size_t to = n * image + i % 3 * 64 + i / 3;
      transposed.replace(to * 4, 4, values, (n * image + i) * 4, 4);
    }
  }
  Write("first.npy", Npy("<f4", "4, 3, 8, 8", transposed));
  const std::string tflite =
      kConvert + " " + Quote(kTiny + "fp32.tflite") + " --json --output " + File("compared.octet");
  const Outcome first = RunCommand(tflite + " --compare-input " + File("first.npy") +
                                   " --compare-with " + Quote(kTiny + "expected.npy"));
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_LE(Json::parse(first.out, nullptr, false)["comparison"]["relative_error"].get<double>(),
            1e-5);
  Write("wrong.npy", Npy("<f4", "4, 3", std::string(48, '\0')));
  const Outcome wrong = RunCommand(tflite + " --compare-input " + File("first.npy") +
                                   " --compare-with " + File("wrong.npy"));
  ASSERT_EQ(wrong.code, 0) << wrong.err;
  const Json j = Json::parse(wrong.out, nullptr, false)["comparison"];
  EXPECT_GE(j["absolute_error"].get<double>(), 1.0 / 3);
  EXPECT_TRUE(j["relative_error"].is_null());
}

TEST_F(OctetConvertTest, KeepsTheSourcesPrecision) {
  for (const auto& [model, precision] :
       {std::pair("fp32.tflite", "fp32"), {"fp16.tflite", "fp16"}, {"int8.tflite", "int8"}}) {
    const std::string convert =
        kConvert + " --json " + Quote(kTiny + model) + " --output " + File("kept.octet");
    const Outcome own = RunCommand(convert);
    ASSERT_EQ(own.code, 0) << own.err;
    EXPECT_EQ(Json::parse(own.out, nullptr, false)["precision"], precision);
  }
  const Outcome wide = RunCommand(kConvert + " --json --precision=fp32 " +
                                  Quote(kTiny + "fp16.tflite") + " --output " + File("kept.octet"));
  ASSERT_EQ(wide.code, 0) << wide.err;
  EXPECT_EQ(Json::parse(wide.out, nullptr, false)["precision"], "fp32");
}

TEST_F(OctetConvertTest, CalibratesOnArraysOfTheNetworksInput) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --precision=int8 --output " + File("arrays.octet") +
                              " --calibration-data ";
  const std::string data = ReadFile(kTiny + "input.npy"),
                    values = data.substr(data.size() - 4 * 8 * 8 * 3 * 4);
  // The same image in every place, so that the order does not matter for its ranges.
  const std::string flat(values.size(), '\0');
  Write("last.npy", Npy("<f4", "4, 8, 8, 3", flat));
  Write("first.npy", Npy("<f4", "4, 3, 8, 8", flat));
  ASSERT_EQ(RunCommand(convert + File("last.npy")).code, 0);
  const std::string last = ReadFile(*folder_ / "arrays.octet");
  ASSERT_EQ(RunCommand(convert + File("first.npy")).code, 0);
  EXPECT_EQ(ReadFile(*folder_ / "arrays.octet"), last);
  Write("other.npy", Npy("<f4", "4, 8, 8, 2", flat.substr(0, flat.size() / 3 * 2)));
  const Outcome other = RunCommand(convert + File("other.npy"));
  EXPECT_EQ(other.code, 1);
  EXPECT_NE(other.err.find("found shape [4,8,8,2] of float32, expected [n,8,8,3]"),
            std::string::npos)
      << other.err;
}

TEST_F(OctetConvertTest, TunesWhatItsDataShows) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --json --precision=int8 --output " + File("tuned.octet") +
                              " --calibration-data " + Quote(kTiny + "input.npy");
  const auto steps = [&](const std::string& options) {
    const Json report = Json::parse(RunCommand(convert + options).out, nullptr, false);
    std::string names;
    for (const Json& step : report.value("tuning", Json::array())) {
      EXPECT_EQ(step["kept"],
                step["after_db"].get<double>() >= step["before_db"].get<double>() + 0.2);
      names += step["step"].get<std::string>() + " ";
    }
    return names;
  };
  EXPECT_NE(steps("").find("rounding "), std::string::npos);
  EXPECT_EQ(steps(" --tune=rounding"), "rounding ");
  EXPECT_EQ(steps(" --tune=none"), "");
  for (const char* wrong : {"none,rounding", "rounding,rounding", "more"})
    EXPECT_EQ(RunCommand(convert + " --tune=" + wrong).code, 2) << wrong;
}

TEST_F(OctetConvertTest, HoldsABudget) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                              File("budget.octet") + " --tune=none --data " +
                              Quote(kTiny + "input.npy");
  const Outcome easy = RunCommand(convert + " --max-drop=100");
  EXPECT_EQ(easy.code, 0) << easy.err;
  EXPECT_NE(easy.out.find(" of labels changed, at most 100 on 2 samples that no range is from; all "
                          "layers in int8\n"),
            std::string::npos)
      << easy.out;
  const Outcome hard = RunCommand(convert + " --min-sqnr=100 --json");
  ASSERT_EQ(hard.code, 0) << hard.err;
  const Json budget = Json::parse(hard.out, nullptr, false)["budget"];
  EXPECT_LT(budget["int8"]["sqnr_db"].get<double>(), 100.0);
  ASSERT_FALSE(budget["raised"].empty());
  const std::string layer = budget["raised"][0]["layer"].get<std::string>();
  const Outcome inspect = RunCommand(kOctet + " inspect " + File("budget.octet"));
  EXPECT_NE(inspect.out.find("--min-sqnr=100 --keep=" + layer), std::string::npos) << inspect.out;

  // By hand.
  const std::string by_hand = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                              File("budget.octet") + " --precision=int8 --calibration-data " +
                              Quote(kTiny + "input.npy");
  const Outcome kept = RunCommand(by_hand + " --keep=" + Quote(layer));
  EXPECT_EQ(kept.code, 0) << kept.err;
  EXPECT_NE(kept.out.find("\nin float32:  "), std::string::npos) << kept.out;
  EXPECT_NE(kept.out.find("\nby hand:     " + layer + " in fp32\n"), std::string::npos) << kept.out;
  const Outcome wide = RunCommand(by_hand + " --widen=" + Quote(layer) + " --json");
  ASSERT_EQ(wide.code, 0) << wide.err;
  EXPECT_EQ(Json::parse(wide.out, nullptr, false)["by_hand"], Json({layer + " in int16x8"}));
  EXPECT_NE(RunCommand(kOctet + " inspect " + File("budget.octet")).out.find(" --widen=" + layer),
            std::string::npos);
  const Outcome none = RunCommand(by_hand + " --keep=nothing");
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.err.find("--keep=nothing: no layer has this name, of "), std::string::npos)
      << none.err;
  for (const char* wrong : {" --max-drop=1 --precision=hybrid", " --precision=hybrid --widen=x",
                            " --max-drop=101", " --max-drop=1 --require-int8", " --min-sqnr=no"})
    EXPECT_EQ(RunCommand(convert + wrong).code, 2) << wrong;
}

TEST_F(OctetConvertTest, SaysWhatQuantizationCost) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                              File("cost.octet"),
                    data = " --calibration-data " + Quote(kTiny + "input.npy");
  for (const std::string precision : {"int8", "hybrid", "fp16"}) {
    const Outcome o = RunCommand(convert + data + " --precision=" + precision);
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_NE(o.out.find("\nverdict:     labels kept 4 of 4, outputs "), std::string::npos)
        << o.out;
    const Outcome json = RunCommand(convert + data + " --json --precision=" + precision);
    const Json verdict = Json::parse(json.out, nullptr, false)["verdict"];
    EXPECT_EQ(verdict["samples"], 4);
    EXPECT_EQ(verdict["labels_kept"], 4);
    // Of so few weights hybrid leaves all in float: exact.
    if (precision == "hybrid") {
      EXPECT_TRUE(verdict["sqnr_db"].is_null());
    } else {
      EXPECT_GT(verdict["sqnr_db"].get<double>(), 20.0);
    }
    EXPECT_GT(verdict["float_median_ms"].get<double>(), 0.0);
  }
  const Outcome few = RunCommand(convert + data + " --precision=int8 --json");
  EXPECT_NE(few.err.find("warning: calibrated on 4 samples; fewer than 8 "), std::string::npos)
      << few.err;
  const Outcome several = RunCommand(convert + data + " --precision=fp32,int8");
  EXPECT_NE(several.out.find("labels kept  outputs  median ms\n"), std::string::npos)
      << several.out;
  EXPECT_NE(several.out.find(" 4 of 4 "), std::string::npos) << several.out;

  // Where the data has the network's labels, accuracy too.
  const std::string flowers = kConvert + " " + Quote(kFlowers + "flowers_resnet.safetensors") +
                              " --graph=flowers_resnet --precision=int8 --output " +
                              File("cost.octet");
  const Outcome labelled = RunCommand(flowers + " --calibration-data " + File("classes"));
  EXPECT_NE(labelled.out.find("\naccuracy:    1 of 5 before, 1 after (20 %; 95 % sure of 3.6 to "
                              "62.4); lost 0, won 0\n"),
            std::string::npos)
      << labelled.out;
  const Outcome json = RunCommand(flowers + " --json --calibration-data " + File("classes"));
  EXPECT_EQ(Json::parse(json.out, nullptr, false)["verdict"]["accuracy"]["labelled"], 5);

  // Where nothing was measured that is said, and where nothing was quantized nothing.
  const Outcome unmeasured = RunCommand(convert + " --precision=hybrid");
  EXPECT_NE(unmeasured.out.find("\nverdict:     not measured: no --calibration-data\n"),
            std::string::npos)
      << unmeasured.out;
  const Outcome table =
      RunCommand(flowers + " --calibration-table=" + Quote(kFlowers + "calibration.json"));
  EXPECT_NE(table.out.find("not measured: a calibration table and no data"), std::string::npos)
      << table.out;
  const Outcome none = RunCommand(convert + " --precision=fp32");
  EXPECT_EQ(none.code, 0);
  EXPECT_EQ(none.out.find("verdict"), std::string::npos) << none.out;
  ExpectError(convert + data + " --precision=fp32", 2, "--calibration-data: does nothing for fp32");
}

TEST_F(OctetConvertTest, SaysWhatGoesInAndWarnsOfContradictions) {
  const size_t image = 8 * 8 * 3, size = 8 * image;
  std::vector<float> pixels(size), fractions(size);
  for (size_t i = 0; i < size; ++i) {
    pixels[i] = static_cast<float>((i * 37 + i / image) % 256);
    fractions[i] = pixels[i] / 255.0f;
  }
  const auto bytes = [](const std::vector<float>& v) {
    return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(float));
  };
  Write("pixels.npy", Npy("<f4", "8, 8, 8, 3", bytes(pixels)));
  Write("fractions.npy", Npy("<f4", "8, 8, 8, 3", bytes(fractions)));
  Write("labels.txt", "one\ntwo\nthree\n");
  Write("div255.json", "{\"scale\": 0.00392156862745098}");
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --precision=int8 --labels " + File("labels.txt") + " --output " +
                              File("said.octet") + " --calibration-data ";
  const Outcome healthy = RunCommand(convert + File("pixels.npy") + " --strict");
  EXPECT_EQ(healthy.code, 0);
  EXPECT_EQ(healthy.err, "");
  for (const char* line : {"[1,8,8,3]; pixel: 0..255; calibrated on 0..255\n",
                           "\npreprocessing: decoded as Pillow, stretched to 8x8 (bilinear), "
                           "none: the network gets "
                           "pixels 0..255\n",
                           "\nlabels:      3, 'one' to 'three', from ", "\ndata:        "}) {
    EXPECT_NE(healthy.out.find(line), std::string::npos) << line << healthy.out;
  }
  // The same numbers as bytes are photos, which say the same.
  const std::string floats = ReadFile(*folder_ / "said.octet");
  Write("bytes.npy", Npy("|u1", "8, 8, 8, 3", std::string(pixels.begin(), pixels.end())));
  EXPECT_EQ(RunCommand(convert + File("bytes.npy")).code, 0);
  EXPECT_EQ(ReadFile(*folder_ / "said.octet"), floats);
  // The network scales pixels itself: fractions are 255 times too small for it, or for photos.
  const std::string contradiction = "photos give the network 0..255, and it was calibrated on 0..1";
  const Outcome warned = RunCommand(convert + File("fractions.npy") + " --json");
  EXPECT_EQ(warned.code, 0);
  EXPECT_NE(warned.err.find("octet_convert: warning: " + contradiction), std::string::npos);
  const auto json = nlohmann::json::parse(warned.out);
  EXPECT_EQ(json["warnings"][0].get<std::string>().rfind(contradiction, 0), 0u);
  EXPECT_EQ(json["input_meaning"], "pixel: 0..255; calibrated on 0..1");
  EXPECT_EQ(json["labels"]["first"], "one");
  const Outcome inspected = RunCommand(kOctet + " inspect " + File("said.octet"));
  EXPECT_EQ(inspected.code, 0);
  EXPECT_NE(inspected.err.find("photos give the network 0..255"), std::string::npos);
  std::filesystem::remove(*folder_ / "said.octet");
  ExpectError(convert + File("fractions.npy") + " --strict", 1, contradiction);
  EXPECT_FALSE(Exists("said.octet"));
  // With what makes fractions of pixels, both say the same.
  const Outcome composed = RunCommand(convert + File("fractions.npy") +
                                      " --strict --preprocessing " + File("div255.json"));
  EXPECT_EQ(composed.code, 0) << composed.err;
  EXPECT_NE(composed.out.find("pixel * 1/255: 0..1; calibrated on 0..1\n"), std::string::npos)
      << composed.out;
}

TEST_F(OctetConvertTest, WarnsOfDataThatDoesNotFit) {
  constexpr int kPhotos = 40;
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") +
                              " --precision=int8 --output " + File("fits.octet") +
                              " --calibration-data ";
  // Photos of 8x8 from nearly black to nearly white; `change` makes other ones of their pixels.
  const auto photos = [&](const char* name, int count, const auto& change) {
    std::string pixels;
    uint32_t state = 11;
    for (int i = 0; i < count * 8 * 8; ++i) {
      int rgb[3];
      for (int& v : rgb) {
        state = state * 1664525u + 1013904223u;
        v = 5 + static_cast<int>((state >> 24) * 245 / 255);
      }
      for (const int v : rgb)
        pixels += static_cast<char>(change(i / 64, v, (rgb[0] + rgb[1] + rgb[2]) / 3));
    }
    Write(name, Npy("|u1", std::to_string(count) + ", 8, 8, 3", pixels));
    return File(name);
  };
  const auto same = [](int, int v, int) { return v; };
  const auto dark = [](int, int v, int) { return v * 3 / 10; };
  const struct {
    std::string data;
    const char* warning;  ///< Empty for none.
  } kSets[] = {
      {photos("healthy.npy", kPhotos, same), ""},
      {photos("eight.npy", 8, same), ""},
      {photos("gray.npy", kPhotos, [](int, int, int gray) { return gray; }), ""},
      {photos("noise.npy", kPhotos, [](int i, int v, int gray) { return i % 20 ? gray : v; }), ""},
      {photos("seven.npy", 7, same), "calibrated on 7 samples; fewer than 8"},
      {photos("dark.npy", kPhotos, dark), "and it was calibrated on 1..75; "},
      {photos("faint.npy", kPhotos, [](int, int v, int) { return 96 + v / 4; }),
       "and it was calibrated on 97..158; "},
      {photos("black.npy", kPhotos, [](int, int, int) { return 0; }), "calibrated on 0..0"},
      {photos("uneven.npy", kPhotos, [&](int i, int v, int) { return i == 7 ? v : dark(0, v, 0); }),
       "ranges of every other calibration sample reach 3."},
  };
  for (const auto& [data, warning] : kSets) {
    const Outcome o = RunCommand(convert + data);
    EXPECT_EQ(o.code, 0) << data << o.err;
    if (*warning == 0) {
      EXPECT_EQ(o.err, "") << data;
    } else {
      EXPECT_NE(o.err.find(warning), std::string::npos) << data << o.err;
    }
  }
  // Mean and deviation of fractions, and the pixels themselves.
  Write("unit.json", "{\"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225]}");
  const Outcome unit =
      RunCommand(convert + File("healthy.npy") + " --preprocessing " + File("unit.json"));
  EXPECT_NE(unit.err.find("warning: mean and std are those of pixels from 0 to 1, and pixels from "
                          "0 to 255 are given"),
            std::string::npos)
      << unit.err;
  // Class folders of another network, and numbers that no output stands for.
  Write("three.txt", "one\ntwo\nthree\n");
  const Outcome names = RunCommand(convert + File("classes") + " --labels " + File("three.txt"));
  EXPECT_NE(names.err.find("warning: labels are not used: "), std::string::npos) << names.err;
  EXPECT_NE(names.err.find("folder 'daisy' is named as none of the model's 3 labels ('one', "),
            std::string::npos)
      << names.err;
  for (const std::string number : {"1", "2", "3"}) {
    std::filesystem::create_directories(*folder_ / ("numbered/" + number));
    Write("numbered/" + number + "/photo.ppm", Ppm(8, 8, 10, 200, 40));
  }
  const Outcome numbers = RunCommand(convert + File("numbered"));
  EXPECT_NE(numbers.err.find("warning: 1 of 3 samples have labels beyond the network's 3 outputs"),
            std::string::npos)
      << numbers.err;
  std::filesystem::create_directories(*folder_ / "nothing/roses");
  ExpectError(convert + File("nothing"), 1, "nothing: no images (JPEG, PNG, BMP, PNM)");
}

TEST_F(OctetConvertTest, ListsItsOperators) {
  const Outcome text = RunCommand(kConvert + " --list-operators");
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* line : {"onnx\n", "keras\n", "savedmodel\n", "tflite\n", "  QuantizeLinear",
                           "  SeparableConv2D", "  DepthwiseConv2dNative", "  FULLY_CONNECTED"}) {
    EXPECT_NE(text.out.find(line), std::string::npos) << line;
  }
  const Json json =
      Json::parse(RunCommand(kConvert + " --json --list-operators").out, nullptr, false);
  ASSERT_TRUE(json.is_array());
  EXPECT_GT(json.size(), 150u);
  for (const Json& row : json) EXPECT_EQ(row.size(), 3u);
}

TEST_F(OctetConvertTest, ComparesFlowers) {
  OCTET_REQUIRE_MODELS();
  const std::string from = ModelsDir() + "/flowers/";
  const Outcome o =
      RunCommand(kConvert + " --json " + Quote(kFlowers + "flowers_resnet.safetensors") +
                 " --graph flowers_resnet --preprocessing " +
                 Quote(kFlowers + "preprocessing.json") + " --output " + File("compared.octet") +
                 " --compare-input " + Quote(from + "test_images_160.npy") + " --compare-with " +
                 Quote(from + "test_probabilities.npy"));
  ASSERT_EQ(o.code, 0) << o.err;
  const Json j = Json::parse(o.out, nullptr, false)["comparison"];
  EXPECT_EQ(j["images"], 50);
  EXPECT_LE(j["absolute_error"].get<double>(), 1e-4);
  EXPECT_EQ(j["equal_top1"], 50);
}

TEST_F(OctetConvertTest, RefusesAnswersThatDoNotFit) {
  const std::string convert =
      kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("unfit.octet");
  const std::string input = " --compare-input ", with = " --compare-with ",
                    good_input = Quote(kTiny + "input.npy"), good = Quote(kTiny + "expected.npy");
  ExpectError(convert + with + good, 2, "--compare-input");
  ExpectError(convert + input + good_input, 2, "--compare-with");
  ExpectError(convert + input + good_input + with + File("missing.npy"), 1, "missing.npy");
  ExpectError(convert + input + File("missing.npy") + with + good, 1, "missing.npy");
  ExpectError(convert + input + good + with + good, 1,
              "expected.npy: found shape [4,3] of float32, expected [n,8,8,3]");
  ExpectError(convert + input + good_input + with + good_input, 1,
              "input.npy: shape [4,8,8,3], expected [4,3]");
  Write("fewer.npy", Npy("<f4", "3, 3", std::string(36, '\0')));
  ExpectError(convert + input + good_input + with + File("fewer.npy"), 1,
              "shape [3,3], expected [4,3]");
  Write("none.npy", Npy("<f4", "0, 8, 8, 3", ""));
  ExpectError(convert + input + File("none.npy") + with + good, 1,
              "none.npy: found shape [0,8,8,3] of float32, expected at least one sample");
  EXPECT_FALSE(Exists("unfit.octet"));
}

TEST_F(OctetConvertTest, MakesSeveralPrecisionsAtOnce) {
  const std::string source =
      kConvert + " " + Quote(kFlowers + "flowers_resnet.safetensors") +
      " --graph=flowers_resnet --calibration-table=" + Quote(kFlowers + "calibration.json");
  const std::vector<std::string> precisions{"fp32", "fp16", "hybrid", "int8"};
  // A link is followed, as a conversion to one file does.
  std::filesystem::create_symlink("linked.octet", *folder_ / "all_fp16.octet");
  const Outcome o = RunCommand(source + " --precision=fp32,fp16,hybrid,int8 --data " +
                               File("classes") + " --output " + File("all.octet"));
  ASSERT_EQ(o.code, 0) << o.err;
  for (const std::string& p : precisions) {
    EXPECT_NE(o.out.find("\nall_" + p + ".octet "), std::string::npos) << o.out;
    ASSERT_TRUE(Exists("all_" + p + ".octet"));
    // The bytes of a conversion on its own.
    ASSERT_EQ(
        RunCommand(
            kConvert + " " + Quote(kFlowers + "flowers_resnet.safetensors") +
            " --graph=flowers_resnet --precision=" + p +
            (p == "int8" ? " --calibration-table=" + Quote(kFlowers + "calibration.json") : "") +
            " --output " + File("one.octet"))
            .code,
        0);
    EXPECT_TRUE(p != "int8" ||
                ReadFile(*folder_ / "one.octet") == ReadFile(*folder_ / "all_int8.octet"));
  }
  EXPECT_TRUE(std::filesystem::is_symlink(*folder_ / "all_fp16.octet"));
  EXPECT_TRUE(Exists("linked.octet"));
  for (const char* part : {"top-1", "20.00 %", "100.0 %", "median ms", "source:  safetensors"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << o.out;

  // A folder; the source's own precision is compared with, and not written.
  std::filesystem::create_directories(*folder_ / "out");
  const Outcome json = RunCommand(source + " --json --precision=int8,hybrid --data " +
                                  File("classes") + " --output " + File("out"));
  ASSERT_EQ(json.code, 0) << json.err;
  const Json j = Json::parse(json.out, nullptr, false);
  ASSERT_FALSE(j.is_discarded()) << json.out;
  ASSERT_EQ(j["conversions"].size(), 2u);
  EXPECT_EQ(j["conversions"][0]["output"], *folder_ / "out/flowers_resnet_int8.octet");
  ASSERT_EQ(j["evaluation"]["models"].size(), 3u);
  EXPECT_EQ(j["evaluation"]["models"][0]["path"], "(the source)");
  EXPECT_EQ(j["evaluation"]["models"][0]["precision"], "fp32");
  const auto files = [&] {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(*folder_ / "out"))
      names.insert(entry.path().filename().string());
    return names;
  };
  EXPECT_EQ(files(),
            (std::set<std::string>{"flowers_resnet_hybrid.octet", "flowers_resnet_int8.octet"}));
  // Without data, sizes.
  const Outcome sizes =
      RunCommand(source + " --precision=fp32,int8 --output " + File("sizes.octet"));
  ASSERT_EQ(sizes.code, 0) << sizes.err;
  EXPECT_NE(sizes.out.find("sizes_int8.octet"), std::string::npos) << sizes.out;

  // Nothing of what fails: no ranges for int8, data that are not there, a file that cannot be made.
  const std::string bare = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                           File("out/bare.octet") + " --precision=fp32,int8";
  ExpectError(bare, 1, "calibration data");
  ExpectError(bare + " --calibration-data " + Quote(kTiny + "input.npy") + " --data " +
                  File("missing.tfrecord"),
              1, "missing.tfrecord");
  EXPECT_EQ(files().size(), 2u);
  std::filesystem::create_directories(*folder_ / "out/bare_int8.octet/x");
  const Outcome unwritable = RunCommand(bare + " --calibration-data " + Quote(kTiny + "input.npy"));
  EXPECT_EQ(unwritable.code, 1);
  EXPECT_NE(unwritable.err.find("bare_int8.octet: cannot write: not a regular file\n"),
            std::string::npos)
      << unwritable.err;
  EXPECT_EQ(files().size(), 3u);
  ExpectError(bare + ",fp32", 2, "fp32 is given twice");
  ExpectError(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("out/x.octet") +
                  " --precision=fp32 --data " + File("classes"),
              2, "--data: goes with several precisions");
}

}  // namespace
}  // namespace octet::testing
