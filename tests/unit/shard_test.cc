#include "formats/data/shard.h"

#include <gtest/gtest.h>

namespace octet {
namespace {

TEST(ShardTest, ReadsWhatItWrites) {
  const Result<Shard> shard = ParseShard("2/8");
  ASSERT_TRUE(shard.ok()) << shard.status().message();
  EXPECT_EQ(shard->index, 2);
  EXPECT_EQ(shard->count, 8);
  EXPECT_EQ(shard->Text(), "2/8");
  EXPECT_TRUE(ParseShard("0/1")->is_all());
  EXPECT_TRUE(ParseShard("1048575/1048576").ok());
}

TEST(ShardTest, RefusesWhatIsNone) {
  for (const char* text : {"", "1", "/", "1/", "/2", "2/2", "-1/2", "0/0", "0/-1", "1/2/3", "1/2 ",
                           " 1/2", "a/b", "0/1048577", "0/99999999999999999999"}) {
    const Result<Shard> shard = ParseShard(text);
    ASSERT_FALSE(shard.ok()) << text;
    EXPECT_EQ(shard.status().message(), "'" + std::string(text) +
                                            "' is not a shard, expected 0/n to (n-1)/n, n at most "
                                            "1048576");
  }
}

TEST(ShardTest, CutsWithoutGapOrOverlap) {
  for (const int64_t total : {0, 1, 2, 7, 100, 1000003}) {
    for (const int64_t count : {1, 2, 3, 8, 1000}) {
      int64_t at = 0;
      for (Shard s{0, count}; s.index < count; ++s.index) {
        EXPECT_EQ(s.Begin(total), at);
        at = s.End(total);
        EXPECT_LE(at - s.Begin(total), total / count + 1);
      }
      EXPECT_EQ(at, total);
    }
    EXPECT_EQ((Shard{1, 2}).Begin(total), (Shard{3, 6}).Begin(total));
  }
  constexpr int64_t kLarge = int64_t{1} << 62;
  EXPECT_EQ((Shard{kMaxShards - 1, kMaxShards}).End(kLarge), kLarge);
}

TEST(ShardTest, WholesAreNamedAsSuch) {
  const auto check = [](std::vector<ShardFile> files) {
    return CheckShards("parts", &files).message();
  };
  const ShardFile a{{0, 3}, "a"}, b{{1, 3}, "b"}, c{{2, 3}, "c"}, half{{1, 2}, "half"};
  EXPECT_EQ(check({c, a, b}), "");
  EXPECT_EQ(check({{{0, 1}, "all"}}), "");
  EXPECT_EQ(check({{{2, 4}, "x"},
                   {{0, 2}, "y"},
                   {{300, 400}, "z"},
                   {{301, 400}, "u"},
                   {{151, 200}, "v"},
                   {{19, 25}, "w"},
                   {{4, 5}, "t"}}),
            "");
  EXPECT_EQ(check({b, c}), "parts of the shards before b (shard 1/3) are missing");
  EXPECT_EQ(check({a, c}),
            "parts of the shards between a (shard 0/3) and c (shard 2/3) are missing");
  EXPECT_EQ(check({a, b}), "parts of the shards after b (shard 1/3) are missing");
  EXPECT_EQ(check({a, b, half, c}), "parts b (shard 1/3) and half (shard 1/2) overlap");
  EXPECT_EQ(check({a, a, b, c}), "parts a (shard 0/3) and a (shard 0/3) overlap");
}

}  // namespace
}  // namespace octet
