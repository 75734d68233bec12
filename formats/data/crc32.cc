#include "formats/data/crc32.h"

#include <array>
#include <cstddef>

namespace octet {
namespace {

// tables[k][b]: the CRC of byte b followed by k zero bytes, so that eight bytes are looked up
// independently.
using Tables = std::array<std::array<uint32_t, 256>, 8>;

constexpr Tables MakeTables(uint32_t reflected_polynomial) {
  Tables tables{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? reflected_polynomial : 0);
    tables[0][b] = crc;
  }
  for (size_t k = 1; k < 8; ++k) {
    for (size_t b = 0; b < 256; ++b) {
      tables[k][b] = (tables[k - 1][b] >> 8) ^ tables[0][tables[k - 1][b] & 0xff];
    }
  }
  return tables;
}

constexpr Tables kIeee = MakeTables(0xedb88320u);
constexpr Tables kCastagnoli = MakeTables(0x82f63b78u);

uint32_t Run(const Tables& t, std::span<const uint8_t> bytes, uint32_t previous) {
  uint32_t crc = ~previous;
  const uint8_t* p = bytes.data();
  size_t n = bytes.size();
  for (; n >= 8; n -= 8, p += 8) {
    const uint32_t low =
        crc ^ (uint32_t{p[0]} | uint32_t{p[1]} << 8 | uint32_t{p[2]} << 16 | uint32_t{p[3]} << 24);
    crc = t[7][low & 0xff] ^ t[6][(low >> 8) & 0xff] ^ t[5][(low >> 16) & 0xff] ^ t[4][low >> 24] ^
          t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
  }
  for (; n > 0; --n, ++p) crc = (crc >> 8) ^ t[0][(crc ^ *p) & 0xff];
  return ~crc;
}

}  // namespace

uint32_t Crc32(std::span<const uint8_t> bytes, uint32_t previous) {
  return Run(kIeee, bytes, previous);
}

uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t previous) {
  return Run(kCastagnoli, bytes, previous);
}

}  // namespace octet
