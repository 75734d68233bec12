#include "formats/data/read_ahead.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <string>
#include <vector>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

struct Numbered : Sample {
  int number = -1, square = -1;
};

/// Numbers from 0, of which some cannot be read and some not prepared.
struct Numbers {
  int count = 0, begun = 0;
  size_t bytes = 0;  ///< Of each.
  std::atomic<int> prepared{0};

  Result<bool> Read(Numbered* item) {
    if (begun == count) return false;
    item->number = begun++;
    item->encoded.resize(bytes);
    if (item->number % 7 == 3) return IoError(StrCat("cannot read ", item->number));
    return true;
  }
  Status Prepare(Numbered* item, int worker) {
    EXPECT_GE(worker, 0);
    EXPECT_LT(worker, std::min(ReadAheadWorkers(), count));
    ++prepared;
    if (item->number % 5 == 4) return Corrupt(StrCat("cannot prepare ", item->number));
    item->square = item->number * item->number;
    return OkStatus();
  }
  ReadAhead<Numbered> Ahead() {
    return {[this](Numbered* item) { return Read(item); },
            [this](Numbered* item, int worker) { return Prepare(item, worker); }};
  }
};

TEST(ReadAheadTest, GivesItemsAndErrorsInOrder) {
  for (const int count : {0, 1, 2, 100}) {
    Numbers numbers{count};
    ReadAhead<Numbered> ahead = numbers.Ahead();
    for (int i = 0; i < count; ++i) {
      Numbered item;
      const Result<bool> more = ahead.Next(&item);
      if (i % 7 == 3) {
        EXPECT_EQ(more.status().message(), StrCat("cannot read ", i));
      } else if (i % 5 == 4) {
        EXPECT_EQ(more.status().message(), StrCat("cannot prepare ", i));
      } else {
        ASSERT_TRUE(more.ok()) << more.status().message();
        EXPECT_TRUE(*more);
        EXPECT_EQ(item.square, i * i);
      }
    }
    for (int again = 0; again < 2; ++again) {
      Numbered item;
      const Result<bool> more = ahead.Next(&item);
      ASSERT_TRUE(more.ok());
      EXPECT_FALSE(*more);
    }
  }
}

TEST(ReadAheadTest, ReadsNoMoreThanAWindow) {
  Numbered item;
  Numbers numbers{1000};
  EXPECT_TRUE(numbers.Ahead().Next(&item).ok());
  EXPECT_LE(numbers.begun, 4 * ReadAheadWorkers());
  EXPECT_LT(numbers.prepared, numbers.begun);  // But for those that could not be read.
  Numbers large{1000, 0, size_t{30} << 20};
  EXPECT_TRUE(large.Ahead().Next(&item).ok());
  EXPECT_LE(large.begun, 3);  // 64 MiB are enough.
}

TEST(ReadAheadTest, PassesOnThatMemoryIsOut) {
  int begun = 0;
  ReadAhead<Numbered> ahead(
      [&](Numbered* item) -> Result<bool> {
        item->number = begun++;
        return true;
      },
      [](Numbered* item, int) -> Status {
        if (item->number == 1) throw std::bad_alloc();
        return OkStatus();
      });
  Numbered item;
  EXPECT_TRUE(ahead.Next(&item).ok());
  EXPECT_THROW((void)ahead.Next(&item), std::bad_alloc);
  EXPECT_TRUE(ahead.Next(&item).ok());
  EXPECT_EQ(item.number, 2);
}

// A data set with good and damaged photos, one by one and ahead.
TEST(ReadAheadTest, GivesWhatDatasetNextGives) {
  const testing::TempDir dir;
  for (int i = 0; i < 40; ++i) {
    testing::Bytes png = testing::MakeColorPng(3 + i, 4, 1, 2, 3);
    if (i % 6 == 5) png.resize(png.size() / 2);
    if (i == 20) png.clear();
    testing::WriteFile(dir / (StrCat("p", 100 + i, ".png")), png);
  }
  const auto one_by_one = OpenDataset(dir.path()), read = OpenDataset(dir.path());
  ASSERT_TRUE(one_by_one.ok() && read.ok());
  struct Decoded : Sample {
    DecodedImage copy;
  };
  ReadAhead<Decoded> ahead([&](Sample* sample) { return (*read)->Read(sample); },
                           [](Decoded* sample, int) -> Status {
                             OCTET_RETURN_IF_ERROR(DecodeSample({}, {}, sample));
                             sample->copy = sample->image;
                             return OkStatus();
                           });
  int errors = 0;
  for (;;) {
    Sample expected;
    Decoded found;
    const Result<bool> a = (*one_by_one)->Next(&expected), b = ahead.Next(&found);
    ASSERT_EQ(a.status().message(), b.status().message());
    if (!a.ok()) {
      ++errors;
      continue;
    }
    ASSERT_EQ(*a, *b);
    if (!*a) break;
    EXPECT_EQ(expected.name, found.name);
    EXPECT_EQ(expected.image.width, found.copy.width);
    EXPECT_EQ(expected.image.rgb, found.copy.rgb);
    EXPECT_TRUE(found.image.rgb.empty());
  }
  EXPECT_EQ(errors, 7);
}

}  // namespace
}  // namespace octet
