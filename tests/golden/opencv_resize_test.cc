// Scaling by OpenCV's rules against the OpenCV that is installed in build/exporters/tensorflow.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "kernels/dispatch.h"
#include "tests/golden/exporter_environment.h"
#include "tests/kernels/tested_tables.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/resample_test_util.h"

namespace octet {
namespace {

using testing::TempDir;

struct Case {
  int32_t shades, filter, width, height, channels, out_width, out_height;
};

struct Differences {
  int64_t values = 0, wrong = 0;
  double largest = 0.0;
};

TEST(OpencvResizeTest, EqualsTheInstalledOpencv) {
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  const std::string has_ipp =
      "\"" + python + "\" -c 'import cv2, sys; sys.exit(not cv2.ipp.useIPP())' 2>/dev/null";
  if (std::system(has_ipp.c_str()) != 0) GTEST_SKIP() << "no OpenCV with IPP, as on x86, there";
  const TempDir folder;
  const char* kept = std::getenv("OCTET_OPENCV_CASES");
  const std::string path = kept != nullptr ? kept : folder.path() + "/cases";
  if (kept == nullptr) {
    const std::string command = "\"" + python +
                                "\" \"" OCTET_SOURCE_DIR "/tests/golden/opencv_resize.py\" \"" +
                                path + "\" 1500 >&2";
    ASSERT_EQ(std::system(command.c_str()), 0);
  }
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (!testing::IsTested(info)) continue;
    std::ifstream file(path, std::ios::binary);
    std::map<int, Differences> bytes, floats;
    int cases = 0;
    for (Case c; file.read(reinterpret_cast<char*>(&c), sizeof c); ++cases) {
      const std::vector<uint8_t> image = testing::Noise(c.width, c.height, c.channels, c.shades);
      const ResizeTask task = {.in_width = c.width,
                               .in_height = c.height,
                               .channels = c.channels,
                               .resized_width = c.out_width,
                               .resized_height = c.out_height,
                               .width = c.out_width,
                               .height = c.out_height};
      const auto n = static_cast<size_t>(c.out_width) * c.out_height * c.channels;
      const auto compare = [&]<typename T>(T, double tolerance, Differences* all) {
        std::vector<T> expected(n);
        file.read(reinterpret_cast<char*>(expected.data()), static_cast<int64_t>(n * sizeof(T)));
        const std::vector<T> got =
            testing::Resample<T>({.framework = Framework::kOpencv,
                                  .filter = static_cast<ResizeFilter>(c.filter),
                                  .to_float = sizeof(T) > 1},
                                 *info.table, task, image);
        double largest = 0.0;
        for (const T v : expected) largest = std::max(largest, std::fabs(static_cast<double>(v)));
        int64_t wrong = 0;
        double worst = 0.0;
        for (size_t i = 0; i < n; ++i) {
          const double d =
              std::fabs(static_cast<double>(got[i]) - static_cast<double>(expected[i]));
          wrong += d > tolerance * largest;
          worst = std::max(worst, sizeof(T) > 1 ? d / largest : d);
        }
        EXPECT_EQ(wrong, 0) << info.name << " filter " << c.filter
                            << (sizeof(T) > 1 ? " float " : " ") << c.width << "x" << c.height
                            << "x" << c.channels << " to " << c.out_width << "x" << c.out_height
                            << ": " << worst;
        Differences& d = all[0];
        d.values += static_cast<int64_t>(n);
        d.wrong += wrong;
        d.largest = std::max(d.largest, worst);
      };
      compare(uint8_t{}, 0.0, &bytes[c.filter]);
      compare(float{}, 1e-6, &floats[c.filter]);
    }
    EXPECT_GT(cases, 1000);
    for (const auto& [filter, d] : bytes) {
      const Differences& f = floats[filter];
      std::printf(
          "%s, filter %d: %lld values, %lld in 8 bits wrong by up to %g, %lld in float by "
          "up to %.3g of the largest; %d cases of all filters\n",
          info.name, filter, static_cast<long long>(d.values), static_cast<long long>(d.wrong),
          d.largest, static_cast<long long>(f.wrong), f.largest, cases);
    }
  }
}

}  // namespace
}  // namespace octet
