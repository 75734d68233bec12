#include "formats/data/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "formats/data/dataset.h"
#include "tests/unit/data_test_util.h"

namespace octet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace octet::testing;  // NOLINT: builders of small files.

class TarTest : public ::testing::Test {
 protected:
  /// Names of all members and their data, then the error if there is one.
  std::vector<std::string> All(const Bytes& bytes) {
    WriteFile(dir_ / "a.tar", bytes);
    return AllOf(dir_ / "a.tar");
  }
  static std::vector<std::string> AllOf(const std::string& path) {
    std::vector<std::string> all;
    const auto reader = TarReader::Open(path);
    if (!reader.ok()) return {reader.status().message()};
    TarMember member;
    while (true) {
      const Result<bool> more = (*reader)->Next(&member);
      if (!more.ok()) all.push_back(more.status().message());
      if (!more.ok() || !*more) return all;
      Bytes data;
      const Status status = (*reader)->Read(&data);
      if (!status.ok()) all.push_back(status.message());
      all.push_back(member.name + "=" + std::string(data.begin(), data.end()));
    }
  }

  /// "NAME label", or the error, of every sample.
  std::vector<std::string> Samples(const std::string& path, bool need_labels = true) {
    DatasetOptions options;
    options.need_labels = need_labels;
    const auto dataset = OpenDataset(path, options);
    if (!dataset.ok()) return {dataset.status().message()};
    std::vector<std::string> all;
    for (Sample sample;;) {
      const Result<bool> more = (*dataset)->Next(&sample);
      if (more.ok() && !*more) return all;
      all.push_back(more.ok() ? sample.name + " " + std::to_string(sample.label)
                              : more.status().message());
    }
  }

  TempDir dir_;
  const Bytes png_ = MakeColorPng(4, 3, 10, 20, 30);
};

TEST_F(TarTest, ReadsMembers) {
  EXPECT_THAT(All(MakeTar({{"a", ToBytes("1")}, {"b/c", {}}, {"d", Bytes(512, 'x')}})),
              ElementsAre("a=1", "b/c=", "d=" + std::string(512, 'x')));
  EXPECT_THAT(All(MakeTar({})), IsEmpty());
}

TEST_F(TarTest, ReadsLongNames) {
  const std::string name(150, 'n');
  const std::string record = " path=" + name + "\n";
  const std::string pax = std::to_string(record.size() + 3) + record;
  Bytes null_name = ToBytes(name);
  null_name.push_back(0);
  const Bytes end(1024), file = TarMemberBytes("short", ToBytes("x"));
  EXPECT_THAT(All(Concat({TarMemberBytes("p", ToBytes(pax), 'x'), file, file, end})),
              ElementsAre(name + "=x", "short=x"));
  EXPECT_THAT(All(Concat({TarMemberBytes("././@LongLink", null_name, 'L'), file, end})),
              ElementsAre(name + "=x"));
  EXPECT_THAT(All(Concat({TarMemberBytes("g", ToBytes("14 comment=ab\n"), 'g'), file, end})),
              ElementsAre("short=x"));
  EXPECT_THAT(All(Concat({TarMemberBytes("p", ToBytes("9 path=ab"), 'x'), file, end})),
              ElementsAre(HasSubstr("pax header is not made of records")));
  EXPECT_THAT(All(Concat({TarMemberBytes("s", {}, 'S'), end})),
              ElementsAre(HasSubstr("is a sparse file")));
}

TEST_F(TarTest, EveryTruncationAndFlippedBitOfAHeaderIsNoticed) {
  const Bytes bytes = MakeTar({{"first", ToBytes("1")}, {"second", ToBytes("22")}});
  for (size_t size = 0; size < 2048 + 512; ++size) {
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<int64_t>(size));
    ASSERT_FALSE(All(cut).empty()) << size;
    EXPECT_THAT(All(cut).back(), HasSubstr("truncated")) << size;
  }
  for (size_t bit = 0; bit < 512 * 8; bit += 3) {
    Bytes damaged = bytes;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    // A blank may stand for the 0 that the checksum begins with, and nothing for what ends it.
    if (bit / 8 == 148 || bit / 8 == 154 || bit / 8 == 155) continue;
    EXPECT_THAT(All(damaged).back(), HasSubstr("checksum")) << bit;
  }
}

TEST_F(TarTest, ReadsWhatTarWrites) {
  if (std::system("tar --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "no tar here";
  const std::string name = std::string(90, 'd') + "/" + std::string(90, 'f') + ".png";
  WriteFile(dir_ / ("t/" + name), png_);
  WriteFile(dir_ / "t/z.txt", "z");
  for (const std::string format : {"gnu", "pax", "ustar"}) {
    for (const std::string z : {"", "z"}) {
      const std::string path = dir_ / ("t.tar" + z);
      ASSERT_EQ(std::system(("tar -c" + z + "f " + path + " -C " + (dir_ / "t") +
                             " --sort=name --format=" + format + " .")
                                .c_str()),
                0);
      const std::vector<std::string> all = AllOf(path);
      EXPECT_EQ(all.back(), "./z.txt=z") << format;
      EXPECT_EQ(all[all.size() - 2], "./" + name + "=" + std::string(png_.begin(), png_.end()))
          << format;
      EXPECT_THAT(Samples(path), ElementsAre("./" + name + " -1")) << format;
    }
  }
}

TEST_F(TarTest, GroupsAreSamples) {
  WriteFile(dir_ / "w.tar", MakeTar({{"README.md", ToBytes("text")},
                                     {"s/0.cls", ToBytes("3\n")},
                                     {"s/0.json", ToBytes("{}")},
                                     {"s/0.png", png_},
                                     {"s/1.png", png_},
                                     {"s/1.mask.png", png_},
                                     {"s/1.cls", ToBytes("0")},
                                     {"s/2.jpg", ToBytes("none")},
                                     {"s/3.cls", ToBytes("1")},
                                     {"s/4.cls", ToBytes("one")},
                                     {"s/4.png", png_},
                                     {"s/5.png", png_},
                                     {"s/5.jpg", png_},
                                     {"photo.2020.png", png_},
                                     {"photo.2020.txt", ToBytes("x")}}));
  EXPECT_THAT(
      Samples(dir_ / "w.tar"),
      ElementsAre("s/0.png 3", "s/1.png 0", HasSubstr("w.tar: s/2.jpg: "),
                  HasSubstr("w.tar: s/3.cls: has no image beside it"),
                  HasSubstr("s/4.png: s/4.cls holds 'one', expected a class's number"),
                  HasSubstr("s/5.png: and s/5.jpg are of one sample"), "photo.2020.png -1"));
}

TEST_F(TarTest, LinksAreRefusedWhereTheyAreImages) {
  WriteFile(dir_ / "w.tar", Concat({TarMemberBytes("a.png", png_), TarMemberBytes("b.png", {}, '2'),
                                    TarMemberBytes("c.txt", {}, '1'), TarMemberBytes("d", {}, '5'),
                                    TarMemberBytes("e.png", png_), Bytes(1024)}));
  EXPECT_THAT(Samples(dir_ / "w.tar", false),
              ElementsAre("a.png -1", HasSubstr("b.png: is a link, expected an image's bytes"),
                          "e.png -1"));
}

TEST_F(TarTest, SamplesInFrontOfDamageAreRead) {
  Bytes bytes = MakeTar({{"a.png", png_}, {"b.png", png_}, {"c.png", png_}});
  bytes[TarMemberBytes("a.png", png_).size()] ^= 1;
  WriteFile(dir_ / "w.tar", bytes);
  EXPECT_THAT(Samples(dir_ / "w.tar", false),
              ElementsAre("a.png -1", HasSubstr("the checksum of its header is wrong")));
}

}  // namespace
}  // namespace octet
