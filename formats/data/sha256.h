// SHA-256 (FIPS 180-4), so that files can be compared with what sha256sum says of them.
#ifndef OCTET_FORMATS_DATA_SHA256_H_
#define OCTET_FORMATS_DATA_SHA256_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "formats/base/status.h"

namespace octet {

/// Of bytes that come in pieces.
class Sha256 {
 public:
  void Add(std::span<const uint8_t> bytes);
  void Add(std::string_view text) {
    Add({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }

  /// Of all so far, as 64 hexadecimal digits; more may be added.
  std::string Hex() const;

 private:
  void Compress(const uint8_t* block);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> rest_;  ///< What does not fill a block.
  uint64_t bytes_ = 0;
};

/// Read a piece at a time, each of which `also` gets, where there is one. Errors: kNotFound, kIo,
/// those of `also`.
Result<std::string> Sha256OfFile(const std::string& path,
                                 const std::function<Status(std::span<const uint8_t>)>& also = {});

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_SHA256_H_
