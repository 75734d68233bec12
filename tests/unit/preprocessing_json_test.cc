#include "formats/data/preprocessing_json.h"

#include <gtest/gtest.h>

#include <string>

#include "converter/import/preprocessing_json.h"
#include "formats/model/preprocessing.h"

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

void ExpectReadBack(const Preprocessing& p) {
  const std::string json = PreprocessingToJson(p, 4);
  const Result<Preprocessing> back = ParsePreprocessing(json, "test");
  ASSERT_TRUE(back.ok()) << back.status().message() << " in " << json;
  EXPECT_EQ(back->resize, p.resize) << json;
  EXPECT_EQ(back->resize_shorter, p.resize_shorter);
  EXPECT_EQ(back->pad_color, p.pad_color);
  EXPECT_EQ(back->decoding, p.decoding) << json;
  // Without a resize there is nothing to say of it.
  EXPECT_EQ(back->resampling,
            p.resize == ResizeRule::kNone ? ResamplingOf(p.resampling.framework) : p.resampling)
      << json;
  EXPECT_EQ(back->order, p.order);
  EXPECT_EQ(back->scale, p.scale);
  EXPECT_EQ(back->mean, p.mean);
  EXPECT_EQ(back->stddev, p.stddev);
}

TEST(PreprocessingJsonTest, ReadsBackTheSameBits) {
  Preprocessing p;
  p.scale = 1.0f / 127.5f;
  p.mean = {1e-30f, 123.67999f, -0.1f, 3.0f};
  p.stddev = {1.0000001f, 16777216.0f, 1e20f, 0.3f};
  int good = 0;
  for (int framework = 0; framework < 3; ++framework) {
    for (int decoder = 0; decoder < 3 * 2 * 2 * 2; ++decoder) {
      p.decoding.framework = static_cast<Framework>(decoder % 3);
      p.decoding.dct = static_cast<Dct>(decoder / 3 % 2);
      p.decoding.upsampling = static_cast<Upsampling>(decoder / 6 % 2);
      p.decoding.exif_orientation = decoder / 12 != 0;
      p.resize = static_cast<ResizeRule>(decoder % 5);
      p.resize_shorter = p.resize == ResizeRule::kCenterCrop ? 232 : 0;
      p.pad_color = {0, 0, 0};
      if (p.resize == ResizeRule::kLetterbox) p.pad_color = {1, 2, 255};
      p.order = decoder % 2 == 0 ? ChannelOrder::kBgr : ChannelOrder::kRgb;
      for (int filter = 0; filter < 8; ++filter) {
        for (int rest = 0; rest < 2 * 3 * 2 * 2 * 2; ++rest) {
          p.resampling = {static_cast<Framework>(framework),
                          static_cast<ResizeFilter>(filter),
                          rest % 2 == 1,
                          static_cast<Coordinates>(rest / 2 % 3),
                          static_cast<Passes>(rest / 6 % 2),
                          rest / 12 % 2 == 0 ? 0.0f : 2.5f,
                          rest / 24 != 0};
          if (!ProblemOf(p.resampling).empty()) continue;
          ++good;
          ExpectReadBack(p);
        }
      }
    }
  }
  EXPECT_GT(good, 1000);
}

TEST(PreprocessingJsonTest, AFrameworkBringsItsDecoderAndItsFilters) {
  const auto read = [](const char* json) { return ParsePreprocessing(json, "p.json"); };
  const auto tf =
      read(R"({"framework":"tensorflow","filter":"nearest","scale":0.00392156862745098})");
  ASSERT_TRUE(tf.ok()) << tf.status().message();
  EXPECT_EQ(tf->decoding, DecodingOf(Framework::kTensorflow));
  EXPECT_EQ(tf->decoding.dct, Dct::kFast);
  EXPECT_EQ(tf->resampling.framework, Framework::kTensorflow);
  EXPECT_EQ(tf->resampling.filter, ResizeFilter::kNearest);
  const auto mixed = read(
      R"({"framework":"opencv","decode":{"framework":"pillow","dct":"fast"},"filter":"area"})");
  ASSERT_TRUE(mixed.ok()) << mixed.status().message();
  EXPECT_EQ(mixed->decoding, (Decoding{Framework::kPillow, Dct::kFast, Upsampling::kFancy, false}));
  EXPECT_EQ(mixed->resampling.filter, ResizeFilter::kArea);
  const auto resampling = read(R"({"resampling":"tensorflow","filter":"lanczos3"})");
  ASSERT_TRUE(resampling.ok()) << resampling.status().message();
  EXPECT_EQ(resampling->decoding, Decoding());
  EXPECT_TRUE(resampling->resampling.to_float);
}

TEST(PreprocessingJsonTest, RefusesWhatDoesNotGoTogether) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"filter":"area"})", "filter area is none of Pillow's"},
      {R"({"framework":"opencv","filter":"lanczos"})", "filter lanczos is none of OpenCV's"},
      {R"({"framework":"caffe"})", "'framework' is \"caffe\", expected one of: pillow"},
      {R"({"antialias":true})", "antialias is TensorFlow's alone"},
      {R"({"framework":"tensorflow","filter":"nearest","antialias":true})",
       "no meaning for nearest"},
      {R"({"framework":"tensorflow","passes":"cheaper-first"})", "passes are Pillow's alone"},
      {R"({"reducing_gap":0.5})", "reducing_gap is 0.5"},
      {R"({"reducing_gap":2,"result":"float"})", "reducing_gap"},
      {R"({"resize":"none","filter":"bilinear"})", "'filter' goes with another resize than none"},
      {R"({"resize":"none","antialias":false})", "'antialias' goes with another resize"},
      {R"({"resize":"stretch","resize_shorter":256})", "'resize_shorter' is center-crop's alone"},
      {R"({"pad_color":3})", "'pad_color' is letterbox's alone"},
      {R"({"resize":"letterbox","pad_color":256})", "'pad_color' is not an integer"},
      {R"({"resize":"letterbox","pad_color":[1,2]})", "'pad_color' is not an integer"},
      {R"({"decode":{"dct":"slow"}})", "p.json: decode: 'dct' is \"slow\""},
      {R"({"decode":{"speed":1}})", "p.json: decode: 'speed' is not a known field"},
      {R"({"decode":[]})", "p.json: decode"}};
  for (const auto& [json, message] : wrong) {
    const auto p = ParsePreprocessing(json, "p.json");
    ASSERT_FALSE(p.ok()) << json;
    EXPECT_NE(p.status().message().find(message), std::string::npos)
        << json << ": " << p.status().message();
  }
}

// As torchvision and timm name it; what they make of photos is compared in resize_test.
TEST(PreprocessingJsonTest, ReadsTransforms) {
  const PhotoInput input{224, 224, 3};
  const char* resnet50[] = {
      R"([{"type":"Resize","size":256,"interpolation":"bilinear"},{"type":"CenterCrop","size":[224,224]},"ToTensor",
          {"type":"Normalize","mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225]}])",
      R"({"transforms":[{"Resize":{"size":[256],"interpolation":"InterpolationMode.BILINEAR","antialias":true}},
          {"CenterCrop":{"size":224}},{"PILToTensor":{}},{"ConvertImageDtype":{"dtype":"torch.float32"}},
          {"Normalize":{"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],"inplace":false}}]})",
      R"({"crop_size":[224],"resize_size":[256],"mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],
          "interpolation":"InterpolationMode.BILINEAR"})",
      R"({"input_size":[3,224,224],"interpolation":"bilinear","crop_pct":0.875,"mean":[0.485,0.456,0.406],
          "std":[0.229,0.224,0.225],"num_classes":1000})",
      R"({"architecture":"resnet50","pretrained_cfg":{"input_size":[3,224,224],"interpolation":"bilinear",
          "mean":[0.485,0.456,0.406],"std":[0.229,0.224,0.225],"crop_mode":"center"}})"};
  for (const char* json : resnet50) {
    const auto p = ParsePreprocessing(json, "p.json", input);
    ASSERT_TRUE(p.ok()) << p.status().message() << " of " << json;
    EXPECT_EQ(PreprocessingToJson(*p, 3),
              "{\"resize\":\"center-crop\",\"resize_shorter\":256,\"filter\":\"bilinear\","
              "\"order\":\"rgb\",\"scale\":0.003921569,\"mean\":[0.485,0.456,0.406],\"std\":[0.229,"
              "0.224,0.225]}");
  }
  const auto stretch = ParsePreprocessing(
      R"([{"type":"Resize","size":[224,224],"interpolation":"bicubic"},"ToTensor"])", "p", input);
  ASSERT_TRUE(stretch.ok()) << stretch.status().message();
  EXPECT_EQ(stretch->resize, ResizeRule::kStretch);
  EXPECT_EQ(stretch->resampling.filter, ResizeFilter::kBicubic);
  EXPECT_EQ(stretch->scale, 1.0f / 255.0f);
  const auto raw =
      ParsePreprocessing(R"(["PILToTensor",{"type":"ToDtype","dtype":"float32"}])", "p");
  ASSERT_TRUE(raw.ok()) << raw.status().message();
  EXPECT_EQ(raw->resize, ResizeRule::kNone);
  EXPECT_EQ(raw->scale, 1.0f);

  const std::pair<const char*, const char*> wrong[] = {
      {R"([{"type":"Resize","size":256},{"type":"CenterCrop","size":192}])", "expected 224x224"},
      {R"([{"type":"Resize","size":[256,256]},{"type":"CenterCrop","size":224}])",
       "expected 224x224"},
      {R"([{"type":"Resize","size":256}])", "depend on the photo"},
      {R"([{"type":"CenterCrop","size":224}])", "without a Resize in front"},
      {R"([{"type":"Resize","size":200},{"type":"CenterCrop","size":224}])", "octet does not pad"},
      {R"([{"type":"Resize","size":256,"max_size":300},{"type":"CenterCrop","size":224}])",
       "'max_size'"},
      {R"([{"type":"Resize","size":256,"antialias":false},{"type":"CenterCrop","size":224}])",
       "'antialias'"},
      {R"(["ToTensor",{"type":"Resize","size":[224,224]}])", "stands behind"},
      {R"(["RandomHorizontalFlip"])", "RandomHorizontalFlip) is not known"},
      {R"([7])", "transform 0 is not a transform's name"},
      {R"({"crop_size":224,"resize_size":256,"interpolation":"cubic"})",
       "'interpolation' is \"cubic\""},
      {R"({"input_size":[3,224,224],"crop_mode":"border"})", "'crop_mode' is border"},
      {R"({"input_size":[3,192,192]})", "'input_size' is 192x192"},
      {R"({"input_size":[3,224,224],"crop_pct":0})", "'crop_pct'"},
      {R"({"input_size":[3,224,224],"mean":[0.5,0.5]})", "'mean' has 2 of 3"}};
  for (const auto& [json, message] : wrong) {
    const auto p = ParsePreprocessing(json, "p.json", input);
    ASSERT_FALSE(p.ok()) << json;
    EXPECT_NE(p.status().message().find(message), std::string::npos)
        << json << ": " << p.status().message();
  }
}

// Whoever writes one number in brackets means all channels, or has a gray network in mind.
TEST(PreprocessingJsonTest, ListsHaveOneNumberForEachChannel) {
  const auto read = [](const char* list, int64_t channels) {
    return ParsePreprocessing(std::string("{\"mean\":") + list + ",\"std\":" + list + "}", "p.json",
                              {0, 0, channels});
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
