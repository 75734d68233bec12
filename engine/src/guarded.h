// What every public function is wrapped in: no exception crosses the library's boundary, and
// everything is computed in one floating-point environment, whatever the host's is.
#ifndef OCTET_ENGINE_SRC_GUARDED_H_
#define OCTET_ENGINE_SRC_GUARDED_H_

#include <new>
#include <stdexcept>

#include "engine/src/float_environment.h"
#include "formats/base/status.h"

namespace octet {

/// Calls `f`, which returns a Status or a Result. What it allocated it must have given back when an
/// exception leaves it, and what it changed must be usable.
template <typename F>
auto Guarded(F f) noexcept -> decltype(f()) {
  // Messages of up to 15 bytes are kept inside std::string: there may be no memory for longer ones.
  const FloatEnvironment environment;
  try {
    return f();
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "out of memory");
  } catch (const std::length_error&) {  // More than a container can ever hold.
    return Status(StatusCode::kOutOfMemory, "out of memory");
  } catch (...) {
    return Status(StatusCode::kInternal, "exception");
  }
}

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_GUARDED_H_
