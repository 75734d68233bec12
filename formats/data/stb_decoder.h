// The one door to stb_image. Internal to octet_data.
#ifndef OCTET_FORMATS_DATA_STB_DECODER_H_
#define OCTET_FORMATS_DATA_STB_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace octet::data_internal {

/// What the decoder's memory holds before it is written. No image depends on it; tests change it to
/// prove that.
extern constinit thread_local uint8_t fresh_memory;

/// Decodes a JPEG or PNG to `channels` values of 8 or 16 bits a pixel. No single allocation of the
/// decoder exceeds `allocation_limit` bytes (a small compressed stream could otherwise ask for
/// gigabytes). Returns null, or stb's static text saying what is wrong.
template <typename T>
const char* StbDecode(std::span<const uint8_t> bytes, int channels, size_t allocation_limit,
                      int* width, int* height, std::vector<T>* values);

}  // namespace octet::data_internal

#endif  // OCTET_FORMATS_DATA_STB_DECODER_H_
