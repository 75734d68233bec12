// What the *_windows.cc files share. Paths are UTF-8 everywhere else.
#ifndef OCTET_FORMATS_BASE_WINDOWS_H_
#define OCTET_FORMATS_BASE_WINDOWS_H_

#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace octet {

inline std::wstring Wide(const std::string& text) {
  std::wstring wide(text.size(), L'\0');  // UTF-16 is never longer.
  wide.resize(static_cast<size_t>(::MultiByteToWideChar(CP_UTF8, 0, text.data(),
                                                        static_cast<int>(text.size()), wide.data(),
                                                        static_cast<int>(wide.size()))));
  return wide;
}

inline std::string Utf8(const std::wstring& wide) {
  std::string text(3 * wide.size(), '\0');  // Nor UTF-8 than this.
  text.resize(static_cast<size_t>(
      ::WideCharToMultiByte(CP_UTF8, 0, wide.data(), static_cast<int>(wide.size()), text.data(),
                            static_cast<int>(text.size()), nullptr, nullptr)));
  return text;
}

/// The last error as an errno, for which there are the same words on every system.
inline int LastErrno() {
  const std::error_condition condition =
      std::system_category().default_error_condition(static_cast<int>(::GetLastError()));
  return condition.category() == std::generic_category() ? condition.value() : EIO;
}

/// A handle that closes itself.
class Handle {
 public:
  explicit Handle(HANDLE handle) : handle_(handle) {}
  ~Handle() {
    if (ok()) ::CloseHandle(handle_);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  HANDLE get() const { return handle_; }
  bool ok() const { return handle_ != INVALID_HANDLE_VALUE && handle_ != nullptr; }

 private:
  HANDLE handle_;
};

}  // namespace octet

#endif  // OCTET_FORMATS_BASE_WINDOWS_H_
