// The path of TensorFlow's own programs, from the record to the answer: tf.io.decode_jpeg with its
// fast DCT, resizing by nearest, division by 255, LiteRT. tensorflow_path.txt is what they gave.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/preprocessing_json.h"
#include "converter/passes/passes.h"
#include "engine/src/model_impl.h"
#include "formats/data/crc32.h"
#include "formats/data/dataset.h"
#include "tests/data_dir.h"

namespace octet {
namespace {

constexpr char kRule[] =
    R"({"framework": "tensorflow", "resize": "stretch", "filter": "nearest", "std": 255})";

std::unique_ptr<Session> SessionOf(const std::string& file, const Preprocessing& preprocessing) {
  Result<Graph> graph = ImportModel(testing::ModelsDir() + "/flowers/" + file, {});
  EXPECT_TRUE(graph.ok()) << graph.status().message();
  if (!graph.ok()) return nullptr;
  graph->metadata.preprocessing = preprocessing;
  EXPECT_TRUE(Optimize(&*graph).ok());
  const auto model = ModelFromGraph(*std::move(graph));
  EXPECT_TRUE(model.ok()) << model.status().message();
  if (!model.ok()) return nullptr;
  auto session = Session::Create(*model);
  return session.ok() ? std::move(session).value() : nullptr;
}

TEST(TensorflowPath, ArraysAndAnswersAreTensorflows) {
#ifndef OCTET_HAVE_LIBJPEG
  GTEST_SKIP() << "built without libjpeg";
#endif
  OCTET_REQUIRE_DATA();
  OCTET_REQUIRE_MODELS();
  const auto rule = ParsePreprocessing(kRule, "rule");
  ASSERT_TRUE(rule.ok()) << rule.status().message();
  const auto floats = SessionOf("flowers_resnet_fp32.tflite", *rule),
             codes = SessionOf("flowers_resnet_int8.tflite", *rule);
  ASSERT_TRUE(floats != nullptr && codes != nullptr);
  std::ifstream expected(OCTET_SOURCE_DIR "/tests/golden/tensorflow_path.txt");
  int photos = 0;
  for (const char* part : {"test", "validation"}) {
    DatasetOptions options;
    options.decoding = rule->decoding;
    auto dataset = OpenDataset(testing::DataDir() + "/flowers/" + part + ".tfrecord", options);
    ASSERT_TRUE(dataset.ok()) << dataset.status().message();
    Sample sample;
    for (;;) {
      const Result<bool> more = (*dataset)->Next(&sample);
      ASSERT_TRUE(more.ok()) << more.status().message();
      if (!*more) break;
      SCOPED_TRACE(sample.name);
      uint32_t crc = 0;
      ASSERT_TRUE(expected >> std::hex >> crc >> std::dec);
      const Image photo{sample.image.rgb.data(), sample.image.width, sample.image.height};
      std::vector<float> input(160 * 160 * 3), probabilities(5);
      ASSERT_TRUE(floats->Preprocess(photo, input.data()).ok());
      EXPECT_EQ(Crc32({reinterpret_cast<const uint8_t*>(input.data()), input.size() * 4}), crc);
      const void* in = input.data();
      void* out = probabilities.data();
      ASSERT_TRUE(floats->Run(&in, &out).ok());
      for (const float p : probabilities) {
        float wanted = 0;
        ASSERT_TRUE(expected >> wanted);
        EXPECT_NEAR(p, wanted, 1e-5);
      }
      std::vector<uint8_t> input_codes(input.size()), answer(5);
      ASSERT_TRUE(codes->Preprocess(photo, input_codes.data()).ok());
      in = input_codes.data();
      out = answer.data();
      ASSERT_TRUE(codes->Run(&in, &out).ok());
      for (const int code : answer) {
        int wanted = 0;
        ASSERT_TRUE(expected >> wanted);
        EXPECT_EQ(code, wanted);
      }
      ++photos;
    }
  }
  EXPECT_EQ(photos, 130);
}

}  // namespace
}  // namespace octet
