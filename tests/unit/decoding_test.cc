// Pixels as Pillow, OpenCV and TensorFlow decode them.
#include <gtest/gtest.h>

#include "tests/decoding_cases.h"

namespace octet {
namespace {

TEST(DecodingTest, GivesTheFrameworksPixels) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  EXPECT_EQ(testing::ExpectDecodedAsByFrameworks(OCTET_SOURCE_DIR "/tests/data/pixels/decoding"),
            237u);
}

}  // namespace
}  // namespace octet
