// Small images and records that are mutated, and repairs of their checksums.
#ifndef OCTET_TESTS_FUZZ_DATA_SEEDS_H_
#define OCTET_TESTS_FUZZ_DATA_SEEDS_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "formats/data/crc32.h"
#include "tests/unit/data_test_util.h"
#include "tests/unit/tiny_jpegs.h"

namespace octet::testing {

/// Repairs the checksums of a TFRecord file's records, so that a mutation reaches what lies behind
/// them.
inline void FixTfRecord(Bytes* file) {
  const auto store = [&](size_t at, uint32_t crc) {
    for (size_t i = 0; i < 4; ++i) (*file)[at + i] = static_cast<uint8_t>(MaskCrc(crc) >> (8 * i));
  };
  for (size_t at = 0; at + 16 <= file->size();) {
    size_t length = 0;
    for (size_t i = 8; i-- > 0;) length = length << 8 | (*file)[at + i];
    store(at + 8, Crc32c(std::span(*file).subspan(at, 8)));
    if (length > file->size() - at - 16) return;
    store(at + 12 + length, Crc32c(std::span(*file).subspan(at + 12, length)));
    at += 16 + length;
  }
}

inline std::vector<Bytes> JpegSeeds() {
  const auto bytes = [](std::span<const uint8_t> jpeg) { return Bytes(jpeg.begin(), jpeg.end()); };
  return {bytes(kBaselineJpeg), bytes(kProgressiveJpeg), bytes(kGrayJpeg), bytes(kRestartJpeg)};
}

inline std::vector<Bytes> PngSeeds() {
  Bytes rows(6 * 5 * 8);
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<uint8_t>(i * 29);
  return {MakePng(5, 6, 16, 6, rows), MakePng(10, 6, 8, 6, rows), MakePng(20, 12, 8, 0, rows),
          MakePng(40, 6, 4, 3, Bytes(120, 0x12), {1, 2, 3, 4, 5, 6, 7, 8, 9}),
          MakePng(64, 6, 1, 0, Bytes(48, 0x5a))};
}

inline std::vector<Bytes> BmpSeeds() {
  const Bytes palette = {1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0};
  return {MakeBmp(5, 4, 24, Bytes(64, 9)), MakeBmp(5, 4, 32, Bytes(80, 9), {}, true),
          MakeBmp(5, 4, 8, Bytes(32, 2), palette), MakeBmp(5, 4, 4, Bytes(16, 0x12), palette),
          MakeBmp(5, 4, 1, Bytes(16, 0x55), palette)};
}

inline std::vector<Bytes> PnmSeeds() {
  return {MakePnm("P6\n5 4\n255\n", Bytes(60, 3)), MakePnm("P5 # c\n5 4 255\n", Bytes(20, 3)),
          MakePnm("P6 5 4 1000\n", Bytes(120, 3))};
}

/// Three records of one image, its label and its class.
inline Bytes TfRecordSeed() {
  const Bytes example = MakeExample({{"image/encoded", BytesFeature(MakeColorPng(3, 2, 1, 2, 3))},
                                     {"image/class/label", IntFeature({1})},
                                     {"image/class/text", BytesFeature("tulips")},
                                     {"image/filename", BytesFeature("a.png")}});
  return MakeTfRecord({example, example, example});
}

/// A record of every kind of feature.
inline Bytes ExampleSeed() {
  const Bytes floats =
      ProtoField(2, Concat({ProtoField(1, {0, 0, 0x80, 0x3f}), {1 << 3 | 5, 0, 0, 0, 0xc0}}));
  return MakeExample(
      {{"f", floats},
       {"i", IntFeature({1, -1, 1 << 20})},
       {"s", ProtoField(1, Concat({ProtoField(1, ToBytes("a")), ProtoField(1, {})}))}});
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_DATA_SEEDS_H_
