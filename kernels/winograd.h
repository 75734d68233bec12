// Weights for portable/winograd_impl.h, transformed once at load. Same bits on every machine.
#ifndef OCTET_KERNELS_WINOGRAD_H_
#define OCTET_KERNELS_WINOGRAD_H_

#include <cstdint>

namespace octet::kernels {

/// Bytes of transformed weights: 36 points x `channels` x panels x 16, of `element_size` 4 (float)
/// or 2 (int16).
inline int64_t WinogradWeightBytes(int panels, int channels, int element_size) {
  return int64_t{36} * channels * panels * 16 * element_size;
}

/// Scratch of one thread: room for outputs outside the image, V, and M of up to 4 panels.
int64_t WinogradScratchBytes(int tile_block, int channels, int element_size);

/// Float weights [panels][9][channels][16] to [panels][36][channels][16].
void WinogradTransformF32(const float* weights, int panels, int channels, float* out);
/// The same from half precision.
void WinogradTransformF16(const uint16_t* weights, int panels, int channels, float* out);

/// int8 weights [panels][9][channels/4][16][4] to int16 [panels][36][channels/2][16][2], 576 times
/// too large in total.
void WinogradTransformI8(const int8_t* weights, int panels, int channels, int16_t* out);

/// Whether every output channel's sum surely stays below 2^25 for any activations in [0, 255] (255
/// times the sum of magnitudes does): what makes the integer algorithm exact.
bool WinogradIsExact(const int8_t* weights, int panels, int channels);

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_WINOGRAD_H_
