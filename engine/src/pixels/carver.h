// Pieces of one block of memory.
#ifndef OCTET_ENGINE_SRC_PIXELS_CARVER_H_
#define OCTET_ENGINE_SRC_PIXELS_CARVER_H_

#include <cstdint>

namespace octet {

/// Gives out memory piece by piece, each on a line of the cache of its own.
class Carver {
 public:
  explicit Carver(uint8_t* memory) : at_(memory) {}

  template <typename T>
  T* Take(int64_t elements) {
    T* p = reinterpret_cast<T*>(at_);
    at_ += Bytes<T>(elements);
    return p;
  }

  /// What Take uses up.
  template <typename T>
  static int64_t Bytes(int64_t elements) {
    return (elements * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
  }

 private:
  uint8_t* at_;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_CARVER_H_
