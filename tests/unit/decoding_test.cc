// Pixels as Pillow, OpenCV and TensorFlow decode them.
#include <gtest/gtest.h>

#include <fstream>

#include "formats/data/crc32.h"
#include "formats/data/dataset.h"
#include "formats/model/preprocessing.h"
#include "tests/data_dir.h"
#include "tests/decoding_cases.h"

namespace octet {
namespace {

TEST(DecodingTest, GivesTheFrameworksPixels) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  EXPECT_EQ(testing::ExpectDecodedAsByFrameworks(OCTET_SOURCE_DIR "/tests/data/pixels/decoding"),
            732u);
}

// From the TFRecord to tf.io.decode_jpeg's array, by its checksum.
TEST(DecodingTest, FlowerPhotosAreTensorflows) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  OCTET_REQUIRE_DATA();
  std::ifstream expected(OCTET_SOURCE_DIR "/tests/data/pixels/flowers_by_tensorflow.txt");
  int photos = 0;
  for (const char* set : {"test", "validation"}) {
    const auto dataset = OpenDataset(testing::DataDir() + "/flowers/" + set + ".tfrecord",
                                     {.decoding = DecodingOf(Framework::kTensorflow)});
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    for (Sample sample;; ++photos) {
      const Result<bool> more = (*dataset)->Next(&sample);
      ASSERT_TRUE(more.ok()) << more.status().message();
      if (!*more) break;
      int width = 0, height = 0;
      uint32_t checksum = 0;
      ASSERT_TRUE(expected >> width >> height >> checksum);
      EXPECT_EQ(sample.image.width, width);
      EXPECT_EQ(sample.image.height, height);
      EXPECT_EQ(Crc32(sample.image.rgb), checksum) << sample.name;
    }
  }
  EXPECT_EQ(photos, 130);
}

}  // namespace
}  // namespace octet
