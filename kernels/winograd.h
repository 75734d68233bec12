// What the planner must know of Winograd kernels (portable/winograd_impl.h).
#ifndef OCTET_KERNELS_WINOGRAD_H_
#define OCTET_KERNELS_WINOGRAD_H_

#include <cstdint>

namespace octet::kernels {

/// Values of a transformed tile of edge x edge outputs, 4 or 2.
constexpr int WinogradPoints(int edge) { return (edge + 2) * (edge + 2); }
/// Takes outputs of tiles that stick out of the image.
inline constexpr int64_t kWinogradSpareBytes = 1024;
/// Between points, so that the same place of all of them does not fall into one set of the cache.
inline constexpr int64_t kWinogradPad = 64;

/// Most panels whose weights are transformed together. More would not fit a level-2 cache of 1 MiB:
/// 2 of 256 floats deep are 1.2 MB already, and single ones load twice the inputs.
inline constexpr int kWinogradMaxPanels = 2;

/// Most tiles whose products are there at a time: with two panels 36 KiB of 8 tiles, so that they
/// are transformed while they are in the level-1 cache or near it.
inline constexpr int kWinogradMaxTiles = 16;

/// The order of a block's tiles.
constexpr int64_t WinogradOrderBytes(int tiles) { return (int64_t{tiles} * 4 + 63) / 64 * 64; }

// Working memory: V, the transformed input of a block of tiles; U, the transformed weights of some
// panels; M, the products of some tiles. `value_bytes` is 4 (float) or 2 (int16, bfloat16).
constexpr int64_t WinogradValueBytes(int edge, int tiles, int channels, int value_bytes) {
  return WinogradPoints(edge) * (int64_t{tiles} * channels * value_bytes + kWinogradPad);
}
constexpr int64_t WinogradLineBytes(int edge, int channels, int value_bytes) {
  return WinogradPoints(edge) *
         (int64_t{16} * kWinogradMaxPanels * channels * value_bytes + kWinogradPad);
}
constexpr int64_t WinogradScratchBytes(int edge, int tiles, int channels, int value_bytes) {
  return kWinogradSpareBytes + WinogradOrderBytes(tiles) +
         WinogradValueBytes(edge, tiles, channels, value_bytes) +
         WinogradLineBytes(edge, channels, value_bytes) +
         WinogradPoints(edge) *
             (int64_t{64} * kWinogradMaxPanels * kWinogradMaxTiles + kWinogradPad);
}

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_WINOGRAD_H_
