// Compiled for AVX2; see formats/CMakeLists.txt.
#include "formats/model/checksum.h"
#include "formats/model/checksum_impl.h"

namespace octet {

uint64_t ChecksumAroundAvx2(const void* bytes, size_t size, size_t hole) {
  return ChecksumAroundImpl(bytes, size, hole);
}

}  // namespace octet
