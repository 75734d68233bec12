#include "formats/data/preprocessing_json.h"

#include <gtest/gtest.h>

#include <string>

#include "converter/import/preprocessing_json.h"

namespace octet {
namespace {

TEST(PreprocessingJsonTest, ShortestNumbers) {
  Preprocessing p;
  p.resize = ResizeRule::kCenterCrop;
  p.resize_shorter = 256;
  p.resampling.filter = ResizeFilter::kBicubic;
  p.order = ChannelOrder::kBgr;
  p.scale = 1.0f / 255.0f;
  p.mean = {0.485f, 0.456f, 0.406f, 0.0f};
  p.stddev = {0.229f, 0.224f, 0.225f, 1.0f};
  EXPECT_EQ(
      PreprocessingToJson(p, 3),
      "{\"resize\":\"center-crop\",\"resize_shorter\":256,\"filter\":\"bicubic\",\"order\":\"bgr\","
      "\"scale\":0.003921569,\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]}");
}

TEST(PreprocessingJsonTest, ReadsBackTheSameBits) {
  Preprocessing p;
  for (const ResizeRule rule : {ResizeRule::kNone, ResizeRule::kStretch, ResizeRule::kCenterCrop}) {
    for (const ResizeFilter filter : {ResizeFilter::kBilinear, ResizeFilter::kBicubic}) {
      p.resize = rule;
      p.resize_shorter = rule == ResizeRule::kCenterCrop ? 232 : 0;
      p.resampling.filter = filter;
      p.order = filter == ResizeFilter::kBicubic ? ChannelOrder::kBgr : ChannelOrder::kRgb;
      p.scale = 1.0f / 127.5f;
      p.mean = {1e-30f, 123.67999f, -0.1f, 3.0f};
      p.stddev = {1.0000001f, 16777216.0f, 1e20f, 0.3f};
      const std::string json = PreprocessingToJson(p, 4);
      const Result<Preprocessing> back = ParsePreprocessing(json, "test");
      ASSERT_TRUE(back.ok()) << back.status().message() << " in " << json;
      EXPECT_EQ(back->resize, p.resize);
      EXPECT_EQ(back->resize_shorter, p.resize_shorter);
      EXPECT_EQ(back->resampling.filter, p.resampling.filter);
      EXPECT_EQ(back->order, p.order);
      EXPECT_EQ(back->scale, p.scale);
      EXPECT_EQ(back->mean, p.mean);
      EXPECT_EQ(back->stddev, p.stddev);
    }
  }
}

// Whoever writes one number in brackets means all channels, or has a gray network in mind.
TEST(PreprocessingJsonTest, ListsHaveOneNumberForEachChannel) {
  const auto read = [](const char* list, int64_t channels) {
    return ParsePreprocessing(std::string("{\"mean\":") + list + ",\"std\":" + list + "}", "p.json",
                              channels);
  };
  const std::pair<const char*, int64_t> right[] = {
      {"0.5", 1}, {"0.5", 3}, {"[0.5]", 1}, {"[0.1,0.2,0.3]", 3}, {"[1,2,3,4]", 4}, {"[0.5]", 0}};
  for (const auto& [list, channels] : right) EXPECT_TRUE(read(list, channels).ok()) << list;
  EXPECT_EQ(read("0.5", 3)->mean[2], 0.5f);
  const std::pair<const char*, int64_t> wrong[] = {
      {"[0.5]", 3}, {"[0.1,0.2]", 3}, {"[1,2,3,4]", 3}, {"[1,2,3]", 1}, {"[1,2,3]", 4}};
  for (const auto& [list, channels] : wrong) {
    const auto p = read(list, channels);
    ASSERT_FALSE(p.ok()) << list;
    EXPECT_NE(p.status().message().find("p.json: 'mean' has "), std::string::npos);
    EXPECT_NE(p.status().message().find(" numbers, one for each of the input's channels"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace octet
