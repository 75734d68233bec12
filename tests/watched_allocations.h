// Watches what a program allocates: that a run allocates nothing, that a few damaged bytes do not
// make a parser ask for gigabytes. Include in one file of a program only, since it replaces
// operator new.
#ifndef OCTET_TESTS_WATCHED_ALLOCATIONS_H_
#define OCTET_TESTS_WATCHED_ALLOCATIONS_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace octet::testing {

inline std::atomic<int64_t> num_allocations{0};
/// The largest single allocation since it was last set to 0.
inline std::atomic<size_t> largest_allocation{0};

inline void* WatchedAllocate(size_t bytes, size_t alignment) {
  ++num_allocations;
  size_t largest = largest_allocation;
  while (bytes > largest && !largest_allocation.compare_exchange_weak(largest, bytes)) {
  }
  alignment = std::max(alignment, sizeof(void*));
  bytes = std::max<size_t>(bytes, 1);
#ifdef _WIN32
  return _aligned_malloc(bytes, alignment);
#else
  void* p = nullptr;
  return posix_memalign(&p, alignment, bytes) == 0 ? p : nullptr;
#endif
}

inline void WatchedFree(void* p) {
#ifdef _WIN32
  _aligned_free(p);
#else
  std::free(p);
#endif
}

#if defined(__clang__)
#if __has_feature(thread_sanitizer)
#define OCTET_ALLOCATIONS_UNWATCHED  // Its operator new is linked in and cannot be replaced.
#endif
#endif
#ifdef OCTET_ALLOCATIONS_UNWATCHED
inline constexpr bool kWatchesAllocations = false;
#else
inline constexpr bool kWatchesAllocations = true;
#endif

}  // namespace octet::testing

#ifndef OCTET_ALLOCATIONS_UNWATCHED
// All forms that the standard library uses (the others call these): a sanitizer's own operator new
// must not meet the delete below. Not inlined: g++ 12 would otherwise see malloc and delete meet
// and warn.
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return octet::testing::WatchedAllocate(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(size_t bytes) {
  if (void* p = operator new(bytes, std::nothrow)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t alignment) {
  if (void* p = octet::testing::WatchedAllocate(bytes, static_cast<size_t>(alignment))) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { octet::testing::WatchedFree(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { octet::testing::WatchedFree(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept {
  octet::testing::WatchedFree(p);
}
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept {
  octet::testing::WatchedFree(p);
}
#endif

#endif  // OCTET_TESTS_WATCHED_ALLOCATIONS_H_
