// The checksum of .octet files.
#ifndef OCTET_FORMATS_MODEL_CHECKSUM_H_
#define OCTET_FORMATS_MODEL_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

namespace octet {

/// XXH3-64 (seed 0) of `size` bytes without the 8 at `hole`, where the checksum itself stands. The
/// same on every machine. Kernel tables have it for their instruction sets, where it is faster.
uint64_t ChecksumAround(const void* bytes, size_t size, size_t hole);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_CHECKSUM_H_
