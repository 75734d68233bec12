// Error values of the whole project, octet/status.h, and short names to make them by.
#ifndef OCTET_FORMATS_BASE_STATUS_H_
#define OCTET_FORMATS_BASE_STATUS_H_

#include <string>
#include <utility>

#include "octet/status.h"

namespace octet {

inline Status OkStatus() { return Status(); }
inline Status InvalidArgument(std::string m) {
  return {StatusCode::kInvalidArgument, std::move(m)};
}
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status Corrupt(std::string m) { return {StatusCode::kCorrupt, std::move(m)}; }
inline Status Unsupported(std::string m) { return {StatusCode::kUnsupported, std::move(m)}; }
inline Status IoError(std::string m) { return {StatusCode::kIo, std::move(m)}; }
inline Status InternalError(std::string m) { return {StatusCode::kInternal, std::move(m)}; }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status OutOfMemory(std::string m) { return {StatusCode::kOutOfMemory, std::move(m)}; }

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_STATUS_H_
