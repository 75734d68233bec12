// What the tests of the programs have in common: where they are, and a folder with models and
// photos.
#ifndef OCTET_TESTS_PACKAGING_TOOLS_H_
#define OCTET_TESTS_PACKAGING_TOOLS_H_

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/packaging/command.h"

namespace octet::testing {

using Json = nlohmann::json;

inline const std::string kOctet = Quote(OCTET_TOOL_PATH);
inline const std::string kConvert = Quote(OCTET_CONVERT_PATH);
inline const std::string kBench = Quote(OCTET_BENCH_PATH);

inline const std::string kFlowers = OCTET_SOURCE_DIR "/models/flowers/";
inline const std::string kTiny = OCTET_SOURCE_DIR "/tests/data/tiny/";

inline const std::vector<std::string> kLabels{"roses", "sunflowers", "daisy", "dandelion",
                                              "tulips"};

/// A binary PPM of one color.
inline std::string Ppm(int width, int height, unsigned char r, unsigned char g, unsigned char b) {
  std::string s = "P6\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  for (int i = 0; i < width * height; ++i)
    s += {static_cast<char>(r), static_cast<char>(g), static_cast<char>(b)};
  return s;
}

/// The bytes of float32 values.
inline std::string Floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

inline size_t WidestLine(const std::string& text) {
  size_t widest = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) widest = std::max(widest, line.size());
  return widest;
}

/// A folder with fp32.octet and int8.octet, red.ppm, and classes/ of a photo each.
class ToolsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    for (const std::string precision : {"fp32", "int8"}) {
      const std::string calibration =
          precision == "int8" ? " --calibration-table=" + Quote(kFlowers + "calibration.json") : "";
      const Outcome o =
          RunCommand(kConvert + " " + Quote(kFlowers + "flowers_resnet.safetensors") +
                     " --graph=flowers_resnet --precision=" + precision + calibration +
                     " --output=" + Quote(*folder_ / (precision + ".octet")));
      ASSERT_EQ(o.code, 0) << o.err;
    }
    WriteFile(*folder_ / "red.ppm", Ppm(20, 10, 255, 0, 0));
    for (const std::string& label : kLabels) {
      std::filesystem::create_directories(*folder_ / ("classes/" + label));
      WriteFile(*folder_ / ("classes/" + label + "/photo.ppm"), Ppm(30, 30, 10, 200, 40));
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string File(const std::string& name) { return Quote(*folder_ / name); }
  static void Write(const std::string& name, const std::string& bytes) {
    WriteFile(*folder_ / name, bytes);
  }
  static std::string ModelBytes() { return ReadFile(*folder_ / "int8.octet"); }
  static bool Exists(const std::string& name) { return std::filesystem::exists(*folder_ / name); }

  inline static TemporaryFolder* folder_ = nullptr;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_PACKAGING_TOOLS_H_
