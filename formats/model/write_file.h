// Writing files that are whole or not there.
#ifndef OCTET_FORMATS_MODEL_WRITE_FILE_H_
#define OCTET_FORMATS_MODEL_WRITE_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "formats/base/status.h"

namespace octet {

/// Replaces `path` with `bytes`: whoever opens it sees the old file or the new one, whole, also
/// after a kill or a power failure. A symbolic link is followed, even to a file that is not there
/// yet; a file that is replaced keeps its permissions and, where the system lets us, its owner.
///
/// The bytes go to a file without a name and get one when they are on the disk; only between that
/// and the rename, some microseconds, a kill can leave "PATH.PID.N.tmp" behind. The next write of
/// the same path removes what dead processes left. (File systems without O_TMPFILE: the name is
/// there from the start.) On failure nothing is left behind. Thread-safe. Errors: kIo.
Status WriteFileAtomically(const std::string& path, std::span<const std::byte> bytes);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_WRITE_FILE_H_
