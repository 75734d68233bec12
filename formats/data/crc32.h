// CRC-32 (PNG, zip) and CRC-32C (TFRecord, LevelDB), eight bytes a step.
#ifndef OCTET_FORMATS_DATA_CRC32_H_
#define OCTET_FORMATS_DATA_CRC32_H_

#include <cstdint>
#include <span>

namespace octet {

/// IEEE 802.3 polynomial. `previous` is the result for the bytes in front.
uint32_t Crc32(std::span<const uint8_t> bytes, uint32_t previous = 0);

/// Castagnoli polynomial. `previous` is the result for the bytes in front.
uint32_t Crc32c(std::span<const uint8_t> bytes, uint32_t previous = 0);

/// The form in which TFRecord and LevelDB store a CRC-32C, so that a CRC over data with CRCs inside
/// stays strong.
inline constexpr uint32_t MaskCrc(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_CRC32_H_
