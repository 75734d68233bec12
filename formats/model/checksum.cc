#include "formats/model/checksum.h"

#include "formats/model/checksum_impl.h"

namespace octet {

uint64_t ChecksumAround(const void* bytes, size_t size, size_t hole) {
#if defined(__x86_64__)
  // 25 MB in cache: 1.15 ms with SSE2, 0.40 ms with AVX2, 0.65 ms with AVX-512 on a Zen 5 core;
  // this is nearly all of the loading time.
  if (__builtin_cpu_supports("avx2")) return ChecksumAroundAvx2(bytes, size, hole);
#endif
  return ChecksumAroundImpl(bytes, size, hole);
}

}  // namespace octet
