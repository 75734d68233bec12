// Memory that ends where an inaccessible page begins: one byte read or written too far is a crash.
#ifndef OCTET_TESTS_KERNELS_GUARDED_BUFFER_H_
#define OCTET_TESTS_KERNELS_GUARDED_BUFFER_H_

#ifdef _WIN32
#include "formats/base/windows.h"
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace octet::testing {

/// `size` zero bytes, the last of them just before the guard page. Aligned as far as `size` is a
/// multiple of the alignment.
class GuardedBuffer {
 public:
  explicit GuardedBuffer(size_t size) : size_(size) {
#ifdef _WIN32
    const size_t page = 4096;
#else
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
#endif
    const size_t body = (size + page - 1) / page * page;
    mapped_ = body + page;
#ifdef _WIN32
    base_ = static_cast<uint8_t*>(
        VirtualAlloc(nullptr, mapped_, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    DWORD before;
    if (base_ == nullptr || !VirtualProtect(base_ + body, page, PAGE_NOACCESS, &before))
      std::abort();
#else
    void* base = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<uint8_t*>(base);
    if (mprotect(base_ + body, page, PROT_NONE) != 0) std::abort();
#endif
    data_ = base_ + body - size;
  }
#ifdef _WIN32
  ~GuardedBuffer() { VirtualFree(base_, 0, MEM_RELEASE); }
#else
  ~GuardedBuffer() { munmap(base_, mapped_); }
#endif
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  template <typename T>
  T* as() {
    return reinterpret_cast<T*>(data_);
  }
  size_t size() const { return size_; }

 private:
  uint8_t* base_ = nullptr;
  uint8_t* data_ = nullptr;
  size_t size_ = 0, mapped_ = 0;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_KERNELS_GUARDED_BUFFER_H_
