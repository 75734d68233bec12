// Images and what frameworks decoded them to, as tests/data/pixels/make_decoding.py writes them.
#ifndef OCTET_TESTS_DECODING_CASES_H_
#define OCTET_TESTS_DECODING_CASES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "formats/data/image.h"
#include "formats/data/npy.h"
#include "formats/model/preprocessing.h"

namespace octet::testing {

struct DecodingCase {
  std::string file;
  Decoding decoding;
  int channels = 0;           ///< 1 or 3.
  int width = 0, height = 0;  ///< 0 where the framework refuses the file.
  int64_t offset = 0;         ///< Of its pixels in expected.npy.
};

inline std::vector<DecodingCase> ReadDecodingCases(const std::string& folder) {
  std::vector<DecodingCase> cases;
  std::ifstream in(folder + "/cases.txt");
  const auto value_of = [](const auto& names, const std::string& name) {
    return static_cast<uint8_t>(std::find(names.begin(), names.end(), name) - names.begin());
  };
  DecodingCase c;
  for (std::string framework, dct, upsampling, orientation;
       in >> c.file >> framework >> dct >> upsampling >> orientation >> c.channels >> c.width >>
       c.height >> c.offset;) {
    c.decoding = {static_cast<Framework>(value_of(kFrameworkNames, framework)),
                  static_cast<Dct>(value_of(kDctNames, dct)),
                  static_cast<Upsampling>(value_of(kUpsamplingNames, upsampling)),
                  orientation == "turned"};
    cases.push_back(c);
  }
  return cases;
}

/// Decodes every image of the folder in every way and expects the very pixels, or a refusal where
/// the framework refuses; returns the number of comparisons.
inline size_t ExpectDecodedAsByFrameworks(const std::string& folder) {
  const std::vector<DecodingCase> cases = ReadDecodingCases(folder);
  const Result<NpyReader> reader = NpyReader::Open(folder + "/expected.npy");
  EXPECT_TRUE(reader.ok()) << reader.status().message();
  if (!reader.ok()) return 0;
  std::vector<uint8_t> pixels;
  for (const DecodingCase& c : cases) {
    SCOPED_TRACE(c.file + " " + Describe(c.decoding) + (c.channels == 1 ? ", gray" : ""));
    const Result<DecodedImage> image =
        LoadImage(folder + "/" + c.file, c.decoding, {.gray = c.channels == 1});
    if (c.width == 0) {
      EXPECT_EQ(image.status().code(), StatusCode::kUnsupported) << image.status().message();
      continue;
    }
    EXPECT_TRUE(image.ok()) << image.status().message();
    if (!image.ok()) continue;
    EXPECT_EQ(image->width, c.width);
    EXPECT_EQ(image->height, c.height);
    const size_t count = static_cast<size_t>(c.width) * static_cast<size_t>(c.height);
    pixels.resize(3 * count);
    EXPECT_TRUE(
        reader->Read(c.offset, static_cast<int64_t>(count) * c.channels, pixels.data()).ok());
    for (size_t i = 3 * count; c.channels == 1 && i-- > 0;) pixels[i] = pixels[i / 3];
    if (image->rgb == pixels) continue;
    int64_t differ = 0;
    int largest = 0;
    for (size_t i = 0; i < std::min(pixels.size(), image->rgb.size()); ++i) {
      const int difference = std::abs(int{pixels[i]} - int{image->rgb[i]});
      differ += difference > 0;
      largest = std::max(largest, difference);
    }
    ADD_FAILURE() << differ << " of " << pixels.size() << " values differ, by up to " << largest;
  }
  return cases.size();
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_DECODING_CASES_H_
