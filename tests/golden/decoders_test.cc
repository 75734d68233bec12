// JPEGs of all kinds and sizes and the photos of the shared data sets, decoded by Pillow, OpenCV
// and TensorFlow now; PNGs too.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/data_dir.h"
#include "tests/decoding_cases.h"
#include "tests/golden/exporter_environment.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

TEST(DecodersTest, EveryPhotoHasTheFrameworksPixels) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  OCTET_REQUIRE_EXPORTERS("tensorflow");
  const testing::TempDir folder;
  std::string command =
      python + " " OCTET_SOURCE_DIR "/tests/data/pixels/make_decoding.py " + folder.path() + " all";
  if (testing::HaveData()) {
    for (const char* set : {"test", "validation"})
      command += " " + testing::DataDir() + "/flowers/" + set + ".tfrecord";
  }
  ASSERT_EQ(std::system((command + " >&2").c_str()), 0) << command;
  EXPECT_GT(testing::ExpectDecodedAsByFrameworks(folder.path()), 8000u);
}

}  // namespace
}  // namespace octet
