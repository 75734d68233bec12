#include "formats/data/tfrecord.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/data_dir.h"
#include "tests/unit/compress.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace octet::testing;  // NOLINT: builders of small files.

class TfRecordTest : public ::testing::Test {
 protected:
  std::unique_ptr<TfRecordReader> MustOpen(const Bytes& bytes) {
    WriteFile(dir_ / "r.tfrecord", bytes);
    auto reader = TfRecordReader::Open(dir_ / "r.tfrecord");
    EXPECT_TRUE(reader.ok()) << reader.status().message();
    return std::move(reader).value();
  }

  /// The error after `good` readable records.
  Status ErrorAfter(const Bytes& bytes, int good) {
    const auto reader = MustOpen(bytes);
    Bytes record;
    for (int i = 0; i < good; ++i) {
      const Result<bool> more = reader->Next(&record);
      EXPECT_TRUE(more.ok() && *more) << more.status().message();
    }
    const Result<bool> more = reader->Next(&record);
    EXPECT_FALSE(more.ok());
    if (!reader->is_lost()) return more.status();
    // The error stays.
    EXPECT_EQ(reader->Next(&record).status().message(), more.status().message());
    EXPECT_EQ(reader->Skip().status().message(), more.status().message());
    return more.status();
  }

  TempDir dir_;
};

TEST_F(TfRecordTest, ReadsRecords) {
  const Bytes bytes = MakeTfRecord({ToBytes("one"), {}, Bytes(100000, 7)});
  const auto reader = MustOpen(bytes);
  EXPECT_EQ(reader->CountRecords(), 3);
  Bytes record;
  for (const Bytes& expected : {ToBytes("one"), Bytes(), Bytes(100000, 7)}) {
    const Result<bool> more = reader->Next(&record);
    ASSERT_TRUE(more.ok() && *more) << more.status().message();
    EXPECT_EQ(record, expected);
  }
  EXPECT_EQ(reader->records(), 3);
  EXPECT_EQ(reader->offset(), static_cast<int64_t>(bytes.size()));
  for (int i = 0; i < 2; ++i) {
    const Result<bool> more = reader->Next(&record);
    ASSERT_TRUE(more.ok());
    EXPECT_FALSE(*more);
  }
}

TEST_F(TfRecordTest, SkipsRecords) {
  const auto reader = MustOpen(MakeTfRecord({ToBytes("one"), ToBytes("two")}));
  Bytes record;
  ASSERT_TRUE(reader->Skip().ok());
  ASSERT_TRUE(reader->Next(&record).ok());
  EXPECT_EQ(record, ToBytes("two"));
  EXPECT_FALSE(*reader->Skip());
}

TEST_F(TfRecordTest, EmptyFileHasNoRecords) {
  const auto reader = MustOpen({});
  EXPECT_EQ(reader->CountRecords(), 0);
  Bytes record;
  const Result<bool> more = reader->Next(&record);
  ASSERT_TRUE(more.ok());
  EXPECT_FALSE(*more);
}

TEST_F(TfRecordTest, NoticesEveryTruncation) {
  const Bytes bytes = MakeTfRecord({ToBytes("first"), ToBytes("second")});
  const size_t first = 12 + 5 + 4;
  for (size_t n = 1; n < bytes.size(); ++n) {
    if (n == first) continue;  // A whole file of one record.
    const Status status = ErrorAfter(Bytes(bytes.begin(), bytes.begin() + static_cast<int64_t>(n)),
                                     n > first ? 1 : 0);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("truncated"));
    EXPECT_THAT(status.message(),
                HasSubstr(n > first ? "record 1 at byte 21" : "record 0 at byte 0"));
  }
}

TEST_F(TfRecordTest, GoesOnBehindDamagedData) {
  Bytes bytes = MakeTfRecord({ToBytes("first"), ToBytes("second"), ToBytes("third")});
  bytes[12] ^= 1;
  const auto reader = MustOpen(bytes);
  Bytes record;
  EXPECT_FALSE(reader->Next(&record).ok());
  EXPECT_FALSE(reader->is_lost());
  EXPECT_EQ(reader->records(), 1);
  EXPECT_TRUE(*reader->Skip());
  EXPECT_TRUE(*reader->Next(&record));
  EXPECT_EQ(record, ToBytes("third"));
  EXPECT_FALSE(*reader->Next(&record));
}

TEST_F(TfRecordTest, NoticesEveryFlippedBit) {
  const Bytes bytes = MakeTfRecord({ToBytes("first"), ToBytes("second")});
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Bytes damaged = bytes;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    const bool second = bit / 8 >= 21;
    const Status status = ErrorAfter(damaged, second ? 1 : 0);
    EXPECT_EQ(status.code(), StatusCode::kCorrupt);
    EXPECT_THAT(status.message(), HasSubstr("checksum"));
    EXPECT_THAT(status.message(), HasSubstr(second ? "record 1 at byte 21" : "record 0 at byte 0"));
  }
}

TEST_F(TfRecordTest, DoesNotAllocateWhatALengthClaims) {
  // A length with a right checksum, of 2^40 bytes, then of 2^20 in a short file.
  Bytes length;
  AppendLittle(&length, uint64_t{1} << 40, 8);
  Bytes bytes = length;
  AppendLittle(&bytes, MaskCrc(Crc32c(length)), 4);
  bytes.resize(100);
  EXPECT_EQ(ErrorAfter(bytes, 0).code(), StatusCode::kUnsupported);
  length.clear();
  AppendLittle(&length, uint64_t{1} << 20, 8);
  bytes = length;
  AppendLittle(&bytes, MaskCrc(Crc32c(length)), 4);
  bytes.resize(100);
  EXPECT_THAT(ErrorAfter(bytes, 0).message(), HasSubstr("100 are left"));
}

TEST_F(TfRecordTest, ReadsCompressedFiles) {
  const Bytes plain = MakeTfRecord({ToBytes("one"), {}, Bytes(300000, 7)});
  const Bytes gzip = Compress(plain, 31);
  for (const Bytes& bytes : {gzip, Compress(plain, 15)}) {
    const auto reader = MustOpen(bytes);
    EXPECT_TRUE(reader->compressed());
    EXPECT_TRUE(IsTfRecordFile(dir_ / "r.tfrecord"));
    EXPECT_EQ(reader->CountRecords(), 3);
    Bytes record;
    ASSERT_TRUE(reader->Next(&record).ok());
    EXPECT_EQ(record, ToBytes("one"));
    EXPECT_TRUE(*reader->Skip());
    ASSERT_TRUE(*reader->Next(&record));
    EXPECT_EQ(record, Bytes(300000, 7));
    EXPECT_EQ(reader->offset(), static_cast<int64_t>(plain.size()));
    EXPECT_FALSE(*reader->Next(&record));
  }
  // As `cat a.gz b.gz` writes.
  EXPECT_EQ(MustOpen(Concat({gzip, gzip}))->CountRecords(), 6);
  EXPECT_EQ(MustOpen(Compress({}, 31))->CountRecords(), 0);
}

TEST_F(TfRecordTest, NoticesDamageOfCompressedFiles) {
  const Bytes plain = MakeTfRecord({ToBytes("first"), ToBytes("second")});
  for (const int window : {15, 31}) {
    const Bytes whole = Compress(plain, window);
    for (size_t bytes = 24; bytes < whole.size(); ++bytes) {
      const auto reader =
          MustOpen(Bytes(whole.begin(), whole.begin() + static_cast<int64_t>(bytes)));
      Bytes record;
      Result<bool> more = reader->Next(&record);
      while (more.ok() && *more) more = reader->Next(&record);
      ASSERT_FALSE(more.ok()) << bytes;
      EXPECT_EQ(more.status().code(), StatusCode::kCorrupt);
      EXPECT_THAT(more.status().message(), HasSubstr("r.tfrecord: record "));
      EXPECT_THAT(more.status().message(),
                  HasSubstr("the compressed stream is truncated at byte " + std::to_string(bytes)));
    }
    Bytes tail = whole;
    tail.insert(tail.end(), {1, 2, 3, 4});
    EXPECT_EQ(ErrorAfter(tail, 2).code(), StatusCode::kCorrupt);
    Bytes damaged = whole;
    damaged.back() ^= 1;  // Of the stream's own check; the records are whole.
    EXPECT_THAT(ErrorAfter(damaged, 1).message(), HasSubstr("the compressed stream is damaged"));
  }
  // What it inflates to is no TFRecord, or ends in a record.
  EXPECT_THAT(ErrorAfter(Compress(Bytes(1000, 'x'), 31), 0).message(),
              HasSubstr("record 0 at byte 0 of what it inflates to: the checksum of its length"));
  EXPECT_THAT(
      ErrorAfter(Compress(Bytes(plain.begin(), plain.end() - 3), 31), 1).message(),
      HasSubstr("record 1 at byte 21 of what it inflates to is truncated: it needs 22 bytes, "
                "19 are left"));
}

// Inflated piece by piece: a record longer than what is read is refused by its length.
TEST_F(TfRecordTest, BombsAreNotInflatedToMemory) {
  Bytes length;
  AppendLittle(&length, kMaxRecordBytes + 1, 8);
  Bytes bytes = length;
  AppendLittle(&bytes, MaskCrc(Crc32c(length)), 4);
  bytes.resize(100'000'000);
  const Bytes bomb = Compress(bytes, 31);
  EXPECT_LT(bomb.size(), 200'000u);
  EXPECT_EQ(ErrorAfter(bomb, 0).code(), StatusCode::kUnsupported);
}

TEST(ExampleTest, ParsesAllKinds) {
  // Floats and integers both packed and one by one; an unknown field everywhere.
  const Bytes floats =
      ProtoField(2, Concat({ProtoField(1, {0, 0, 0x80, 0x3f}), {1 << 3 | 5, 0, 0, 0, 0xc0}}));
  const Bytes ints =
      ProtoField(3, Concat({ProtoField(1, {5, 0x96, 0x01}), {1 << 3 | 0, 7}, {9 << 3 | 0, 1}}));
  const Bytes strings =
      ProtoField(1, Concat({ProtoField(1, ToBytes("a")), ProtoField(1, {}), ProtoField(7, {1})}));
  Bytes example = MakeExample({{"s", strings}, {"f", floats}, {"i", ints}, {"none", {}}});
  const Bytes unknown = ProtoField(15, ToBytes("unknown"));
  example.insert(example.end(), unknown.begin(), unknown.end());
  const Result<Example> parsed = ParseExample(example);
  ASSERT_TRUE(parsed.ok()) << parsed.status().message();
  ASSERT_EQ(parsed->size(), 4u);
  EXPECT_EQ(parsed->at("s").kind, Feature::Kind::kBytes);
  EXPECT_THAT(parsed->at("s").bytes, ElementsAre("a", ""));
  EXPECT_EQ(parsed->at("f").kind, Feature::Kind::kFloats);
  EXPECT_THAT(parsed->at("f").floats, ElementsAre(1.0f, -2.0f));
  EXPECT_EQ(parsed->at("i").kind, Feature::Kind::kInts);
  EXPECT_THAT(parsed->at("i").ints, ElementsAre(5, 150, 7));
  EXPECT_EQ(parsed->at("none").kind, Feature::Kind::kNone);
}

TEST(ExampleTest, NegativeIntegers) {
  const Bytes record = MakeExample({{"i", IntFeature({-1, INT64_MIN})}});
  const Result<Example> parsed = ParseExample(record);
  ASSERT_TRUE(parsed.ok());
  EXPECT_THAT(parsed->at("i").ints, ElementsAre(-1, INT64_MIN));
}

TEST(ExampleTest, RefusesMalformedMessages) {
  EXPECT_TRUE(ParseExample({}).ok());  // An example without features.
  for (const Bytes& bytes :
       {Bytes{0x0a, 0x05, 1}, Bytes{0x0a}, Bytes{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
        MakeExample({{"f", ProtoField(2, ProtoField(1, {1, 2, 3}))}})}) {
    const Result<Example> parsed = ParseExample(bytes);
    ASSERT_FALSE(parsed.ok());
    EXPECT_EQ(parsed.status().code(), StatusCode::kCorrupt);
  }
}

TEST(FlowersTfRecordTest, HoldsWhatItsReadmeSays) {
  OCTET_REQUIRE_DATA();
  auto reader = TfRecordReader::Open(DataDir() + "/flowers/test.tfrecord");
  ASSERT_TRUE(reader.ok()) << reader.status().message();
  EXPECT_EQ((*reader)->CountRecords(), 50);
  Bytes record;
  for (int i = 0; i < 50; ++i) {
    const Result<bool> more = (*reader)->Next(&record);
    ASSERT_TRUE(more.ok() && *more) << more.status().message();
    const Result<Example> example = ParseExample(record);
    ASSERT_TRUE(example.ok()) << example.status().message();
    for (const char* key :
         {"image/encoded", "image/class/label", "image/class/text", "image/filename",
          "image/height", "image/width", "image/format", "image/colorspace", "image/channels"}) {
      EXPECT_TRUE(example->contains(key)) << key;
    }
    EXPECT_EQ(example->at("image/encoded").bytes.size(), 1u);
    EXPECT_EQ(example->at("image/class/label").ints.size(), 1u);
  }
}

}  // namespace
}  // namespace octet
