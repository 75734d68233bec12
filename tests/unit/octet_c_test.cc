// The C interface, every function of it, and batches of Classify.
#include "engine/include/octet/octet_c.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <utility>
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

struct Destroy {
  void operator()(octet_model* p) const { octet_model_destroy(p); }
  void operator()(octet_session* p) const { octet_session_destroy(p); }
  void operator()(octet_model_options* p) const { octet_model_options_destroy(p); }
  void operator()(octet_session_options* p) const { octet_session_options_destroy(p); }
  void operator()(octet_run_options* p) const { octet_run_options_destroy(p); }
  void operator()(octet_thread_pool* p) const { octet_thread_pool_destroy(p); }
  void operator()(octet_arena* p) const { octet_arena_destroy(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, Destroy>;
Owned<octet_session_options> NewSessionOptions() {
  return Owned<octet_session_options>(octet_session_options_create());
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
  void TearDown() override { octet_model_destroy(model_); }

  Owned<octet_session> CreateSession(const octet_model* model,
                                     const octet_session_options* options = nullptr) {
    octet_session* session = nullptr;
    EXPECT_EQ(OCTET_OK, octet_session_create_with_options(model, options, &session, &error_))
        << Take(&error_);
    return Owned<octet_session>(session);
  }
  Owned<octet_model> Load(const std::vector<std::byte>& bytes) {
    octet_model* model = nullptr;
    EXPECT_EQ(OCTET_OK, octet_model_from_memory(bytes.data(), bytes.size(), &model, &error_))
        << Take(&error_);
    return Owned<octet_model>(model);
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
  ASSERT_EQ(OCTET_OK, octet_session_create_with_options(model_, nullptr, &session, &error_));
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
  const auto options = NewSessionOptions();
  EXPECT_EQ(OCTET_OK, octet_session_options_set_isa(options.get(), "reference"));
  EXPECT_STREQ("reference", octet_session_isa(CreateSession(model_, options.get()).get()));
  // No name is the best one.
  const std::string best = octet_session_isa(CreateSession(model_).get());
  EXPECT_NE("reference", best);
  EXPECT_EQ(OCTET_OK, octet_session_options_set_isa(options.get(), nullptr));
  EXPECT_EQ(best, octet_session_isa(CreateSession(model_, options.get()).get()));
}

TEST_F(OctetCTest, OptionsSayWhatIsAsked) {
  const auto fresh = [] { return Owned<octet_model_options>(octet_model_options_create()); };
  Owned<octet_model_options> options = fresh();
  const auto load = [&] {
    octet_model* other = nullptr;
    const octet_status status = octet_model_from_memory_with_options(
        bytes_.data(), bytes_.size(), options.get(), &other, &error_);
    EXPECT_EQ(status == OCTET_OK, other != nullptr);
    octet_model_destroy(other);
    return status;
  };
  EXPECT_EQ(OCTET_OK, load());
  const auto set_residency = [&](int value) {
    return octet_model_options_set_residency(options.get(), static_cast<octet_residency>(value));
  };
  for (const int nonsense : {-1, 3}) {
    EXPECT_EQ(OCTET_OK, set_residency(nonsense));
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, load());
    EXPECT_EQ("residency: found " + std::to_string(nonsense) + ", expected 0 to 2", Take(&error_));
  }
  EXPECT_EQ(OCTET_OK, set_residency(OCTET_COPY));
  EXPECT_EQ(OCTET_OK, load());
  const auto bytes = static_cast<int64_t>(bytes_.size());
  EXPECT_EQ(OCTET_OK, octet_model_options_set_max_memory(options.get(), bytes - 1));
  EXPECT_EQ(OCTET_OUT_OF_MEMORY, load());
  EXPECT_THAT(Take(&error_), HasSubstr("max_memory"));
  options = fresh();
  EXPECT_EQ(OCTET_OK, octet_model_options_set_max_nodes(options.get(), 3));
  EXPECT_EQ(OCTET_UNSUPPORTED, load());
  EXPECT_THAT(Take(&error_), HasSubstr("max_nodes"));
  options = fresh();
  bytes_.back() ^= std::byte{1};
  EXPECT_EQ(OCTET_CORRUPT, load());
  EXPECT_THAT(Take(&error_), HasSubstr("checksum"));
  EXPECT_EQ(OCTET_OK, octet_model_options_set_verify_checksum(options.get(), 0));
  EXPECT_EQ(OCTET_OK, load());
  EXPECT_EQ(OCTET_OK, octet_model_options_set_verify_checksum(options.get(), 1));
  EXPECT_EQ(OCTET_CORRUPT, load());
  octet_free(error_);
  error_ = nullptr;
  bytes_.back() ^= std::byte{1};

  // Files take the same options.
  const std::string path = ::testing::TempDir() + "octet_c_test.octet";
  ASSERT_TRUE(testing::WriteModel(path, testing::SmallNetwork(Precision::kInt8)).ok());
  octet_model* model = nullptr;
  ASSERT_EQ(OCTET_OK, octet_model_load(path.c_str(), &model, &error_)) << Take(&error_);
  EXPECT_STREQ("small", octet_model_name(model));
  octet_model_destroy(model);
  EXPECT_EQ(OCTET_OK, octet_model_options_set_max_nodes(options.get(), 3));
  EXPECT_EQ(OCTET_UNSUPPORTED,
            octet_model_load_with_options(path.c_str(), options.get(), &model, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("max_nodes"));
  EXPECT_EQ(nullptr, model);
  ASSERT_EQ(OCTET_OK, octet_model_load_with_options(path.c_str(), nullptr, &model, &error_));
  octet_model_destroy(model);
  std::filesystem::remove(path);
}

TEST_F(OctetCTest, SessionOptionsSayWhatIsAsked) {
  const std::vector<std::byte> bytes = testing::FileOf(testing::SmallNetwork(Precision::kFp32));
  const Owned<octet_model> model = Load(bytes);
  std::vector<float> input(2 * 1200, 1.0f), output(2 * 5);
  input[7] = std::numeric_limits<float>::quiet_NaN();
  const void* in = input.data();
  void* out = output.data();
  const auto options = NewSessionOptions();
  Owned<octet_session> session = CreateSession(model.get(), options.get());
  EXPECT_EQ(1, octet_session_num_threads(session.get()));
  EXPECT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session.get(), &in, &out, 2, nullptr));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_check_finite(options.get(), 1));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_max_batch(options.get(), 2));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_num_threads(options.get(), 2));
  session = CreateSession(model.get(), options.get());
  EXPECT_EQ(2, octet_session_num_threads(session.get()));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run(session.get(), &in, &out, 2, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("element 7 of image 0: found nan"));
  const auto refused = [&] {
    octet_session* none = session.get();
    EXPECT_EQ(OCTET_INVALID_ARGUMENT,
              octet_session_create_with_options(model.get(), options.get(), &none, &error_));
    EXPECT_EQ(nullptr, none);
    return Take(&error_);
  };
  EXPECT_EQ(OCTET_OK, octet_session_options_set_isa(options.get(), "z80"));
  EXPECT_THAT(refused(), HasSubstr("z80"));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_isa(options.get(), ""));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_num_threads(options.get(), 0));
  EXPECT_EQ("num_threads is 0, expected 1 to 1024", refused());
  EXPECT_EQ(OCTET_OK, octet_session_options_set_num_threads(options.get(), 1));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_max_batch(options.get(), 65537));
  EXPECT_EQ("max_batch is 65537, expected 1 to 65536", refused());
}

/// Kernels of a session's layers, which say whether it has Winograd.
std::vector<std::string> Kernels(octet_session* session) {
  std::vector<std::string> kernels;
  int layers = 0;
  EXPECT_EQ(OCTET_OK, octet_session_profile(session, &layers, nullptr));
  for (int i = 0; i < layers; ++i) {
    octet_layer_profile layer;
    layer.size = sizeof(layer);
    EXPECT_EQ(OCTET_OK, octet_session_profile_layer(session, i, &layer));
    kernels.push_back(layer.kernel);
  }
  return kernels;
}

TEST_F(OctetCTest, WinogradIsAsAsked) {
  const std::vector<std::byte> bytes = testing::FileOf(testing::SmallNetwork(Precision::kFp32));
  const Owned<octet_model> model = Load(bytes);
  auto cpp_model = Model::FromMemory(bytes.data(), bytes.size());
  const auto options = NewSessionOptions();
  for (const bool winograd : {true, false}) {
    SCOPED_TRACE(winograd);
    EXPECT_EQ(OCTET_OK, octet_session_options_set_winograd(options.get(), winograd ? 1 : 0));
    SessionOptions cpp_options;
    cpp_options.winograd = winograd;
    auto cpp = Session::Create(*cpp_model, cpp_options);
    std::vector<std::string> expected;
    const auto layers = (*cpp)->Profile();
    ASSERT_TRUE(layers.ok());
    for (const LayerProfile& layer : *layers) expected.push_back(layer.kernel);
    const auto kernels = Kernels(CreateSession(model.get(), options.get()).get());
    EXPECT_EQ(expected, kernels);
    const auto has = [&](const std::string& kernel) {
      return kernel.find("winograd") != std::string::npos;
    };
    EXPECT_EQ(winograd, std::any_of(kernels.begin(), kernels.end(), has));
  }
}

TEST_F(OctetCTest, DescribesAllThatTheCppInterfaceDoes) {
  Graph graph = testing::SmallNetwork(Precision::kFp32);
  graph.metadata.source = "a source";
  graph.metadata.options = "--some=options";
  graph.inputs_channels_first = {true};
  graph.outputs_channels_first = {false};
  const std::vector<std::byte> bytes = testing::FileOf(graph);
  const Owned<octet_model> model = Load(bytes);
  const ModelDescription d = (*Model::FromMemory(bytes.data(), bytes.size()))->Describe();
  EXPECT_STREQ("a source", octet_model_source(model.get()));
  EXPECT_STREQ("--some=options", octet_model_conversion_options(model.get()));
  EXPECT_STREQ("fp32", octet_model_precision(model.get()));
  EXPECT_EQ(static_cast<int64_t>(bytes.size()), octet_model_file_size(model.get()));
  const std::pair<int64_t, int64_t> numbers[] = {
      {d.weight_bytes, octet_model_weight_bytes(model.get())},
      {d.parameters, octet_model_parameters(model.get())},
      {d.macs, octet_model_macs(model.get())},
      {d.operators, octet_model_operators(model.get())}};
  std::set<int64_t> different;
  for (const auto& [expected, found] : numbers) {
    EXPECT_GT(expected, 0);
    EXPECT_EQ(expected, found);
    different.insert(found);
  }
  EXPECT_EQ(std::size(numbers), different.size());
  EXPECT_EQ(1200u * 4, octet_model_input_bytes(model.get(), 0));
  EXPECT_EQ(5u * 4, octet_model_output_bytes(model.get(), 0));
  EXPECT_EQ(1, octet_model_input_channels_first(model.get(), 0));
  EXPECT_EQ(0, octet_model_output_channels_first(model.get(), 0));
  EXPECT_EQ(0, octet_model_input_channels_first(model_, 0));
  for (const int index : {-1, 1}) {
    EXPECT_EQ(0u, octet_model_input_bytes(model.get(), index));
    EXPECT_EQ(0u, octet_model_output_bytes(model.get(), index));
    EXPECT_EQ(0, octet_model_input_channels_first(model.get(), index));
    EXPECT_EQ(0, octet_model_output_channels_first(model.get(), index));
  }
  EXPECT_EQ(1200u, octet_model_input_bytes(model_, 0));
}

/// What programs in the field read of an octet_tensor without this header.
TEST_F(OctetCTest, TensorsBeginAsEver) {
  EXPECT_EQ(0u, offsetof(octet_tensor, name));
  EXPECT_EQ(sizeof(void*), offsetof(octet_tensor, dtype));
  EXPECT_EQ(sizeof(void*) + 4, offsetof(octet_tensor, rank));
  EXPECT_EQ(sizeof(void*) + 8, offsetof(octet_tensor, shape));
  EXPECT_EQ(sizeof(void*) + 40, offsetof(octet_tensor, scale));
  EXPECT_EQ(sizeof(void*) + 44, offsetof(octet_tensor, zero_point));
  EXPECT_EQ(sizeof(void*) + 48, offsetof(octet_tensor, channel_scale));
  EXPECT_EQ(sizeof(void*) + 80, sizeof(octet_tensor));
}

octet_preprocessing PreprocessingOf(const octet_model* model) {
  octet_preprocessing p;
  std::memset(&p, 0x55, sizeof(p));
  p.size = sizeof(p);
  EXPECT_EQ(OCTET_OK, octet_model_preprocessing(model, &p));
  EXPECT_EQ(sizeof(p), p.size);
  return p;
}

TEST_F(OctetCTest, GivesEveryFieldOfThePreprocessing) {
  const auto load = [&](const Preprocessing& preprocessing) {
    Graph graph = testing::SmallNetwork(Precision::kFp32);
    graph.metadata.preprocessing = preprocessing;
    const std::vector<std::byte> bytes = testing::FileOf(graph);
    EXPECT_FALSE(bytes.empty());
    return PreprocessingOf(Load(bytes).get());
  };
  Preprocessing pillow;
  pillow.decoding = {Framework::kOpencv, Dct::kFast, Upsampling::kPlain, true};
  pillow.resize = ResizeRule::kLetterbox;
  pillow.resampling.filter = ResizeFilter::kHamming;
  pillow.resampling.passes = Passes::kCheaperFirst;
  pillow.resampling.reducing_gap = 2.5f;
  pillow.order = ChannelOrder::kBgr;
  pillow.pad_color = {7, 8, 9};
  pillow.scale = 0.25f;
  pillow.mean = {1, 2, 3, 0};
  pillow.stddev = {4, 5, 6, 1};
  octet_preprocessing p = load(pillow);
  EXPECT_EQ(OCTET_OPENCV, p.decoding_framework);
  EXPECT_EQ(OCTET_DCT_FAST, p.dct);
  EXPECT_EQ(OCTET_UPSAMPLING_PLAIN, p.upsampling);
  EXPECT_EQ(1, p.exif_orientation);
  EXPECT_EQ(OCTET_RESIZE_LETTERBOX, p.resize);
  EXPECT_EQ(OCTET_PILLOW, p.framework);
  EXPECT_EQ(OCTET_FILTER_HAMMING, p.filter);
  EXPECT_EQ(0, p.antialias);
  EXPECT_EQ(OCTET_COORDINATES_HALF_PIXEL, p.coordinates);
  EXPECT_EQ(OCTET_PASSES_CHEAPER_FIRST, p.passes);
  EXPECT_EQ(2.5f, p.reducing_gap);
  EXPECT_EQ(0, p.to_float);
  EXPECT_EQ(OCTET_ORDER_BGR, p.order);
  EXPECT_THAT(p.pad_color, ::testing::ElementsAre(7, 8, 9));
  EXPECT_EQ(0.25f, p.scale);
  EXPECT_THAT(p.mean, ::testing::ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(p.stddev, ::testing::ElementsAre(4, 5, 6, 1));
  Preprocessing tensorflow;
  tensorflow.decoding.framework = Framework::kTensorflow;
  tensorflow.resize = ResizeRule::kCenterCrop;
  tensorflow.resize_shorter = 24;
  tensorflow.resampling.framework = Framework::kTensorflow;
  tensorflow.resampling.filter = ResizeFilter::kLanczos5;
  tensorflow.resampling.antialias = true;
  tensorflow.resampling.to_float = true;
  p = load(tensorflow);
  EXPECT_EQ(OCTET_TENSORFLOW, p.decoding_framework);
  EXPECT_EQ(OCTET_DCT_ACCURATE, p.dct);
  EXPECT_EQ(OCTET_UPSAMPLING_FANCY, p.upsampling);
  EXPECT_EQ(0, p.exif_orientation);
  EXPECT_EQ(OCTET_RESIZE_CENTER_CROP, p.resize);
  EXPECT_EQ(24, p.resize_shorter);
  EXPECT_EQ(OCTET_TENSORFLOW, p.framework);
  EXPECT_EQ(OCTET_FILTER_LANCZOS5, p.filter);
  EXPECT_EQ(1, p.antialias);
  EXPECT_EQ(1, p.to_float);
  EXPECT_EQ(OCTET_ORDER_RGB, p.order);
  tensorflow.resampling = {};
  tensorflow.resampling.framework = Framework::kTensorflow;
  tensorflow.resampling.coordinates = Coordinates::kAlignCorners;
  EXPECT_EQ(OCTET_COORDINATES_ALIGN_CORNERS, load(tensorflow).coordinates);
}

// Programs of an older version, whose struct ends before, and of a newer one.
TEST_F(OctetCTest, StructsAreFilledAsFarAsBothKnowThem) {
  const octet_preprocessing all = PreprocessingOf(model_);
  ASSERT_EQ(1.0f / 64.0f, all.scale);
  struct {
    octet_preprocessing known;
    int later[4];
  } p;
  const auto fill = [&](size_t size) {
    std::memset(&p, 0x55, sizeof(p));
    p.known.size = size;
    return octet_model_preprocessing(model_, &p.known);
  };
  ASSERT_EQ(OCTET_OK, fill(offsetof(octet_preprocessing, scale)));
  EXPECT_EQ(offsetof(octet_preprocessing, scale), p.known.size);
  EXPECT_EQ(all.resize, p.known.resize);
  EXPECT_EQ(0x55555555, p.later[0]);
  float untouched;
  std::memset(&untouched, 0x55, sizeof(untouched));
  EXPECT_EQ(untouched, p.known.scale);
  ASSERT_EQ(OCTET_OK, fill(sizeof(p) - sizeof(int)));
  EXPECT_EQ(all.scale, p.known.scale);
  EXPECT_THAT(p.later, ::testing::ElementsAre(0, 0, 0, 0x55555555));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, fill(0));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, fill(sizeof(size_t) - 1));
  EXPECT_EQ(0x55555555, p.known.resize);
  const Owned<octet_session> session = CreateSession(model_);
  octet_memory_report memory = {};
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_memory(session.get(), &memory));
  ASSERT_FALSE(Kernels(session.get()).empty());
  octet_layer_profile layer = {};
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile_layer(session.get(), 0, &layer));
}

TEST_F(OctetCTest, VerifiesTheModel) {
  EXPECT_EQ(OCTET_OK, octet_model_verify(model_, &error_)) << Take(&error_);
  EXPECT_EQ(nullptr, error_);
  // What the converter stored for one network, in the file of another.
  Graph graph = testing::SmallNetwork(Precision::kInt8);
  Golden golden;
  golden.seed = 5;
  golden.output.assign(5, 255.0f);
  const auto bytes = SerializeOctet(graph, golden);
  ASSERT_TRUE(bytes.ok()) << bytes.status().message();
  EXPECT_EQ(OCTET_CORRUPT, octet_model_verify(Load(*bytes).get(), &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("expected 255"));
}

TEST_F(OctetCTest, RunsBuffersWhoseSizesAreChecked) {
  const auto options = NewSessionOptions();
  octet_session_options_set_max_batch(options.get(), 3);
  const Owned<octet_session> session = CreateSession(model_, options.get());
  const Owned<octet_run_options> run(octet_run_options_create());
  std::vector<uint8_t> input(3 * 1200), output(3 * 5, 77), expected(3 * 5, 77);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<uint8_t>(i * 41 + i / 9);
  const void* in = input.data();
  void* out = expected.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 2, &error_)) << Take(&error_);
  octet_const_buffer from = {input.data(), 2 * 1200};
  octet_buffer to = {output.data(), 2 * 5};
  size_t inputs = 1, outputs = 1;
  const octet_run_options* how = run.get();
  const auto status = [&] {
    return octet_session_run_tensors(session.get(), &from, inputs, &to, outputs, how, &error_);
  };
  ASSERT_EQ(OCTET_OK, octet_run_options_set_batch(run.get(), 2));
  ASSERT_EQ(OCTET_OK, status()) << Take(&error_);
  EXPECT_EQ(expected, output);
  // Larger buffers will do, without options for one image.
  std::fill(output.begin(), output.end(), uint8_t{77});
  std::fill(expected.begin() + 5, expected.end(), uint8_t{77});
  how = nullptr;
  ASSERT_EQ(OCTET_OK, status()) << Take(&error_);
  EXPECT_EQ(expected, output);
  const auto refused = [&] {
    std::fill(output.begin(), output.end(), uint8_t{77});
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, status());
    EXPECT_EQ(std::vector<uint8_t>(15, 77), output);
    return Take(&error_);
  };
  from.bytes = 1199;
  EXPECT_EQ("Session::Run: input 0 (image): found 1199 bytes, expected 1200", refused());
  how = run.get();
  from.bytes = 2399;
  EXPECT_EQ("Session::Run: input 0 (image): found 2399 bytes, expected 2 times 1200", refused());
  from.bytes = 2400;
  to.bytes = 9;
  EXPECT_EQ("Session::Run: output 0 (logits): found 9 bytes, expected 2 times 5", refused());
  to.bytes = 10;
  for (const size_t wrong : {size_t{0}, size_t{2}}) {
    inputs = wrong;
    EXPECT_EQ("Session::Run: found " + std::to_string(wrong) + " inputs, expected 1", refused());
    inputs = 1;
    outputs = wrong;
    EXPECT_EQ("Session::Run: found " + std::to_string(wrong) + " outputs, expected 1", refused());
    outputs = 1;
  }
  from.data = nullptr;
  EXPECT_EQ("Session::Run: input 0 (image) is null", refused());
  from.data = input.data();
  to.data = nullptr;
  EXPECT_EQ("Session::Run: output 0 (logits) is null", refused());
  to.data = output.data();
  for (const int batch : {-1, 0, 4}) {
    EXPECT_EQ(OCTET_OK, octet_run_options_set_batch(run.get(), batch));
    EXPECT_EQ("batch is " + std::to_string(batch) + ", expected 1 to max_batch = 3", refused());
  }
}

TEST_F(OctetCTest, RunsEndAtTheirTimeLimit) {
  const Owned<octet_session> session = CreateSession(model_);
  const Owned<octet_run_options> run(octet_run_options_create());
  const std::vector<uint8_t> input(1200, 9);
  std::vector<uint8_t> output(5);
  const octet_const_buffer from = {input.data(), input.size()};
  const octet_buffer to = {output.data(), output.size()};
  const auto status = [&](double milliseconds) {
    EXPECT_EQ(OCTET_OK, octet_run_options_set_timeout_ms(run.get(), milliseconds));
    return octet_session_run_tensors(session.get(), &from, 1, &to, 1, run.get(), &error_);
  };
  EXPECT_EQ(OCTET_CANCELLED, status(0));
  EXPECT_EQ("Session::Run: the deadline has passed", Take(&error_));
  for (const double enough : {6e4, 1e300, std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(OCTET_OK, status(enough)) << enough << ": " << Take(&error_);
  }
  for (const double nonsense : {-1.0, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, status(nonsense));
    EXPECT_THAT(Take(&error_), HasSubstr("ms, expected at least 0"));
  }
}

/// A host's loop, which does one task after the other.
struct Loop {
  int calls = 0, tasks = 0;
  octet_session* cancel = nullptr;  ///< At the beginning of the run.
};
extern "C" void LoopOver(void* context, int tasks, void (*task)(void* argument, int index),
                         void* argument) {
  auto* loop = static_cast<Loop*>(context);
  ++loop->calls;
  loop->tasks = tasks;
  octet_session_cancel(loop->cancel);
  for (int i = 0; i < tasks; ++i) task(argument, i);
}

TEST_F(OctetCTest, RunsOnTheHostsThreadsAndIsCancelled) {
  Loop loop;
  const auto options = NewSessionOptions();
  octet_session_options_set_num_threads(options.get(), 3);
  EXPECT_EQ(OCTET_OK, octet_session_options_set_executor(options.get(), LoopOver, &loop));
  const Owned<octet_session> session = CreateSession(model_, options.get());
  EXPECT_EQ(3, octet_session_num_threads(session.get()));
  const std::vector<uint8_t> input(1200, 9);
  std::vector<uint8_t> output(5), expected(5);
  const void* in = input.data();
  void* out = expected.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(CreateSession(model_).get(), &in, &out, 1, &error_));
  EXPECT_EQ(0, loop.calls);
  out = output.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
  EXPECT_EQ(expected, output);
  EXPECT_EQ(1, loop.calls);
  EXPECT_EQ(3, loop.tasks);
  loop.cancel = session.get();
  EXPECT_EQ(OCTET_CANCELLED, octet_session_run(session.get(), &in, &out, 1, &error_));
  EXPECT_EQ("Session::Run: cancelled", Take(&error_));
  loop.cancel = nullptr;
  octet_session_cancel(session.get());  // Of no run.
  EXPECT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
  EXPECT_EQ(expected, output);
  // Without a function octet's own threads do it.
  EXPECT_EQ(OCTET_OK, octet_session_options_set_executor(options.get(), nullptr, &loop));
  const int calls = loop.calls;
  EXPECT_EQ(OCTET_OK,
            octet_session_run(CreateSession(model_, options.get()).get(), &in, &out, 1, &error_));
  EXPECT_EQ(calls, loop.calls);
}

TEST_F(OctetCTest, SessionsShareAPool) {
  octet_thread_pool* created = nullptr;
  for (const int nonsense : {0, 1025}) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_thread_pool_create(nonsense, &created, &error_));
    EXPECT_THAT(Take(&error_), HasSubstr(std::to_string(nonsense)));
    EXPECT_EQ(nullptr, created);
  }
  ASSERT_EQ(OCTET_OK, octet_thread_pool_create(2, &created, &error_)) << Take(&error_);
  Owned<octet_thread_pool> pool(created);
  EXPECT_EQ(2, octet_thread_pool_num_threads(pool.get()));
  auto options = NewSessionOptions();
  octet_session_options_set_num_threads(options.get(), 4);
  EXPECT_EQ(OCTET_OK, octet_session_options_set_pool(options.get(), pool.get()));
  const Owned<octet_session> sessions[] = {CreateSession(model_, options.get()),
                                           CreateSession(model_, options.get())};
  Loop loop;
  octet_session_options_set_executor(options.get(), LoopOver, &loop);
  octet_session* both = nullptr;
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_create_with_options(model_, options.get(), &both, &error_));
  EXPECT_THAT(Take(&error_), HasSubstr("a pool and an executor"));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_pool(options.get(), nullptr));
  EXPECT_EQ(4, octet_session_num_threads(CreateSession(model_, options.get()).get()));
  // The sessions keep it.
  options.reset();
  pool.reset();
  const std::vector<uint8_t> input(1200, 9);
  std::vector<uint8_t> expected(5);
  const void* in = input.data();
  void* out = expected.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(CreateSession(model_).get(), &in, &out, 1, &error_));
  for (const Owned<octet_session>& session : sessions) {
    EXPECT_EQ(2, octet_session_num_threads(session.get()));  // Of the 4 that were asked for.
    std::vector<uint8_t> output(5);
    out = output.data();
    ASSERT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
    EXPECT_EQ(expected, output);
  }
}

TEST_F(OctetCTest, SessionsInTurnsShareAnArena) {
  octet_arena* created = nullptr;
  ASSERT_EQ(OCTET_OK, octet_arena_create(&created, &error_)) << Take(&error_);
  Owned<octet_arena> arena(created);
  EXPECT_EQ(0, octet_arena_bytes(arena.get()));
  auto options = NewSessionOptions();
  EXPECT_EQ(OCTET_OK, octet_session_options_set_arena(options.get(), arena.get()));
  const Owned<octet_session> sessions[] = {CreateSession(model_, options.get()),
                                           CreateSession(model_, options.get())};
  octet_memory_report memory = {};
  memory.size = sizeof(memory);
  ASSERT_EQ(OCTET_OK, octet_session_memory(sessions[0].get(), &memory));
  EXPECT_EQ(memory.arena_bytes, octet_arena_bytes(arena.get()));
  EXPECT_EQ(OCTET_OK, octet_session_options_set_arena(options.get(), nullptr));
  arena.reset();  // The sessions keep it.
  const std::vector<uint8_t> input(1200, 9);
  std::vector<uint8_t> expected(5), output(5);
  const void* in = input.data();
  void* out = expected.data();
  const Owned<octet_session> alone = CreateSession(model_, options.get());
  ASSERT_EQ(OCTET_OK, octet_session_run(alone.get(), &in, &out, 1, &error_));
  out = output.data();
  for (const Owned<octet_session>& session : sessions) {
    ASSERT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
    EXPECT_EQ(expected, output);
  }
}

TEST_F(OctetCTest, LoadsFromDescriptorsAndFunctions) {
  const std::filesystem::path path = std::filesystem::path(::testing::TempDir()) / "octet_c.bin";
  {
    std::ofstream file(path, std::ios::binary);
    file << "12345678";
    file.write(reinterpret_cast<const char*>(bytes_.data()),
               static_cast<std::streamsize>(bytes_.size()));
    file << "behind";
  }
  const int descriptor = ::open(path.c_str(), O_RDONLY);
  ASSERT_GE(descriptor, 0);
  const auto size = static_cast<int64_t>(bytes_.size());
  octet_model* model = nullptr;
  ASSERT_EQ(OCTET_OK, octet_model_from_descriptor(descriptor, 8, size, nullptr, &model, &error_))
      << Take(&error_);
  EXPECT_STREQ("small", octet_model_name(model));
  EXPECT_EQ(0, octet_model_copied_bytes(model));
  octet_model_destroy(model);
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_model_from_descriptor(descriptor, 8, size + 7, nullptr, &model, &error_));
  EXPECT_EQ(nullptr, model);
  EXPECT_NE("", Take(&error_));
  ::close(descriptor);
  std::filesystem::remove(path);

  struct Source {
    const std::byte* bytes;
    int calls_until_failure;
  } source{bytes_.data(), 1000};
  const octet_read read = [](void* context, int64_t offset, void* buffer, size_t count) {
    auto* from = static_cast<Source*>(context);
    std::memcpy(buffer, from->bytes + offset, count);
    return from->calls_until_failure-- > 0 ? 1 : 0;
  };
  ASSERT_EQ(OCTET_OK, octet_model_from_reader(size, read, &source, nullptr, &model, &error_))
      << Take(&error_);
  EXPECT_STREQ("small", octet_model_name(model));
  EXPECT_EQ(size, octet_model_copied_bytes(model));
  octet_model_destroy(model);
  source.calls_until_failure = 0;
  EXPECT_EQ(OCTET_IO, octet_model_from_reader(size, read, &source, nullptr, &model, &error_));
  EXPECT_EQ(nullptr, model);
  EXPECT_NE("", Take(&error_));
}

TEST_F(OctetCTest, SaysWhereTimeAndMemoryWent) {
  const auto options = NewSessionOptions();
  EXPECT_EQ(OCTET_OK, octet_session_options_set_profile(options.get(), 1));
  const Owned<octet_session> session = CreateSession(model_, options.get());
  auto cpp = Session::Create(*Model::FromMemory(bytes_.data(), bytes_.size()));
  octet_layer_profile layer = {};
  layer.size = sizeof(layer);
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile_layer(session.get(), 0, &layer));
  const std::vector<uint8_t> input(1200, 9);
  std::vector<uint8_t> output(5);
  const void* in = input.data();
  void* out = output.data();
  ASSERT_EQ(OCTET_OK, octet_session_run(session.get(), &in, &out, 1, &error_));
  const auto expected = (*cpp)->Profile();
  ASSERT_TRUE(expected.ok());
  ASSERT_GT(expected->size(), 3u);
  const auto total = [&] {
    int layers = -1;
    EXPECT_EQ(OCTET_OK, octet_session_profile(session.get(), &layers, &error_));
    EXPECT_EQ(std::ssize(*expected), layers);
    double milliseconds = 0;
    for (int i = 0; i < layers; ++i) {
      EXPECT_EQ(OCTET_OK, octet_session_profile_layer(session.get(), i, &layer));
      const LayerProfile& e = (*expected)[static_cast<size_t>(i)];
      EXPECT_EQ(e.name, layer.name);
      EXPECT_EQ(e.type, layer.type);
      EXPECT_EQ(e.kernel, layer.kernel);
      EXPECT_EQ(e.shape, layer.shape);
      EXPECT_EQ(e.macs, layer.macs);
      milliseconds += layer.milliseconds;
    }
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile_layer(session.get(), -1, &layer));
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile_layer(session.get(), layers, &layer));
    return milliseconds;
  };
  EXPECT_GT(total(), 0.0);
  octet_session_reset_profile(session.get());
  EXPECT_EQ(0.0, total());
  // Nothing is timed unasked.
  EXPECT_EQ(OCTET_OK, octet_session_options_set_profile(options.get(), 0));
  const Owned<octet_session> silent = CreateSession(model_, options.get());
  ASSERT_EQ(OCTET_OK, octet_session_run(silent.get(), &in, &out, 1, &error_));
  int layers = 0;
  ASSERT_EQ(OCTET_OK, octet_session_profile(silent.get(), &layers, &error_));
  for (int i = 0; i < layers; ++i) {
    ASSERT_EQ(OCTET_OK, octet_session_profile_layer(silent.get(), i, &layer));
    EXPECT_EQ(0.0, layer.milliseconds);
  }

  octet_memory_report memory = {};
  memory.size = sizeof(memory);
  ASSERT_EQ(OCTET_OK, octet_session_memory(session.get(), &memory));
  EXPECT_EQ(static_cast<int64_t>(bytes_.size()), memory.mapped_bytes);
  EXPECT_EQ((*cpp)->Memory().arena_bytes, memory.arena_bytes);
  EXPECT_EQ((*cpp)->Memory().prepared_bytes, memory.prepared_bytes);
  EXPECT_GT(memory.arena_bytes, 0);
}

TEST_F(OctetCTest, SessionsKeepTheirModel) {
  Owned<octet_model> model = Load(bytes_);
  const Owned<octet_session> session = CreateSession(model.get());
  model.reset();
  octet_model* again = nullptr;
  ASSERT_EQ(OCTET_OK, octet_session_model(session.get(), &again, &error_));
  EXPECT_STREQ("small", octet_model_name(again));
  EXPECT_EQ(1, octet_session_num_threads(CreateSession(again).get()));
  octet_model_destroy(again);
  int index = -1, written = 0;
  float probability = 0;
  const std::vector<uint8_t> pixels(1200, 9);
  const octet_image image = ImageOf(pixels.data(), 20, 20);
  EXPECT_EQ(OCTET_OK, octet_session_classify(session.get(), &image, 1, &index, &probability,
                                             &written, &error_));
  EXPECT_EQ(1, written);
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
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_create_with_options(nullptr, nullptr, &session, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT,
            octet_session_create_with_options(model_, nullptr, nullptr, &error_));
  EXPECT_EQ("session is null", Take(&error_));
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
  const octet_const_buffer from = {input, sizeof(input)};
  const octet_buffer to = {probabilities, sizeof(probabilities)};
  const auto run_tensors = [&](octet_session* s, const octet_const_buffer* f,
                               const octet_buffer* t) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_run_tensors(s, f, 1, t, 1, nullptr, &error_));
    return Take(&error_);
  };
  EXPECT_EQ("session is null", run_tensors(nullptr, &from, &to));
  EXPECT_EQ("inputs is null", run_tensors(session, nullptr, &to));
  EXPECT_EQ("outputs is null", run_tensors(session, &from, nullptr));
  octet_session_destroy(session);
}

TEST_F(OctetCTest, NullIsNeverFollowedByWhatDescribesAndSets) {
  octet_model* model = nullptr;
  octet_thread_pool* pool = nullptr;
  int layers = 0;
  octet_preprocessing preprocessing = {};
  octet_memory_report memory = {};
  octet_layer_profile layer = {};
  const Owned<octet_session> session = CreateSession(model_);
  octet_model_destroy(nullptr);
  octet_session_destroy(nullptr);
  octet_model_options_destroy(nullptr);
  octet_session_options_destroy(nullptr);
  octet_run_options_destroy(nullptr);
  octet_thread_pool_destroy(nullptr);
  octet_arena_destroy(nullptr);
  octet_session_cancel(nullptr);
  octet_session_reset_profile(nullptr);
  octet_free(nullptr);
  EXPECT_EQ(nullptr, octet_model_source(nullptr));
  EXPECT_EQ(nullptr, octet_model_conversion_options(nullptr));
  EXPECT_EQ(0, octet_model_file_size(nullptr));
  EXPECT_EQ(0, octet_model_weight_bytes(nullptr));
  EXPECT_EQ(0, octet_model_parameters(nullptr));
  EXPECT_EQ(0, octet_model_macs(nullptr));
  EXPECT_EQ(0, octet_model_operators(nullptr));
  EXPECT_EQ(0u, octet_model_input_bytes(nullptr, 0));
  EXPECT_EQ(0u, octet_model_output_bytes(nullptr, 0));
  EXPECT_EQ(0, octet_model_input_channels_first(nullptr, 0));
  EXPECT_EQ(0, octet_model_output_channels_first(nullptr, 0));
  EXPECT_EQ(0, octet_thread_pool_num_threads(nullptr));
  EXPECT_EQ(0, octet_arena_bytes(nullptr));
  EXPECT_EQ(0, octet_model_copied_bytes(nullptr));
  EXPECT_EQ(0, octet_session_num_threads(nullptr));
  for (const octet_status status :
       {octet_model_options_set_verify_checksum(nullptr, 1),
        octet_model_options_set_residency(nullptr, OCTET_MAP),
        octet_model_options_set_max_memory(nullptr, 1),
        octet_model_options_set_max_nodes(nullptr, 1),
        octet_session_options_set_num_threads(nullptr, 1),
        octet_session_options_set_max_batch(nullptr, 1),
        octet_session_options_set_isa(nullptr, "sse2"),
        octet_session_options_set_winograd(nullptr, 1),
        octet_session_options_set_profile(nullptr, 1),
        octet_session_options_set_check_finite(nullptr, 1),
        octet_session_options_set_pool(nullptr, nullptr),
        octet_session_options_set_executor(nullptr, nullptr, nullptr),
        octet_session_options_set_arena(nullptr, nullptr),
        octet_arena_create(nullptr, nullptr),
        octet_model_from_descriptor(0, 0, 0, nullptr, nullptr, nullptr),
        octet_model_from_reader(1, nullptr, nullptr, nullptr, &model, nullptr),
        octet_run_options_set_batch(nullptr, 1),
        octet_run_options_set_timeout_ms(nullptr, 1),
        octet_model_load_with_options(nullptr, nullptr, &model, nullptr),
        octet_model_load_with_options("x", nullptr, nullptr, nullptr),
        octet_model_from_memory_with_options(nullptr, 1, nullptr, &model, nullptr),
        octet_model_from_memory_with_options(bytes_.data(), 1, nullptr, nullptr, nullptr),
        octet_model_preprocessing(nullptr, &preprocessing),
        octet_model_preprocessing(model_, nullptr),
        octet_session_memory(nullptr, &memory),
        octet_session_memory(session.get(), nullptr),
        octet_session_profile_layer(nullptr, 0, &layer),
        octet_session_profile_layer(session.get(), 0, nullptr)}) {
    EXPECT_EQ(OCTET_INVALID_ARGUMENT, status);
  }
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_model_verify(nullptr, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_thread_pool_create(1, nullptr, &error_));
  EXPECT_EQ("pool is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_model(nullptr, &model, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_model(session.get(), nullptr, &error_));
  EXPECT_EQ("model is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile(nullptr, &layers, &error_));
  EXPECT_EQ("session is null", Take(&error_));
  EXPECT_EQ(OCTET_INVALID_ARGUMENT, octet_session_profile(session.get(), nullptr, &error_));
  EXPECT_EQ("num_layers is null", Take(&error_));
  EXPECT_EQ(nullptr, model);
  EXPECT_EQ(nullptr, pool);
}

std::string Contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

/// Names of functions that a header marks OCTET_API.
std::set<std::string> Declared(const std::string& header) {
  const std::string text = Contents(OCTET_SOURCE_DIR "/engine/include/octet/" + header);
  const std::regex function("OCTET_API [^;{(]*?([a-zA-Z_~]+)\\(");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), function), end; it != end; ++it)
    names.insert((*it)[1]);
  return names;
}

TEST(InterfaceTest, EveryFunctionHasATest) {
  const std::filesystem::path tests = OCTET_SOURCE_DIR "/tests";
  const std::set<std::string> c = Declared("octet_c.h"), cpp = Declared("octet.h");
  EXPECT_GT(c.size(), 60u);
  const std::string c_test = Contents(tests / "unit/octet_c_test.cc");
  for (const std::string& name : c) EXPECT_NE(std::string::npos, c_test.find(name + "(")) << name;
  EXPECT_GT(cpp.size(), 20u);
  std::string cpp_tests;
  for (const auto& entry : std::filesystem::directory_iterator(tests / "unit"))
    cpp_tests += Contents(entry.path());
  for (const std::string& name : cpp) {
    if (name[0] == '~') continue;  // Called unseen.
    const auto has = [&](const std::string& before) {
      return cpp_tests.find(before + name + "(") != std::string::npos;
    };
    EXPECT_TRUE(has(".") || has("->") || has("::")) << name;
  }
  // What a shared library exports is nothing else (packaging_test).
  std::istringstream exported(Contents(tests / "packaging/exported_names.txt"));
  std::set<std::string> exported_c, exported_cpp;
  for (std::string line; std::getline(exported, line);) {
    const bool is_cpp = line.starts_with("octet::");
    (is_cpp ? exported_cpp : exported_c).insert(is_cpp ? line.substr(line.rfind(':') + 1) : line);
  }
  std::set<std::string> all = c;
  all.insert("octet_version");
  EXPECT_EQ(all, exported_c);
  EXPECT_EQ(cpp, exported_cpp);
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
