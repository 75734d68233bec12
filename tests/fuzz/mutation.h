// Deterministic mutations of a file's bytes.
#ifndef OCTET_TESTS_FUZZ_MUTATION_H_
#define OCTET_TESTS_FUZZ_MUTATION_H_

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <vector>

namespace octet::testing {

/// `count` times OCTET_FUZZ_FACTOR, which is 1 by default.
inline int64_t FuzzIterations(int64_t count) {
  const char* text = std::getenv("OCTET_FUZZ_FACTOR");
  return count * std::max<int64_t>(1, text == nullptr ? 1 : std::atoll(text));
}

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : state_(seed * 2 + 1) {}

  uint64_t Next() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dull;
  }
  size_t Below(size_t n) { return n == 0 ? 0 : static_cast<size_t>((Next() >> 11) % n); }

  /// The bytes with one to four changes: bits, bytes, 16- or 32-bit words of special values in
  /// either byte order, pieces removed, repeated or overwritten with others, a shorter file.
  std::vector<uint8_t> Mutate(const std::vector<uint8_t>& original) {
    std::vector<uint8_t> bytes = original;
    for (size_t changes = 1 + Below(4); changes > 0 && !bytes.empty(); --changes) Change(&bytes);
    bytes.shrink_to_fit();  // So that AddressSanitizer sees every read behind the end.
    return bytes;
  }

 private:
  void Change(std::vector<uint8_t>* bytes) {
    const size_t size = bytes->size(), at = Below(size);
    // Most formats keep what matters in front.
    const size_t front = Below(2) == 0 ? Below(std::min<size_t>(size, 64)) : at;
    const size_t length = std::min(size - at, 1 + Below(Below(2) == 0 ? 4 : 64));
    using D = std::vector<uint8_t>::difference_type;
    const auto begin = bytes->begin() + static_cast<D>(at), end = begin + static_cast<D>(length);
    switch (Below(8)) {
      case 0:
      case 1:
        (*bytes)[front] ^= static_cast<uint8_t>(1u << Below(8));
        break;
      case 2:
        (*bytes)[front] = static_cast<uint8_t>(Next() >> 32);
        break;
      case 3: {
        static constexpr uint32_t kSpecial[] = {
            0,      1,       0x7f,       0x80,       0xff,       0x7fff,     0x8000,
            0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffffff0, 64};
        const uint32_t value = kSpecial[Below(std::size(kSpecial))];
        const size_t width = Below(2) == 0 ? 2 : 4;
        const bool big_endian = Below(2) == 0;
        for (size_t i = 0; i < width && front + i < size; ++i) {
          (*bytes)[front + i] =
              static_cast<uint8_t>(value >> (8 * (big_endian ? width - 1 - i : i)));
        }
        break;
      }
      case 4:
        bytes->erase(begin, end);
        break;
      case 5: {
        const std::vector<uint8_t> piece(begin, end);
        bytes->insert(bytes->begin() + static_cast<D>(Below(size)), piece.begin(), piece.end());
        break;
      }
      case 6: {
        const size_t from = Below(size);
        for (size_t i = 0; i < length && from + i < size; ++i)
          (*bytes)[at + i] = (*bytes)[from + i];
        break;
      }
      default:
        bytes->resize(Below(4) == 0 ? at : size - std::min(size, Below(8)));
        break;
    }
  }

  uint64_t state_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_MUTATION_H_
