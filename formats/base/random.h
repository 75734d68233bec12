// Random numbers that are the same on every machine for the same seed.
#ifndef OCTET_FORMATS_BASE_RANDOM_H_
#define OCTET_FORMATS_BASE_RANDOM_H_

#include <cstdint>

namespace octet {

/// "Fast Splittable Pseudorandom Number Generators" (2014), as formats/SPEC.md, 3.5, writes it out.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_RANDOM_H_
