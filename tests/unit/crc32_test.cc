#include "formats/data/crc32.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace octet {
namespace {

std::span<const uint8_t> View(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

/// Bit by bit, straight from the definition.
uint32_t Slow(uint32_t polynomial, std::span<const uint8_t> bytes) {
  uint32_t crc = 0xffffffffu;
  for (uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ ((crc & 1) != 0 ? polynomial : 0);
  }
  return ~crc;
}

TEST(Crc32Test, KnownValues) {
  EXPECT_EQ(Crc32(View("123456789")), 0xcbf43926u);
  EXPECT_EQ(Crc32c(View("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32({}), 0u);
  EXPECT_EQ(Crc32c({}), 0u);
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0x00)), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::vector<uint8_t>(32, 0xff)), 0x62a8ab43u);
}

TEST(Crc32Test, EveryLengthAndSplit) {
  std::vector<uint8_t> bytes(70);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 151 + 7);
  for (size_t n = 0; n <= bytes.size(); ++n) {
    const std::span<const uint8_t> part(bytes.data(), n);
    ASSERT_EQ(Crc32(part), Slow(0xedb88320u, part)) << n;
    ASSERT_EQ(Crc32c(part), Slow(0x82f63b78u, part)) << n;
    for (size_t split = 0; split <= n; ++split) {
      ASSERT_EQ(Crc32c(part.subspan(split), Crc32c(part.first(split))), Crc32c(part));
    }
  }
}

TEST(Crc32Test, MaskOfTfRecord) {
  // The header that TensorFlow writes for an empty record: length 0 and its masked checksum.
  EXPECT_EQ(MaskCrc(Crc32c(std::vector<uint8_t>(8, 0))), 0x07980329u);
}

}  // namespace
}  // namespace octet
