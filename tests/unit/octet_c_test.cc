// The C interface, every function of it, and batches of Classify.
#include "engine/include/octet/octet_c.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "tests/small_network.h"

namespace octet {
namespace {

using ::testing::HasSubstr;

/// The message of the last call, freed.
std::string Take(char** error) {
  const std::string message = *error != nullptr ? *error : "";
  octet_free(*error);
  *error = nullptr;
  return message;
}

octet_image ImageOf(const uint8_t* pixels, int width, int height, int format = OCTET_RGB,
                    int64_t row_stride = 0) {
  octet_image image = {};
  image.pixels = pixels;
  image.width = width;
  image.height = height;
  image.format = format;
  image.row_stride = row_stride;
  return image;
}

class OctetCTest : public ::testing::Test {
 protected:
  void SetUp() override {
    bytes_ = testing::FileOf(testing::SmallNetwork(Precision::kInt8));
    ASSERT_FALSE(bytes_.empty());
    ASSERT_EQ(OCTET_OK, octet_model_from_memory(bytes_.data(), bytes_.size(), &model_, &error_));
    ASSERT_EQ(nullptr, error_);
  }
  void TearDown() override {
    octet_model_destroy(model_);
    octet_model_destroy(nullptr);
    octet_session_destroy(nullptr);
    octet_free(nullptr);
  }

  std::vector<std::byte> bytes_;
  octet_model* model_ = nullptr;
  char* error_ = nullptr;
};

TEST_F(OctetCTest, DescribesTheModel) {
  EXPECT_STREQ("small", octet_model_name(model_));
  EXPECT_EQ(1, octet_model_num_inputs(model_));
  EXPECT_EQ(1, octet_model_num_outputs(model_));
  EXPECT_EQ(5, octet_model_num_labels(model_));
  EXPECT_STREQ("roses", octet_model_label(model_, 0));
  EXPECT_STREQ("tulips", octet_model_label(model_, 4));
  EXPECT_EQ(nullptr, octet_model_label(model_, 5));
  EXPECT_EQ(nullptr, octet_model_label(model_, -1));
  octet_tensor t;
  ASSERT_EQ(OCTET_OK, octet_model_input(model_, 0, &t));
  EXPECT_STREQ("image", t.name);
  EXPECT_EQ(OCTET_UINT8, t.dtype);
  EXPECT_EQ(4, t.rank);
  EXPECT_EQ(std::vector<int64_t>({1, 20, 20, 3}), std::vector<int64_t>(t.shape, t.shape + 4));
  EXPECT_EQ(0.02f, t.scale);
  EXPECT_EQ(114, t.zero_point);
  ASSERT_EQ(OCTET_OK, octet_model_output(model_, 0, &t));
  EXPECT_STREQ("logits", t.name);
  EXPECT_EQ(2, t.rank);
  EXPECT_EQ(5, t.shape[1]);
  EXPECT_EQ(0.05f, t.scale);
  EXPECT_EQ(128, t.zero_point);
  for (int index : {-1, 1}) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_input(model_, index, &t));
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_output(model_, index, &t));
  }
}

TEST_F(OctetCTest, RunsBatchesAsTheCppInterfaceDoes) {
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create(model_, 1, 3, &session, &error_));
  std::vector<uint8_t> input(3 * 1200), output(3 * 5), expected(3 * 5);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(i * 41 + i / 9);
  const void* in = input.data();
  void* out = output.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(session, &in, &out, 3, &error_)) << Take(&error_);
  auto model = Model::FromMemory(bytes_.data(), bytes_.size());
  auto one = Session::Create(*model);
  for (int i = 0; i < 3; ++i) {
    const void* image = input.data() + i * 1200;
    void* row = expected.data() + i * 5;
    ASSERT_TRUE((*one)->Run(&image, &row, 1).ok());
  }
  EXPECT_EQ(expected, output);
  EXPECT_NE(std::vector<uint8_t>(expected.begin(), expected.begin() + 5),
            std::vector<uint8_t>(expected.begin() + 5, expected.begin() + 10));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, &in, &out, 4, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("batch is 4"));
  octet_session_destroy(session);
}

TEST_F(OctetCTest, ClassifiesAsTheCppInterfaceDoes) {
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create_with(model_, nullptr, &session, &error_));
  std::vector<uint8_t> pixels(31 * 100);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 13);
  int index[9], written = -1;
  float probability[9];
  octet_image image = ImageOf(pixels.data(), 30, 31, OCTET_RGB, 100);
  ASSERT_EQ(OCTET_OK,
            octet_session_classify(session, &image, 9, index, probability, &written, &error_));
  ASSERT_EQ(5, written);
  auto cpp = Session::Create(*Model::FromMemory(bytes_.data(), bytes_.size()));
  const auto top = (*cpp)->Classify({pixels.data(), 30, 31, PixelFormat::kRgb, 100}, 9);
  ASSERT_TRUE(top.ok());
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ((*top)[i].index, index[i]);
    EXPECT_EQ((*top)[i].probability, probability[i]);
  }
  image.pixels = nullptr;
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify(session, &image, 9, index, probability, &written, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("null"));
  EXPECT_EQ(0, written);
  octet_session_destroy(session);
}

TEST_F(OctetCTest, PreprocessesAndClassifiesBatchesAsTheCppInterfaceDoes) {
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create(model_, 1, 2, &session, &error_));
  std::vector<uint8_t> pixels(40 * 40 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 17 + i / 13);
  std::vector<octet_image> images;
  std::vector<Image> cpp_images;
  for (int i = 0; i < 3; ++i) {
    images.push_back(ImageOf(pixels.data() + i, 30 + i, 29 - i, OCTET_BGR, 100));
    cpp_images.push_back({pixels.data() + i, 30 + i, 29 - i, PixelFormat::kBgr, 100});
  }
  auto cpp = Session::Create(*Model::FromMemory(bytes_.data(), bytes_.size()));
  std::vector<uint8_t> input(1200), expected_input(1200);
  ASSERT_EQ(OCTET_OK, octet_session_preprocess(session, images.data(), input.data(), &error_));
  ASSERT_TRUE((*cpp)->Preprocess(cpp_images[0], expected_input.data()).ok());
  EXPECT_EQ(expected_input, input);
  const octet_image bad = ImageOf(pixels.data(), 30, 29, OCTET_RGBA, 100);
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_preprocess(session, &bad, input.data(), &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("row_stride is 100, expected 120"));
  std::vector<float> probabilities(3 * 5);
  ASSERT_EQ(OCTET_OK, octet_session_classify_batch(session, images.data(), 3, probabilities.data(),
                                                   probabilities.size(), &error_));
  const auto rows = (*cpp)->ClassifyBatch(cpp_images.data(), 3);
  ASSERT_TRUE(rows.ok());
  EXPECT_EQ(*rows, probabilities);
  std::vector<float> untouched(15, 9.0f);
  const auto refused = [&](int count, size_t size) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT,
              octet_session_classify_batch(session, images.data(), count, untouched.data(), size,
                                           &error_));
    EXPECT_EQ(std::vector<float>(15, 9.0f), untouched);
    return Take(&error_);
  };
  EXPECT_EQ("size is 14, expected 3 rows of 5", refused(3, 14));
  EXPECT_THAT(refused(-1, 15), HasSubstr("no images"));
  images[1].format = 9;
  EXPECT_THAT(refused(3, 15), HasSubstr("format is 9"));
  octet_session_destroy(session);
}

TEST_F(OctetCTest, TakesEveryFieldOfAnImage) {
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create(model_, 1, 1, &session, &error_));
  auto cpp = Session::Create(*Model::FromMemory(bytes_.data(), bytes_.size()));
  std::vector<uint8_t> pixels(60 * 40 * 2);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 29 + i / 7);
  octet_image c = ImageOf(pixels.data(), 57, 39, OCTET_I420, 60);
  Image image{pixels.data(), 57, 39, PixelFormat::kI420, 60};
  std::vector<uint8_t> input(1200), expected(1200), before(1200);
  const auto step = [&](const char* field) {
    EXPECT_EQ(OCTET_OK, octet_session_preprocess(session, &c, input.data(), &error_)) << field;
    EXPECT_TRUE((*cpp)->Preprocess(image, expected.data()).ok()) << field;
    EXPECT_EQ(expected, input) << field;
    EXPECT_NE(before, input) << field << " does not matter";
    before = input;
  };
  step("format");
  c.chroma[0] = image.chroma[0] = pixels.data() + 60 * 39 + 1;
  step("chroma[0]");
  c.chroma[1] = image.chroma[1] = pixels.data() + 60 * 39 + 1000;
  step("chroma[1]");
  c.chroma_stride = image.chroma_stride = 31;
  step("chroma_stride");
  c.roi = {3, 5, 40, 31};
  image.roi = {3, 5, 40, 31};
  step("roi");
  c.rotation = image.rotation = 3;
  step("rotation");
  c.mirror = 1;
  image.mirror = true;
  step("mirror");
  c.matrix = OCTET_BT709;
  image.matrix = YuvMatrix::kBt709;
  step("matrix");
  c.range = OCTET_FULL_RANGE;
  image.range = YuvRange::kFull;
  step("range");
  octet_session_destroy(session);
}

TEST_F(OctetCTest, PixelsHaveTheNumbersOfTheirChannel) {
  Graph graph = testing::SmallNetwork(Precision::kInt8);
  testing::SetPixelCodes(&graph);
  const std::vector<std::byte> bytes = testing::FileOf(graph);
  octet_model* model = nullptr;
  ASSERT_EQ(OCTET_OK, octet_model_from_memory(bytes.data(), bytes.size(), &model, &error_));
  octet_tensor t;
  ASSERT_EQ(OCTET_OK, octet_model_input(model, 0, &t));
  octet_model_destroy(model);
  EXPECT_EQ(0.0f, t.scale);
  EXPECT_EQ(0.5f, t.channel_scale[1]);
  EXPECT_EQ(40.0f, t.channel_zero_point[1]);
  std::vector<uint8_t> codes(2400), back(2400);  // A batch.
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i * 11 + i / 256);
  std::vector<float> values(2400);
  t.shape[0] = 2;
  ASSERT_EQ(OCTET_OK, octet_tensor_to_floats(&t, codes.data(), values.data()));
  const float scales[3] = {0.25f, 0.5f, 0.125f}, zeros[3] = {20.0f, 40.0f, 60.0f};
  for (size_t i = 0; i < codes.size(); ++i)
    EXPECT_EQ(values[i], scales[i % 3] * (static_cast<float>(codes[i]) - zeros[i % 3])) << i;
  ASSERT_EQ(OCTET_OK, octet_tensor_from_floats(&t, values.data(), back.data()));
  EXPECT_EQ(codes, back);
  // Of a scale of 0 for all there is nothing to be said.
  const auto refuses = [&](octet_tensor tensor) {
    return octet_tensor_to_floats(&tensor, codes.data(), values.data()) == OCTET_INVALID_ARGUMENT &&
           octet_tensor_from_floats(&tensor, values.data(), back.data()) == OCTET_INVALID_ARGUMENT;
  };
  octet_tensor other = t;
  other.channel_scale[2] = 0.0f;
  EXPECT_TRUE(refuses(other));
  other = t;
  other.dtype = OCTET_INT16;
  EXPECT_TRUE(refuses(other));
  other = t;
  other.shape[3] = 5;
  EXPECT_TRUE(refuses(other));
  other.rank = 2;
  EXPECT_TRUE(refuses(other));
}

TEST_F(OctetCTest, ConvertsBetweenBytesAndNumbers) {
  octet_tensor tensor;
  ASSERT_EQ(OCTET_OK, octet_model_output(model_, 0, &tensor));
  const auto model = Model::FromMemory(bytes_.data(), bytes_.size());
  const std::vector<uint8_t> bytes = {0, 1, 128, 254, 255, 7, 8, 9, 10, 11};
  std::vector<float> values(10), expected(10);
  tensor.shape[0] = 2;  // A batch.
  ASSERT_EQ(OCTET_OK, octet_tensor_to_floats(&tensor, bytes.data(), values.data()));
  for (int i = 0; i < 2; ++i)
    (*model)->Describe().outputs[0].ToFloats(bytes.data() + i * 5, expected.data() + i * 5);
  EXPECT_EQ(expected, values);
  std::vector<uint8_t> back(10);
  ASSERT_EQ(OCTET_OK, octet_tensor_from_floats(&tensor, values.data(), back.data()));
  EXPECT_EQ(bytes, back);
  tensor.dtype = OCTET_FLOAT32;
  std::vector<float> copied(10);
  ASSERT_EQ(OCTET_OK, octet_tensor_to_floats(&tensor, values.data(), copied.data()));
  EXPECT_EQ(values, copied);
  copied.assign(10, 0.0f);
  ASSERT_EQ(OCTET_OK, octet_tensor_from_floats(&tensor, values.data(), copied.data()));
  EXPECT_EQ(values, copied);
  const auto refuses = [&] {
    return octet_tensor_to_floats(&tensor, bytes.data(), values.data()) == OCTET_INVALID_ARGUMENT &&
           octet_tensor_from_floats(&tensor, values.data(), back.data()) == OCTET_INVALID_ARGUMENT;
  };
  for (const int rank : {-1, 5}) {
    tensor.rank = rank;
    EXPECT_TRUE(refuses());
  }
  tensor.rank = 2;
  for (const int64_t size : {int64_t{0}, int64_t{-1}, int64_t{1} << 62}) {
    tensor.shape[0] = size;
    EXPECT_TRUE(refuses());
  }
  tensor.shape[0] = 1;
  tensor.dtype = static_cast<octet_dtype>(1);
  EXPECT_TRUE(refuses());
}

TEST_F(OctetCTest, SaysPrecisionAndInstructionSet) {
  EXPECT_STREQ("int8", octet_model_precision(model_));
  octet_session_options options = {};
  options.size = sizeof(options);
  options.isa = "reference";
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create_with(model_, &options, &session, &error_));
  EXPECT_STREQ("reference", octet_session_isa(session));
  octet_session_destroy(session);
}

TEST_F(OctetCTest, OptionsSayWhatIsAsked) {
  octet_model* other = nullptr;
  octet_model_options options = {};
  const auto load = [&] {
    const octet_status status =
        octet_model_from_memory_with(bytes_.data(), bytes_.size(), &options, &other, &error_);
    EXPECT_EQ(status == OCTET_OK, other != nullptr);
    octet_model_destroy(other);
    return status;
  };
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, load());
  EXPECT_THAT(Take(&error_), HasSubstr("octet_model_options: size: found 0"));
  options.size = sizeof(options);
  EXPECT_EQ(OCTET_OK, load());
  options.residency = static_cast<octet_residency>(3);
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, load());
  EXPECT_THAT(Take(&error_), HasSubstr("residency: found 3"));
  options.residency = OCTET_COPY;
  EXPECT_EQ(OCTET_OK, load());
  options.max_memory = static_cast<int64_t>(bytes_.size()) - 1;
  EXPECT_EQ(OCTET_OUT_OF_MEMORY, load());
  EXPECT_THAT(Take(&error_), HasSubstr("max_memory"));
  options.max_memory = 0;
  options.max_nodes = 3;
  EXPECT_EQ(OCTET_UNSUPPORTED, load());
  EXPECT_THAT(Take(&error_), HasSubstr("max_nodes"));
  options.max_nodes = 0;
  std::vector<std::byte> damaged = bytes_;
  damaged.back() ^= std::byte{1};
  bytes_.swap(damaged);
  EXPECT_EQ(OCTET_CORRUPT, load());
  EXPECT_THAT(Take(&error_), HasSubstr("checksum"));
  options.skip_checksum = 1;
  EXPECT_EQ(OCTET_OK, load());
  bytes_.swap(damaged);
  // Of an older version, which ends before max_memory, and of a newer one.
  options = {};
  options.size = offsetof(octet_model_options, max_memory);
  options.max_memory = 1;
  EXPECT_EQ(OCTET_OK, load());
  struct {
    octet_model_options known;
    int64_t unknown;
  } newer = {{}, 0};
  newer.known.size = sizeof(newer);
  EXPECT_EQ(OCTET_OK, octet_model_from_memory_with(bytes_.data(), bytes_.size(), &newer.known,
                                                   &other, &error_));
  octet_model_destroy(other);
  newer.unknown = 1;
  EXPECT_EQ(OCTET_UNSUPPORTED, octet_model_from_memory_with(bytes_.data(), bytes_.size(),
                                                            &newer.known, &other, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("does not know"));
}

TEST_F(OctetCTest, SessionOptionsSayWhatIsAsked) {
  const std::vector<std::byte> bytes = testing::FileOf(testing::SmallNetwork(Precision::kFp32));
  octet_model* model = nullptr;
  ASSERT_EQ(OCTET_OK, octet_model_from_memory(bytes.data(), bytes.size(), &model, &error_));
  std::vector<float> input(2 * 1200, 1.0f), output(2 * 5);
  input[7] = std::numeric_limits<float>::quiet_NaN();
  const void* in = input.data();
  void* out = output.data();
  octet_session_options options = {};
  options.size = sizeof(options);
  octet_session* session = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_create_with(model, &options, &session, &error_));
  EXPECT_EQ(OCTET_OK, octet_session_run(session, &in, &out, 1, &error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, &in, &out, 2, nullptr));
  octet_session_destroy(session);
  options.check_finite = 1;
  options.max_batch = 2;
  options.num_threads = 2;
  options.no_winograd = 1;
  options.isa = "reference";
  ASSERT_EQ(OCTET_OK, octet_session_create_with(model, &options, &session, &error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, &in, &out, 2, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("element 7 of image 0: found nan"));
  octet_session_destroy(session);
  options.isa = "z80";
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_create_with(model, &options, &session, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("z80"));
  EXPECT_EQ(nullptr, session);
  octet_model_destroy(model);
}

TEST_F(OctetCTest, NullIsNeverFollowed) {
  octet_model* model = nullptr;
  octet_session* session = nullptr;
  octet_tensor tensor;
  int index = 0, written = 0;
  float probability = 0;
  const uint8_t pixel[3] = {};
  const octet_image image = ImageOf(pixel, 1, 1);
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_load(nullptr, &model, &error_));
  EXPECT_EQ("path is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_load("x", nullptr, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(OCTET_NOT_FOUND, octet_model_load("no such file", &model, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_from_memory(nullptr, 5, &model, &error_));
  EXPECT_EQ("data is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_from_memory(pixel, 3, nullptr, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(nullptr, octet_model_name(nullptr));
  EXPECT_EQ(nullptr, octet_model_precision(nullptr));
  EXPECT_EQ(nullptr, octet_session_isa(nullptr));
  ASSERT_EQ(OCTET_OK, octet_model_input(model_, 0, &tensor));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_to_floats(nullptr, pixel, &probability));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_to_floats(&tensor, nullptr, &probability));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_to_floats(&tensor, pixel, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_from_floats(nullptr, &probability, &index));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_from_floats(&tensor, nullptr, &index));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_tensor_from_floats(&tensor, &probability, nullptr));
  EXPECT_EQ(0, octet_model_num_inputs(nullptr));
  EXPECT_EQ(0, octet_model_num_outputs(nullptr));
  EXPECT_EQ(0, octet_model_num_labels(nullptr));
  EXPECT_EQ(nullptr, octet_model_label(nullptr, 0));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_input(nullptr, 0, &tensor));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_output(model_, 0, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_create(nullptr, 1, 1, &session, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_create(model_, 1, 1, nullptr, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_create_with(nullptr, nullptr, &session, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_create_with(model_, nullptr, nullptr, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(nullptr, nullptr, nullptr, 1, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify(nullptr, &image, 1, &index, &probability, &written, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  ASSERT_EQ(OCTET_OK, octet_session_create(model_, 1, 1, &session, nullptr));
  const void* in = nullptr;
  void* out = nullptr;
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, nullptr, &out, 1, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, &in, nullptr, 1, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session, &in, &out, 1, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("input 0 (image) is null"));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify(session, &image, 1, nullptr, &probability, &written, nullptr));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify(session, nullptr, 1, &index, &probability, &written, &error_));
  EXPECT_EQ("image is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify_batch(nullptr, &image, 1, &probability, 1, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify_batch(session, nullptr, 1, &probability, 1, &error_));
  EXPECT_EQ("images or probabilities is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify_batch(session, &image, 1, nullptr, 1, nullptr));
  const octet_image no_pixels = ImageOf(nullptr, 1, 1);
  float probabilities[5];
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_classify_batch(session, &no_pixels, 1, probabilities, 5, nullptr));
  uint8_t input[1200];
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_preprocess(nullptr, &image, input, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_preprocess(session, nullptr, input, &error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_preprocess(session, &image, nullptr, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("input is null"));
  octet_session_destroy(session);
}

// Images of different sizes, more than are computed at once, against one at a time.
TEST(ClassifyBatch, EqualsSingleImages) {
  for (const Precision precision : {Precision::kFp32, Precision::kHybrid, Precision::kInt8}) {
    const auto model = ModelFromGraph(testing::SmallNetwork(precision, true));
    ASSERT_TRUE(model.ok());
    std::vector<uint8_t> pixels(60 * 60 * 3 + 1000);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 19 + i / 11);
    std::vector<Image> images;
    for (int i = 0; i < 7; ++i) images.push_back({pixels.data() + i * 100, 20 + 5 * i, 50 - 4 * i});
    auto one = Session::Create(*model);
    std::vector<float> expected;
    for (const Image& image : images) {
      const auto row = (*one)->ClassifyBatch(&image, 1);
      ASSERT_TRUE(row.ok());
      expected.insert(expected.end(), row->begin(), row->end());
    }
    EXPECT_NE(0, std::memcmp(&expected[0], &expected[5], 20));
    for (int max_batch : {1, 2, 3}) {
      SessionOptions options;
      options.max_batch = max_batch;
      auto session = Session::Create(*model, options);
      ASSERT_TRUE(session.ok());
      for (int count : {7, 2, 1, 3}) {
        const auto rows = (*session)->ClassifyBatch(images.data(), count);
        ASSERT_TRUE(rows.ok());
        ASSERT_EQ(static_cast<size_t>(count) * 5, rows->size());
        EXPECT_EQ(0, std::memcmp(expected.data(), rows->data(), rows->size() * 4))
            << PrecisionName(precision) << ", " << count << " images by " << max_batch;
      }
      EXPECT_TRUE((*session)->ClassifyBatch(nullptr, 0).ok());
      EXPECT_EQ(StatusCode::kInvalidArgument,
                (*session)->ClassifyBatch(nullptr, 1).status().code());
      // One image that is refused: the error, and the session goes on.
      std::vector<Image> bad(images.begin(), images.begin() + 3);
      bad[2].rotation = 4;
      EXPECT_EQ(StatusCode::kInvalidArgument,
                (*session)->ClassifyBatch(bad.data(), 3).status().code());
      EXPECT_TRUE((*session)->ClassifyBatch(images.data(), 3).ok());
    }
  }
}

}  // namespace
}  // namespace octet
