// Error values. No exception crosses a library boundary: everything that can fail because of a
// file, a caller or a lack of memory returns Status or Result<T>.
#ifndef OCTET_STATUS_H_
#define OCTET_STATUS_H_

#include <optional>
#include <string>
#include <utility>

#include "octet/version.h"

namespace octet {
inline namespace OCTET_ABI_NAMESPACE {

/// What kind of thing went wrong. The message says where, what was found and what was expected.
enum class StatusCode {
  kOk = 0,
  kInvalidArgument,  ///< The caller passed something that does not fit (shape, option).
  kNotFound,         ///< A file, tensor or key does not exist.
  kCorrupt,          ///< A file is truncated, damaged or not of the expected format.
  kUnsupported,      ///< Well-formed, but this program cannot do it.
  kIo,               ///< The operating system refused to read or write.
  kInternal,         ///< A broken invariant of octet itself.
  kOutOfMemory,      ///< The system has no memory left, or a limit that the caller set is reached.
  kCancelled,        ///< The caller asked for it to end before it was done.
};

/// Success, or a code with a one-line message. Cheap to move; never throws apart from
/// out-of-memory.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  /// The same error with `context` and a colon in front, to say where it happened. No effect on
  /// success.
  Status WithContext(const std::string& context) && {
    if (!ok()) message_ = context + ": " + message_;
    return std::move(*this);
  }

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

/// Either a value or the Status that says why there is none. Call `value()` only when `ok()`.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}          // NOLINT: implicit by intent.
  Result(Status status) : status_(std::move(status)) {}  // NOLINT: implicit by intent.

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return std::move(*value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace OCTET_ABI_NAMESPACE
}  // namespace octet

#endif  // OCTET_STATUS_H_
