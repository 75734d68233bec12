// What the loops of conv_impl.h, ops_impl.h and winograd_impl.h ask of an instruction set. A line
// of 16 lanes (kLanes), whatever registers it takes, is `I32` or `F32`. Operations are exactly
// rounded IEEE single precision, each by itself: none may be fused but where it says so.
#ifndef OCTET_KERNELS_PORTABLE_CONTRACT_H_
#define OCTET_KERNELS_PORTABLE_CONTRACT_H_

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace octet::kernels {

/// Values of `T` in memory, for the concepts below.
template <typename T>
T* Memory();

/// A way to multiply and accumulate, by which Tile holds MR x NR sums in registers.
template <typename M>
concept MacInterface = requires(typename M::Acc acc, typename M::Input a, typename M::Weights w,
                                const typename M::Bias* bias, const uint8_t* p) {
  /// Sums of 16 output channels, started from as many values of type Bias.
  { M::LoadBias(bias) } -> std::same_as<typename M::Acc>;
  /// One line of weights of a panel: 16 output channels by 4 bytes of depth, or by one float or
  /// half.
  { M::LoadWeights(p) } -> std::same_as<typename M::Weights>;
  /// The 4 bytes of depth of one pixel that belong to it, for every lane. Depthwise: a lane each.
  { M::LoadInput(p) } -> std::same_as<typename M::Input>;
  /// acc += a * w. Integers: all 4 products, wrapping around. Floats: fused.
  { M::MulAdd(acc, a, w) } -> std::same_as<void>;
  /// Registers of the processor, and what an Acc takes of them.
  { M::kRegisters } -> std::convertible_to<int>;
  { M::kRegistersPerAcc } -> std::convertible_to<int>;
  /// Whether MulAddMemory(acc, a, p) does the same with weights straight from memory: the last
  /// panel's, when registers would not suffice.
  { M::kMemoryOperand } -> std::convertible_to<bool>;
};

/// One where lanes are channels of input and weights alike.
template <typename M>
concept DepthwiseInterface = MacInterface<M> && requires {
  { M::kWeightBytes } -> std::convertible_to<int>;  // Of one weight in memory: 1, 2 or 4.
};

/// One of grouped convolutions: each quarter of the 16 output channels has inputs of its own,
/// `from` bytes behind p; with LoadInputs<true> those of the first two are the same, and of the
/// last two. LoadFours<d>: of groups of 4 channels, which follow each other from p on; line d of
/// kFours. LoadEights<d>, if there is one: the same of groups of 8, line d of twice as many.
template <typename M>
concept GroupInterface = requires(typename M::Acc acc, typename M::Inputs a, typename M::Weights w,
                                  const uint8_t* p, const ptrdiff_t (&from)[4]) {
  { M::LoadWeights(p) } -> std::same_as<typename M::Weights>;
  { M::template LoadInputs<false>(p, from) } -> std::same_as<typename M::Inputs>;
  { M::template LoadInputs<true>(p, from) } -> std::same_as<typename M::Inputs>;
  { M::template LoadFours<M::kFours - 1>(p) } -> std::same_as<typename M::Inputs>;
  { M::MulAdd(acc, a, w) } -> std::same_as<void>;
  /// Of the largest tile.
  { M::kPixels } -> std::convertible_to<int>;
};

/// What every instruction set's Vec has.
template <typename V>
concept VectorInterface = requires(typename V::I32 i, typename V::F32 f, const float* floats,
                                   float* to, const int32_t* integers, const uint8_t* bytes,
                                   uint8_t* out) {
  requires sizeof(typename V::I32) == 64 && sizeof(typename V::F32) == 64;
  /// The same value in all lanes; and 16 of them from memory at any address, and back.
  { V::SplatF32(1.0f) } -> std::same_as<typename V::F32>;
  { V::SplatI32(1) } -> std::same_as<typename V::I32>;
  { V::LoadF32(floats) } -> std::same_as<typename V::F32>;
  { V::LoadI32(integers) } -> std::same_as<typename V::I32>;
  { V::StoreF32(to, f) } -> std::same_as<void>;
  /// The same of bfloat16: exactly, and rounded to nearest even, of what Min and Max leave: on x86
  /// that is no NaN.
  { V::LoadBf16(bytes) } -> std::same_as<typename V::F32>;
  { V::StoreBf16(out, f) } -> std::same_as<void>;
  /// 16 bytes to 0 to 255.
  { V::WidenU8(bytes) } -> std::same_as<typename V::I32>;
  /// To the nearest float; to the nearest whole number, halves to even.
  { V::ToFloat(i) } -> std::same_as<typename V::F32>;
  { V::Round(f) } -> std::same_as<typename V::I32>;
  /// The first, and the bits in which the others differ; whether any bit is set.
  { V::OrDifferent(i, i, i) } -> std::same_as<typename V::I32>;
  { V::Any(i) } -> std::same_as<bool>;
  /// A number that is not negative, with the sign of the second.
  { V::WithSign(f, f) } -> std::same_as<typename V::F32>;
  { V::Sub(i, i) } -> std::same_as<typename V::I32>;  // Wraps around.
  /// Adds to the first 1/256 of what the second has beyond 0 to 255, which stays.
  { V::Carry(i, i) } -> std::same_as<void>;
  { V::Add(f, f) } -> std::same_as<typename V::F32>;
  { V::Mul(f, f) } -> std::same_as<typename V::F32>;
  { V::MulAddF32(f, f, f) } -> std::same_as<typename V::F32>;  // a * b + c, fused where it can be.
  { V::Min(f, f) } -> std::same_as<typename V::F32>;           // a < b ? a : b, as x86 has it.
  { V::Max(f, f) } -> std::same_as<typename V::F32>;           // a > b ? a : b.
  /// The same of a NaN as well, for which the two above may be NaNs where this is not x86.
  { V::MaxNumber(f, f) } -> std::same_as<typename V::F32>;
  /// N lines of one pixel: rounded as Round does, `zero` added, clamped to 0 to 255, 16 N bytes
  /// stored.
  { V::template StoreU8<1>(out, *Memory<const typename V::F32[1]>(), 0) } -> std::same_as<void>;
  /// Whether there is StorePixelsU8 for one panel of four pixels, which are packed together.
  { V::kStoresPixels } -> std::convertible_to<bool>;

  /// The same in two planes of bytes, as i16, `plane` bytes apart; v + 0.5 is below 32768.
  {
    V::template StoreI16Codes<1>(out, 0, *Memory<const typename V::F32[1]>())
    } -> std::same_as<void>;

  /// Accumulators of a tile of pixels by panels with Init, Step, Get and kWide (tile.h,
  /// part_tile.h), and the largest tiles: that many panels, and pixels with so many panels.
  typename V::template IntTile<1, 1>;
  typename V::template FloatTile<typename V::MacF32, 1, 1>;
  typename V::template FloatTile<typename V::MacF16, 1, 1>;
  typename V::template Bf16Tile<1, 1>;
  { V::kIntMaxPanels } -> std::convertible_to<int>;
  { V::kFloatMaxPanels } -> std::convertible_to<int>;
  { V::IntMaxPixels(1) } -> std::convertible_to<int>;
  /// Whether u8 to u8 by one panel has QuadTiles, for which MacU8 has LoadFour and Lane.
  { V::kQuads } -> std::convertible_to<bool>;
  /// Pixels of StaggeredTiles by so many panels, for which it takes registers, or 0; then Pin(i)
  /// computes a value in this place.
  { V::StaggeredPixels(1) } -> std::convertible_to<int>;
  { V::FloatMaxPixels(1) } -> std::convertible_to<int>;
  { V::kBf16MaxPanels } -> std::convertible_to<int>;
  { V::Bf16MaxPixels(1) } -> std::convertible_to<int>;
  /// Whether integer products take activations less 128; then AdjustBias(bias, weights, lines, to)
  /// adds 128 times the sum of the weights to 16 biases.
  { V::kSignedInput } -> std::convertible_to<bool>;
  /// Pixels of a row that share their inputs in depthwise layers, for which there is Pin as well; 0
  /// for none.
  { V::kDepthwisePixels } -> std::convertible_to<int>;
  requires DepthwiseInterface<typename V::DepthwiseU8>;
  requires DepthwiseInterface<typename V::DepthwiseF32>;
  requires DepthwiseInterface<typename V::DepthwiseF16>;
  requires DepthwiseInterface<typename V::DepthwiseBf16>;
  requires GroupInterface<typename V::GroupU8>;
  requires GroupInterface<typename V::GroupF32>;
  requires GroupInterface<typename V::GroupF16>;
  requires GroupInterface<typename V::GroupBf16>;
};

/// What Winograd's convolutions ask for beside it (OCTET_WINOGRAD). I16 is 16 lanes of 16 bits,
/// WideI16 as many as a register has.
template <typename V>
concept WinogradInterface = VectorInterface<V> && MacInterface<typename V::MacI16> &&
    MacInterface<typename V::MacF32> && MacInterface<typename V::MacF16> &&
    MacInterface<typename V::template MacBf16<0>> &&
    MacInterface<typename V::template MacBf16<1>> &&
    requires(typename V::I32 i, typename V::F32 f, typename V::I16 s, typename V::WideI16 wide,
             int32_t* integers, const uint8_t* bytes, uint8_t* out) {
  { V::SubF32(f, f) } -> std::same_as<typename V::F32>;
  /// 32 bits that wrap around, shifted to the right with their sign.
  { V::AddI32(i, i) } -> std::same_as<typename V::I32>;
  { V::MulLow(i, 1) } -> std::same_as<typename V::I32>;
  { V::template ShiftLeft<1>(i) } -> std::same_as<typename V::I32>;
  { V::template ShiftRight<1>(i) } -> std::same_as<typename V::I32>;
  { V::StoreI32(integers, i) } -> std::same_as<void>;
  /// 16 bits that wrap around, of both widths.
  { V::AddI16(s, s) } -> std::same_as<typename V::I16>;
  { V::SubI16(s, s) } -> std::same_as<typename V::I16>;
  { V::template ShiftLeftI16<2>(s) } -> std::same_as<typename V::I16>;
  { V::AddI16(wide, wide) } -> std::same_as<typename V::WideI16>;
  { V::SubI16(wide, wide) } -> std::same_as<typename V::WideI16>;
  { V::template ShiftLeftI16<2>(wide) } -> std::same_as<typename V::WideI16>;
  /// As many bytes to 0 to 255, and the lanes to memory.
  { V::WidenU8ToI16(bytes, &s) } -> std::same_as<void>;
  { V::WidenU8ToI16(bytes, &wide) } -> std::same_as<void>;
  { V::StoreI16(out, s) } -> std::same_as<void>;
  { V::StoreI16(out, wide) } -> std::same_as<void>;
  /// Of a line of int8 weights bytes 2 N and 2 N + 1 of each lane, with their sign, as pairs of 16
  /// bits. MacI16 multiplies such pairs with pairs of activations, and Zero() starts a sum.
  { V::template WidenPairs<0>(bytes) } -> std::same_as<typename V::I32>;
  { V::MacI16::Zero() } -> std::same_as<typename V::MacI16::Acc>;
  { V::MacF32::Zero() } -> std::same_as<typename V::MacF32::Acc>;
  /// From how many tiles and channels on it is the faster way, measured, of integers and of
  /// bfloat16; and whether products and both transforms of a tile are one loop, for which registers
  /// must suffice.
  {V::kWinogradLimit};
  {V::kBf16WinogradLimit};
  { V::kFusedWinograd } -> std::convertible_to<bool>;
};

/// What tiles of 2x2 outputs ask for (OCTET_WINOGRAD_PAIRS): 32 bfloat16 as Pairs, floats of even
/// and of odd places, loaded and rounded to nearest even; the same of 16; and MacBf16Pair, which
/// multiplies both.
template <typename V>
concept PairsInterface = MacInterface<typename V::MacBf16Pair> &&
    requires(typename V::Pairs pairs, const uint8_t* bytes, uint8_t* out) {
  { V::LoadPairs(bytes) } -> std::same_as<typename V::Pairs>;
  { V::LoadHalfPairs(bytes) } -> std::same_as<typename V::Pairs>;
  { V::StorePairs(out, pairs) } -> std::same_as<void>;
  { V::StoreHalfPairs(out, pairs) } -> std::same_as<void>;
  {V::kWinograd2x2Limit};
};

/// A way to multiply groups side by side (OCTET_SIDE_BY_SIDE): LoadInput loads 64 bytes of a pixel.
template <typename M>
concept AcrossInterface = MacInterface<M> &&
    requires(typename M::Acc acc, typename M::Order order) {
  /// The sums of two neighboring lanes each, of both in turn within 128 bits.
  { M::AddPairs(acc, acc) } -> std::same_as<typename M::Acc>;
  /// Which lane of which register a channel's result is in. Order::Store stores a pixel's.
  { order.Set(0, 0, 0) } -> std::same_as<void>;
};

/// What xsimd_vec.h asks of a 128-bit instruction set, where xsimd has no word for it: a line is 4
/// registers.
template <typename M>
concept MachineInterface = requires(const uint8_t* bytes, uint8_t* out, typename M::BatchI i,
                                    typename M::BatchF f, typename M::BatchI (&integers)[4],
                                    const typename M::BatchF (&floats)[4]) {
  typename M::Arch;  // xsimd's name of it.
  /// 16 bytes, without and with a sign.
  { M::WidenU8(bytes, integers) } -> std::same_as<void>;
  { M::WidenI8(bytes, integers) } -> std::same_as<void>;
  /// As StoreU8 of Vec.
  { M::RoundAndStore(floats, 0, out) } -> std::same_as<void>;
  /// Four halves, exactly, denormals and NaN included.
  { M::LoadHalf(bytes) } -> std::same_as<typename M::BatchF>;
  /// As LoadBf16 and StoreBf16 of Vec.
  { M::LoadBf16(bytes, *Memory<typename M::BatchF[4]>()) } -> std::same_as<void>;
  { M::StoreBf16(floats, out) } -> std::same_as<void>;
  /// acc + a * b of a in [0, 2^15) and b in [-2^15, 2^15).
  { M::MulAddSmall(i, i, i) } -> std::same_as<typename M::BatchI>;
  /// Input, Part (a quarter of a line of weights), LoadInput, LoadPart, MulAdd, and kWide: whether
  /// LoadWide takes a pixel's 16 bytes, of which MulAddLane<N> multiplies four.
  { M::Products::kWide } -> std::convertible_to<bool>;
  { M::Products::LoadInput(bytes) } -> std::same_as<typename M::Products::Input>;
  { M::Products::LoadPart(bytes) } -> std::same_as<typename M::Products::Part>;
  /// Pixels of the largest tiles; as kSignedInput of Vec; and kWide for floats.
  { M::kIntPixels } -> std::convertible_to<int>;
  { M::kFloatPixels } -> std::convertible_to<int>;
  { M::kBf16Pixels } -> std::convertible_to<int>;
  { M::kSignedInput } -> std::convertible_to<bool>;
  { M::kWideFloat } -> std::convertible_to<bool>;
};

}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_CONTRACT_H_
