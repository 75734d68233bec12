// Preloaded into a program: allocation number OCTET_FAIL_NEW fails. Not those after it, because
// nlohmann/json allocates in its destructors, which cannot fail.
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

bool Fails() {
  static std::atomic<long> left{[] {
    const char* text = std::getenv("OCTET_FAIL_NEW");
    return text == nullptr ? 0 : std::atol(text);
  }()};
  return left.fetch_sub(1) == 1;
}

void* Allocate(std::size_t size, std::size_t alignment) {
  void* p = nullptr;
  if (Fails() || posix_memalign(&p, alignment, size == 0 ? 1 : size) != 0) throw std::bad_alloc();
  return p;
}

}  // namespace

void* operator new(std::size_t size) { return Allocate(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return Allocate(size, static_cast<std::size_t>(alignment));
}
