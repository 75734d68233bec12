// Watches the memory that a parser asks for: a few damaged bytes must not make it ask for
// gigabytes. Include in one file of a program only, since it replaces operator new.
#ifndef OCTET_TESTS_FUZZ_ALLOCATION_LIMIT_H_
#define OCTET_TESTS_FUZZ_ALLOCATION_LIMIT_H_

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace octet::testing {

/// The largest single allocation since it was last set to 0.
inline size_t largest_allocation = 0;

inline void* CountedAllocate(size_t bytes, size_t alignment) {
  largest_allocation = std::max(largest_allocation, bytes);
  void* p = nullptr;
  if (posix_memalign(&p, std::max(alignment, sizeof(void*)), std::max<size_t>(bytes, 1)) != 0)
    throw std::bad_alloc();
  return p;
}

}  // namespace octet::testing

void* operator new(size_t bytes) {
  return octet::testing::CountedAllocate(bytes, alignof(std::max_align_t));
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return octet::testing::CountedAllocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }

#endif  // OCTET_TESTS_FUZZ_ALLOCATION_LIMIT_H_
