#include "formats/data/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "formats/base/dtype.h"
#include "tests/data_dir.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace octet::testing;  // NOLINT: builders of small files.

Bytes MakeNpy(std::string_view dictionary, const Bytes& data = {}, int version = 1) {
  Bytes npy;
  Append(&npy, "\x93NUMPY");
  npy.push_back(static_cast<uint8_t>(version));
  npy.push_back(0);
  AppendLittle(&npy, dictionary.size(), version == 1 ? 2 : 4);
  Append(&npy, dictionary);
  npy.insert(npy.end(), data.begin(), data.end());
  return npy;
}

std::string Dictionary(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }\n";
}

TEST(NpyHeaderTest, ReadsAllVersionsAndTypes) {
  const struct {
    const char* descr;
    NpyType type;
    int64_t size;
  } types[] = {{"|u1", NpyType::kU8, 1},  {"|i1", NpyType::kI8, 1},  {"<i4", NpyType::kI32, 4},
               {"<i8", NpyType::kI64, 8}, {"<f2", NpyType::kF16, 2}, {"<f4", NpyType::kF32, 4},
               {"<f8", NpyType::kF64, 8}, {"<u1", NpyType::kU8, 1}};
  for (int version = 1; version <= 3; ++version) {
    for (const auto& t : types) {
      const Bytes npy = MakeNpy(Dictionary(t.descr, "(2, 3)"), {}, version);
      const Result<NpyHeader> header = ParseNpyHeader(npy);
      ASSERT_TRUE(header.ok()) << header.status().message();
      EXPECT_EQ(header->type, t.type);
      EXPECT_THAT(header->shape, ElementsAre(2, 3));
      EXPECT_EQ(header->data_bytes(), 6 * t.size);
      EXPECT_EQ(header->data_offset, static_cast<int64_t>(npy.size()));
    }
  }
}

TEST(NpyHeaderTest, ReadsOddButValidHeaders) {
  Result<NpyHeader> header =
      ParseNpyHeader(MakeNpy("{\"shape\":(5,),\"fortran_order\":False,\"descr\":\"<f4\"}"));
  ASSERT_TRUE(header.ok()) << header.status().message();
  EXPECT_THAT(header->shape, ElementsAre(5));
  header = ParseNpyHeader(MakeNpy(Dictionary("<f4", "()")));
  ASSERT_TRUE(header.ok()) << header.status().message();
  EXPECT_EQ(header->elements, 1);
  header = ParseNpyHeader(MakeNpy(Dictionary("<f4", "(3, 0, 7)")));
  ASSERT_TRUE(header.ok()) << header.status().message();
  EXPECT_EQ(header->elements, 0);
}

TEST(NpyHeaderTest, RefusesTheRest) {
  const auto error = [](const Bytes& bytes) {
    const Result<NpyHeader> header = ParseNpyHeader(bytes);
    EXPECT_FALSE(header.ok());
    return header.status().message();
  };
  EXPECT_THAT(error(ToBytes("not numpy at all")), HasSubstr("magic"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(1,)"), {}, 4)), HasSubstr("version is 4"));
  EXPECT_THAT(error(MakeNpy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }")),
              HasSubstr("Fortran"));
  EXPECT_THAT(error(MakeNpy(Dictionary(">f4", "(1,)"))), HasSubstr("'>f4'"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<c8", "(1,)"))), HasSubstr("'<c8'"));
  EXPECT_THAT(error(MakeNpy(Dictionary("|O", "(1,)"))), HasSubstr("'|O'"));
  EXPECT_THAT(error(MakeNpy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }")),
              HasSubstr("records"));
  EXPECT_THAT(error(MakeNpy("{'descr': '<f4', 'shape': (1,), }")), HasSubstr("lacks"));
  EXPECT_THAT(
      error(MakeNpy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}")),
      HasSubstr("twice"));
  EXPECT_THAT(error(MakeNpy("{'descr': '<f4', 'other': 1}")), HasSubstr("'other'"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(1,)") + "x")), HasSubstr("the end"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(-1,)"))), HasSubstr("sizes"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(1,1,1,1,1,1,1,1,1)"))), HasSubstr("at most 8"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(4294967296,4294967296)"))), HasSubstr("too large"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(4611686018427387904,)"))), HasSubstr("too large"));
  EXPECT_THAT(error(MakeNpy(Dictionary("<f4", "(99999999999999999999,)"))), HasSubstr("sizes"));
  const Bytes whole = MakeNpy(Dictionary("<f4", "(1,)"));
  for (size_t n = 0; n < whole.size(); ++n) {
    EXPECT_FALSE(ParseNpyHeader(std::span(whole).first(n)).ok()) << n;
  }
}

class NpyFileTest : public ::testing::Test {
 protected:
  NpyReader MustOpen(const Bytes& bytes) {
    WriteFile(dir_ / "a.npy", bytes);
    Result<NpyReader> reader = NpyReader::Open(dir_ / "a.npy");
    EXPECT_TRUE(reader.ok()) << reader.status().message();
    return std::move(reader).value();
  }
  std::string OpenError(const Bytes& bytes) {
    WriteFile(dir_ / "a.npy", bytes);
    const Result<NpyReader> reader = NpyReader::Open(dir_ / "a.npy");
    EXPECT_FALSE(reader.ok());
    return reader.status().message();
  }
  TempDir dir_;
};

TEST_F(NpyFileTest, SizeMustFit) {
  EXPECT_THAT(OpenError(MakeNpy(Dictionary("<f4", "(2,)"), Bytes(7))),
              HasSubstr("has 7 bytes of data, its shape needs 8"));
  EXPECT_THAT(OpenError(MakeNpy(Dictionary("<f4", "(2,)"), Bytes(9))),
              HasSubstr("has 9 bytes of data, its shape needs 8"));
  EXPECT_THAT(OpenError({}), HasSubstr("a.npy: not an npy file"));
  EXPECT_EQ(NpyReader::Open(dir_ / "missing.npy").status().code(), StatusCode::kNotFound);
}

TEST_F(NpyFileTest, ConvertsTypes) {
  float f[2];
  int64_t n[2];
  NpyReader u8 = MustOpen(MakeNpy(Dictionary("|u1", "(2,)"), {200, 3}));
  ASSERT_TRUE(u8.ReadFloats(0, 2, f).ok());
  EXPECT_THAT(f, ElementsAre(200.0f, 3.0f));
  NpyReader i8 = MustOpen(MakeNpy(Dictionary("|i1", "(2,)"), {200, 3}));
  ASSERT_TRUE(i8.ReadInts(0, 2, n).ok());
  EXPECT_THAT(n, ElementsAre(-56, 3));
  NpyReader i32 =
      MustOpen(MakeNpy(Dictionary("<i4", "(2,)"), {0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0}));
  ASSERT_TRUE(i32.ReadInts(0, 2, n).ok());
  EXPECT_THAT(n, ElementsAre(-1, 256));
  NpyReader i64 = MustOpen(MakeNpy(Dictionary("<i8", "(1,)"), {0, 0, 0, 0, 0, 1, 0, 0}));
  ASSERT_TRUE(i64.ReadInts(0, 1, n).ok());
  EXPECT_EQ(n[0], int64_t{1} << 40);
  NpyReader f16 = MustOpen(MakeNpy(Dictionary("<f2", "(2,)"), {0x00, 0x3c, 0x00, 0xc1}));
  ASSERT_TRUE(f16.ReadFloats(0, 2, f).ok());
  EXPECT_THAT(f, ElementsAre(1.0f, -2.5f));
  EXPECT_THAT(f16.ReadInts(0, 2, n).message(), HasSubstr("float16"));
  NpyReader f64 = MustOpen(MakeNpy(Dictionary("<f8", "(1,)"), {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}));
  ASSERT_TRUE(f64.ReadFloats(0, 1, f).ok());
  EXPECT_EQ(f[0], 1.5f);
  EXPECT_EQ(f64.ReadFloats(0, 2, f).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(f64.ReadFloats(-1, 1, f).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(f64.ReadFloats(INT64_MAX, 1, f).code(), StatusCode::kInvalidArgument);
}

TEST_F(NpyFileTest, ConvertsLongArrays) {
  constexpr int64_t kCount = 10001;
  Bytes i8, f16;
  for (int64_t i = 0; i < kCount; ++i) {
    i8.push_back(static_cast<uint8_t>(i % 100));
    AppendLittle(&f16, FloatToHalf(static_cast<float>(i % 100)), 2);
  }
  const std::string shape = "(10001,)";
  for (const Bytes& npy :
       {MakeNpy(Dictionary("|i1", shape), i8), MakeNpy(Dictionary("<f2", shape), f16)}) {
    const NpyReader reader = MustOpen(npy);
    std::vector<float> f(kCount);
    ASSERT_TRUE(reader.ReadFloats(0, kCount, f.data()).ok());
    for (int64_t i = 0; i < kCount; ++i) ASSERT_EQ(f[i], static_cast<float>(i % 100)) << i;
  }
}

TEST_F(NpyFileTest, WritesWhatItReads) {
  std::vector<float> values(3 * 5000);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) * 0.37f - 100.0f;
  ASSERT_TRUE(WriteNpy(dir_ / "f.npy", {3, 5000}, values).ok());
  const Result<NpyFloats> floats = ReadNpyFloats(dir_ / "f.npy");
  ASSERT_TRUE(floats.ok()) << floats.status().message();
  EXPECT_THAT(floats->shape, ElementsAre(3, 5000));
  EXPECT_EQ(floats->values, values);
  EXPECT_EQ(ReadNpyFloats(dir_ / "f.npy", 14999).status().code(), StatusCode::kInvalidArgument);

  // Longer than the piece in which conversions are done.
  std::vector<uint8_t> bytes(9000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 7);
  ASSERT_TRUE(WriteNpy(dir_ / "u.npy", {9000}, bytes).ok());
  const Result<NpyFloats> converted = ReadNpyFloats(dir_ / "u.npy");
  ASSERT_TRUE(converted.ok());
  for (size_t i = 0; i < bytes.size(); ++i) ASSERT_EQ(converted->values[i], bytes[i]);

  const std::vector<int32_t> ints = {-1, 2};
  ASSERT_TRUE(WriteNpy(dir_ / "i.npy", {2, 1}, ints).ok());
  const Result<NpyReader> reader = NpyReader::Open(dir_ / "i.npy");
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->header().data_offset % 64, 0);
  EXPECT_EQ(WriteNpy(dir_ / "bad.npy", {3}, ints).code(), StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "bad.npy"));
}

TEST_F(NpyFileTest, WritesNumPysBytes) {
  // numpy.save of numpy.array([1.0], numpy.float32).
  const std::vector<float> one = {1.0f};
  ASSERT_TRUE(WriteNpy(dir_ / "one.npy", {1}, one).ok());
  std::ifstream in(dir_ / "one.npy", std::ios::binary);
  std::stringstream found;
  found << in.rdbuf();
  std::string expected(
      "\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }",
      10 + 57);
  expected.resize(127, ' ');
  expected += std::string("\n\x00\x00\x80\x3f", 5);
  EXPECT_EQ(found.str(), expected);
}

TEST(NpyDataTest, ReadsNumPysFiles) {
  OCTET_REQUIRE_MODELS();
  const auto labels = NpyReader::Open(ModelsDir() + "/flowers/test_labels.npy");
  ASSERT_TRUE(labels.ok()) << labels.status().message();
  EXPECT_THAT(labels->header().shape, ElementsAre(50));
  const auto probabilities = ReadNpyFloats(ModelsDir() + "/flowers/test_probabilities.npy");
  ASSERT_TRUE(probabilities.ok()) << probabilities.status().message();
  EXPECT_THAT(probabilities->shape, ElementsAre(50, 5));
  for (int i = 0; i < 50; ++i) {
    float sum = 0.0f;
    for (int c = 0; c < 5; ++c) sum += probabilities->values[static_cast<size_t>(i * 5 + c)];
    EXPECT_NEAR(sum, 1.0f, 1e-5f);
  }
}

}  // namespace
}  // namespace octet
