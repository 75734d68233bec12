// A hash for names and digests, not against attackers.
#ifndef OCTET_FORMATS_BASE_FNV1A_H_
#define OCTET_FORMATS_BASE_FNV1A_H_

#include <cstdint>

namespace octet {

/// 64-bit FNV-1a: start with kFnv1aStart and add byte by byte.
inline constexpr uint64_t kFnv1aStart = 0xcbf29ce484222325u;
inline constexpr uint64_t Fnv1a(uint64_t hash, uint8_t byte) {
  return (hash ^ byte) * 0x100000001b3u;
}

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_FNV1A_H_
