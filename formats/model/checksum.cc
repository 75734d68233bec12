#include "formats/model/checksum.h"

#include "formats/model/checksum_impl.h"

namespace octet {

uint64_t ChecksumAround(const void* bytes, size_t size, size_t hole) {
  return ChecksumAroundImpl(bytes, size, hole);
}

}  // namespace octet
