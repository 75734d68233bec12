// Builders of small image and record files, and a temporary folder, for the tests of formats/data.
#ifndef OCTET_TESTS_UNIT_DATA_TEST_UTIL_H_
#define OCTET_TESTS_UNIT_DATA_TEST_UTIL_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/data/crc32.h"

namespace octet::testing {

using Bytes = std::vector<uint8_t>;

// Not by insert, in which g++ 12 sees an overflow when it inlines this into a builder.
inline void Append(Bytes* out, std::string_view text) {
  for (char c : text) out->push_back(static_cast<uint8_t>(c));
}
inline void AppendLittle(Bytes* out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}
inline void AppendBig(Bytes* out, uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

inline void AppendPngChunk(Bytes* out, std::string_view type, const Bytes& data) {
  AppendBig(out, data.size(), 4);
  const size_t begin = out->size();
  Append(out, type);
  out->insert(out->end(), data.begin(), data.end());
  AppendBig(out, Crc32(std::span(*out).subspan(begin)), 4);
}

/// Repairs the checksums of a PNG's chunks, so that a mutation reaches what lies behind them.
inline void FixPng(Bytes* png) {
  for (size_t at = 8; at + 12 <= png->size();) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | (*png)[at + i];
    if (length > png->size() - at - 12) return;
    const uint32_t crc = Crc32(std::span(*png).subspan(at + 4, length + 4));
    for (size_t i = 0; i < 4; ++i)
      (*png)[at + 8 + length + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
}

/// A PNG whose rows (packed as the format says) are stored without compression.
inline Bytes MakePng(int width, int height, int bit_depth, int color_type, const Bytes& rows,
                     const Bytes& palette = {}) {
  Bytes png;
  Append(&png, std::string_view("\x89PNG\r\n\x1a\n", 8));
  Bytes header;
  AppendBig(&header, static_cast<uint64_t>(width), 4);
  AppendBig(&header, static_cast<uint64_t>(height), 4);
  for (int v : {bit_depth, color_type, 0, 0, 0}) header.push_back(static_cast<uint8_t>(v));
  AppendPngChunk(&png, "IHDR", header);
  if (!palette.empty()) AppendPngChunk(&png, "PLTE", palette);
  Bytes raw;
  const size_t row = rows.size() / static_cast<size_t>(height);
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    raw.push_back(0);  // No filter.
    raw.insert(raw.end(), rows.begin() + static_cast<int64_t>(y * row),
               rows.begin() + static_cast<int64_t>((y + 1) * row));
  }
  Bytes zlib;
  AppendBig(&zlib, 0x7801, 2);
  uint32_t a = 1, b = 0;
  for (uint8_t v : raw) {
    a = (a + v) % 65521;
    b = (b + a) % 65521;
  }
  for (size_t at = 0; at < raw.size(); at += 65535) {
    const size_t n = std::min<size_t>(65535, raw.size() - at);
    zlib.push_back(at + n == raw.size() ? 1 : 0);
    AppendLittle(&zlib, n, 2);
    AppendLittle(&zlib, ~n, 2);
    zlib.insert(zlib.end(), raw.begin() + static_cast<int64_t>(at),
                raw.begin() + static_cast<int64_t>(at + n));
  }
  AppendBig(&zlib, b << 16 | a, 4);
  AppendPngChunk(&png, "IDAT", zlib);
  AppendPngChunk(&png, "IEND", {});
  return png;
}

/// A BMP with a 40-byte header; `rows` from the top, each already padded to 4 bytes, are stored
/// from the bottom unless `top_down`.
inline Bytes MakeBmp(int width, int height, int bits, const Bytes& rows, const Bytes& palette = {},
                     bool top_down = false) {
  Bytes bmp;
  Append(&bmp, "BM");
  AppendLittle(&bmp, 54 + palette.size() + rows.size(), 4);
  AppendLittle(&bmp, 0, 4);
  AppendLittle(&bmp, 54 + palette.size(), 4);
  AppendLittle(&bmp, 40, 4);
  AppendLittle(&bmp, static_cast<uint64_t>(width), 4);
  AppendLittle(&bmp, static_cast<uint64_t>(static_cast<int64_t>(top_down ? -height : height)), 4);
  AppendLittle(&bmp, 1, 2);
  AppendLittle(&bmp, static_cast<uint64_t>(bits), 2);
  AppendLittle(&bmp, 0, 4);
  AppendLittle(&bmp, rows.size(), 4);
  AppendLittle(&bmp, 0, 8);
  AppendLittle(&bmp, palette.size() / 4, 4);
  AppendLittle(&bmp, 0, 4);
  bmp.insert(bmp.end(), palette.begin(), palette.end());
  const size_t row = rows.size() / static_cast<size_t>(height);
  for (size_t y = 0; y < static_cast<size_t>(height); ++y) {
    const size_t from = (top_down ? y : static_cast<size_t>(height) - 1 - y) * row;
    bmp.insert(bmp.end(), rows.begin() + static_cast<int64_t>(from),
               rows.begin() + static_cast<int64_t>(from + row));
  }
  return bmp;
}

inline Bytes MakePnm(std::string_view header, const Bytes& samples) {
  Bytes pnm;
  Append(&pnm, header);
  pnm.insert(pnm.end(), samples.begin(), samples.end());
  return pnm;
}

/// An RGB image of one colour.
inline Bytes MakeColorPng(int width, int height, uint8_t r, uint8_t g, uint8_t b) {
  Bytes rows;
  for (int i = 0; i < width * height; ++i) {
    for (uint8_t value : {r, g, b}) rows.push_back(value);
  }
  return MakePng(width, height, 8, 2, rows);
}

inline void AppendVarint(Bytes* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<uint8_t>(value | 0x80));
  out->push_back(static_cast<uint8_t>(value));
}

/// A protocol buffer field of bytes.
inline Bytes ProtoField(int number, const Bytes& content) {
  Bytes out;
  AppendVarint(&out, static_cast<uint64_t>(number) << 3 | 2);
  AppendVarint(&out, content.size());
  out.insert(out.end(), content.begin(), content.end());
  return out;
}

inline Bytes ToBytes(std::string_view text) { return Bytes(text.begin(), text.end()); }

inline Bytes Concat(const std::vector<Bytes>& parts) {
  Bytes out;
  for (const Bytes& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

/// Serialized tf.train.Feature.
inline Bytes BytesFeature(const Bytes& value) { return ProtoField(1, ProtoField(1, value)); }
inline Bytes BytesFeature(std::string_view value) { return BytesFeature(ToBytes(value)); }
inline Bytes IntFeature(const std::vector<int64_t>& values) {
  Bytes packed;
  for (int64_t v : values) AppendVarint(&packed, static_cast<uint64_t>(v));
  return ProtoField(3, ProtoField(1, packed));
}

/// Serialized tf.train.Example.
inline Bytes MakeExample(const std::vector<std::pair<std::string, Bytes>>& features) {
  Bytes map;
  for (const auto& [key, feature] : features) {
    const Bytes entry =
        ProtoField(1, Concat({ProtoField(1, ToBytes(key)), ProtoField(2, feature)}));
    map.insert(map.end(), entry.begin(), entry.end());
  }
  return ProtoField(1, map);
}

inline Bytes MakeTfRecord(const std::vector<Bytes>& records) {
  Bytes out;
  for (const Bytes& record : records) {
    Bytes length;
    AppendLittle(&length, record.size(), 8);
    out.insert(out.end(), length.begin(), length.end());
    AppendLittle(&out, MaskCrc(Crc32c(length)), 4);
    out.insert(out.end(), record.begin(), record.end());
    AppendLittle(&out, MaskCrc(Crc32c(record)), 4);
  }
  return out;
}

/// A member of a tar file: a header and data, in whole blocks.
inline Bytes TarMemberBytes(const std::string& name, const Bytes& data, char type = '0') {
  Bytes header(512);
  const auto put = [&](size_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), header.begin() + static_cast<int64_t>(at));
  };
  char number[24];
  put(0, std::string_view(name).substr(0, 100));
  std::snprintf(number, sizeof(number), "%011zo", data.size());
  put(124, number);
  header[156] = static_cast<uint8_t>(type);
  put(257, std::string_view("ustar\00000", 8));
  put(148, "        ");
  unsigned sum = 0;
  for (const uint8_t byte : header) sum += byte;
  std::snprintf(number, sizeof(number), "%06o", sum);
  put(148, std::string_view(number, 7));
  Bytes out((header.size() + data.size() + 511) / 512 * 512);
  std::copy(header.begin(), header.end(), out.begin());
  std::copy(data.begin(), data.end(), out.begin() + 512);
  return out;
}

inline Bytes MakeTar(const std::vector<std::pair<std::string, Bytes>>& members) {
  Bytes out;
  for (const auto& [name, data] : members) {
    const Bytes member = TarMemberBytes(name, data);
    out.insert(out.end(), member.begin(), member.end());
  }
  out.resize(out.size() + 1024);
  return out;
}

inline void WriteFile(const std::string& path, std::span<const uint8_t> bytes) {
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  // ext4 flushes a file that replaces another by truncation to the disk; thousands of those take
  // minutes.
  std::filesystem::remove(path);
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.good()) << path;
}
inline void WriteFile(const std::string& path, std::string_view text) {
  WriteFile(path, ToBytes(text));
}

/// A folder of its own that is removed at the end.
class TempDir {
 public:
  TempDir() {
    const auto base = std::filesystem::temp_directory_path() / "octet_test_";
    std::random_device random;
    do path_ = base.generic_string() + std::to_string(random());
    while (!std::filesystem::create_directory(path_));
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_DATA_TEST_UTIL_H_
