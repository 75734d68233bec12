// stb_image is compiled into this file alone, with an allocator that bounds each allocation and
// fills what it gives.
#include "formats/data/stb_decoder.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace octet::data_internal {
namespace {

thread_local size_t allocation_limit = 0;

// Filled, so that nothing of earlier memory contents can come into an image, whatever stb_image
// leaves out.
void* FillFrom(void* p, size_t from, size_t to) {
  if (p != nullptr && from < to)
    std::memset(static_cast<uint8_t*>(p) + from, fresh_memory, to - from);
  return p;
}

void* LimitedAllocate(size_t size) {
  return size <= allocation_limit ? FillFrom(std::malloc(size), 0, size) : nullptr;
}

void* LimitedReallocate(void* p, size_t old_size, size_t size) {
  return size <= allocation_limit ? FillFrom(std::realloc(p, size), old_size, size) : nullptr;
}

}  // namespace

constinit thread_local uint8_t fresh_memory = 0;

}  // namespace octet::data_internal

#define STBI_MALLOC(size) ::octet::data_internal::LimitedAllocate(size)
#define STBI_REALLOC_SIZED(p, old_size, size) \
  ::octet::data_internal::LimitedReallocate(p, old_size, size)
#define STBI_FREE(p) std::free(p)
#define STBI_ASSERT(condition) \
  ((void)0)  // A file must never abort the program, in debug builds neither.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

namespace octet::data_internal {

template <typename T>
const char* StbDecode(std::span<const uint8_t> bytes, int channels, size_t limit, int* width,
                      int* height, std::vector<T>* values) {
  allocation_limit = limit;
  int in_file = 0;
  const int size = static_cast<int>(bytes.size());
  T* found = nullptr;
  if constexpr (sizeof(T) == 1) {
    found = stbi_load_from_memory(bytes.data(), size, width, height, &in_file, channels);
  } else {
    found = stbi_load_16_from_memory(bytes.data(), size, width, height, &in_file, channels);
  }
  if (found == nullptr) {
    const char* reason = stbi_failure_reason();
    return reason != nullptr ? reason : "unknown reason";
  }
  values->assign(found, found + static_cast<size_t>(channels) * static_cast<size_t>(*width) *
                                    static_cast<size_t>(*height));
  std::free(found);
  return nullptr;
}

template const char* StbDecode(std::span<const uint8_t>, int, size_t, int*, int*,
                               std::vector<uint8_t>*);
template const char* StbDecode(std::span<const uint8_t>, int, size_t, int*, int*,
                               std::vector<uint16_t>*);

}  // namespace octet::data_internal
