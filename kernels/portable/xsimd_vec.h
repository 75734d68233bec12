// The vector interface over xsimd, for 128-bit instruction sets. What xsimd does not have
// (widening, narrowing, integer products) comes from `Machine`, x86/sse2_machine.h or
// arm/neon_machine.h, which is included before and also gives Machine::Arch.
#ifndef OCTET_KERNELS_PORTABLE_XSIMD_VEC_H_
#define OCTET_KERNELS_PORTABLE_XSIMD_VEC_H_

#include <xsimd/xsimd.hpp>

#include "kernels/portable/contract.h"
#include "kernels/portable/part_tile.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

static_assert(MachineInterface<Machine>);

struct Vec {
  using BatchF = xsimd::batch<float, Machine::Arch>;
  using BatchI = xsimd::batch<int32_t, Machine::Arch>;
  static_assert(BatchF::size == 4);
  struct I32 {
    BatchI v[kParts];
  };
  struct F32 {
    BatchF v[kParts];
  };

  static OCTET_INLINE F32 SplatF32(float x) {
    const BatchF b(x);
    return {{b, b, b, b}};
  }
  static OCTET_INLINE I32 SplatI32(int32_t x) {
    const BatchI b(x);
    return {{b, b, b, b}};
  }
  static OCTET_INLINE F32 LoadF32(const float* p) {
    return {{BatchF::load_unaligned(p), BatchF::load_unaligned(p + 4),
             BatchF::load_unaligned(p + 8), BatchF::load_unaligned(p + 12)}};
  }
  static OCTET_INLINE I32 LoadI32(const int32_t* p) {
    return {{BatchI::load_unaligned(p), BatchI::load_unaligned(p + 4),
             BatchI::load_unaligned(p + 8), BatchI::load_unaligned(p + 12)}};
  }
  static OCTET_INLINE void StoreF32(float* p, F32 x) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) x.v[q].store_unaligned(p + 4 * q);
  }
  static OCTET_INLINE F32 LoadBf16(const uint8_t* p) {
    F32 r;
    Machine::LoadBf16(p, r.v);
    return r;
  }
  static OCTET_INLINE void StoreBf16(uint8_t* p, const F32& x) { Machine::StoreBf16(x.v, p); }
  static OCTET_INLINE I32 WidenU8(const uint8_t* p) {
    I32 r;
    Machine::WidenU8(p, r.v);
    return r;
  }
  static OCTET_INLINE I32 WidenI8(const uint8_t* p) {
    I32 r;
    Machine::WidenI8(p, r.v);
    return r;
  }
  static OCTET_INLINE F32 ToFloat(I32 x) {
    return {{xsimd::to_float(x.v[0]), xsimd::to_float(x.v[1]), xsimd::to_float(x.v[2]),
             xsimd::to_float(x.v[3])}};
  }
  static OCTET_INLINE I32 Round(F32 x) {
    I32 r;
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) r.v[q] = xsimd::nearbyint_as_int(x.v[q]);
    return r;
  }
  static OCTET_INLINE I32 OrDifferent(I32 any, I32 a, I32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) any.v[q] = any.v[q] | (a.v[q] ^ b.v[q]);
    return any;
  }
  static OCTET_INLINE bool Any(I32 v) {
    return xsimd::any(((v.v[0] | v.v[1]) | (v.v[2] | v.v[3])) != BatchI(0));
  }
  static OCTET_INLINE F32 WithSign(F32 v, F32 sign) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) v.v[q] = v.v[q] | (sign.v[q] & BatchF(-0.0f));
    return v;
  }
  static OCTET_INLINE I32 Sub(I32 a, I32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = a.v[q] - b.v[q];
    return a;
  }
  static OCTET_INLINE void Carry(I32& high, I32& low) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
      high.v[q] = high.v[q] + (low.v[q] >> 8);
      low.v[q] = low.v[q] & BatchI(255);
    }
  }
  static OCTET_INLINE F32 Add(F32 a, F32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = a.v[q] + b.v[q];
    return a;
  }
  static OCTET_INLINE F32 Mul(F32 a, F32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = a.v[q] * b.v[q];
    return a;
  }
  static OCTET_INLINE F32 MulAddF32(F32 a, F32 b, F32 c) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = xsimd::fma(a.v[q], b.v[q], c.v[q]);
    return a;
  }
  static OCTET_INLINE F32 Min(F32 a, F32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = xsimd::min(a.v[q], b.v[q]);
    return a;
  }
  static OCTET_INLINE F32 Max(F32 a, F32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] = xsimd::max(a.v[q], b.v[q]);
    return a;
  }
  static OCTET_INLINE F32 MaxNumber(F32 a, F32 b) {
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) a.v[q] =
        xsimd::select(a.v[q] > b.v[q], a.v[q], b.v[q]);
    return a;
  }

  static constexpr bool kStoresPixels = false;  // No StorePixelsU8.
  static constexpr bool kRoundsToZero = false;  // No MulAddToOdd.
  // Rounds N panels of one pixel to nearest even, adds the zero point and stores N*16 bytes.
  template <int N>
  static OCTET_INLINE void StoreU8(uint8_t* out, const F32 (&v)[N], int32_t zero) {
    OCTET_UNROLL for (int j = 0; j < N; ++j) Machine::RoundAndStore(v[j].v, zero, out + j * kLanes);
  }

  // The same as i16, whose zero point is 0, within +-32768.
  template <int N>
  static OCTET_INLINE void StoreI16Codes(uint8_t* out, int64_t plane, const F32 (&v)[N]) {
    OCTET_UNROLL for (int j = 0; j < N; ++j) {
      BatchF high[kParts], low[kParts];
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        const BatchI code = xsimd::nearbyint_as_int(v[j].v[q]) + 32768;
        high[q] = xsimd::to_float(code >> 8);
        low[q] = xsimd::to_float(code & 255);
      }
      Machine::RoundAndStore(high, 0, out + j * kLanes);
      Machine::RoundAndStore(low, 0, out + plane + j * kLanes);
    }
  }

  struct MacU8 : Machine::Products {
    using Acc = I32;
    using Bias = int32_t;
    static constexpr int kPartBytes = 16;
    static OCTET_INLINE Acc LoadBias(const int32_t* p) { return LoadI32(p); }
  };
  template <int MR, int NR>
  using IntTile = PartTile<MacU8, MR, NR>;
  static constexpr int kIntMaxPanels = 1;
  static constexpr int IntMaxPixels(int) { return Machine::kIntPixels; }
  static constexpr bool kQuads = false;
  static constexpr int StaggeredPixels(int) { return 0; }

  struct MacF32 {
    using Acc = F32;
    using Bias = float;
    using Input = BatchF;
    using Part = BatchF;
    using WideInput = BatchF;
    static constexpr int kPartBytes = 16;
    static constexpr bool kWide = Machine::kWideFloat;
    static OCTET_INLINE Acc LoadBias(const float* p) { return LoadF32(p); }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) {
      return BatchF::load_unaligned(reinterpret_cast<const float*>(w));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return BatchF(*reinterpret_cast<const float*>(p));
    }
    static OCTET_INLINE void MulAdd(BatchF& acc, Input a, Part w) { acc = xsimd::fma(a, w, acc); }
    static OCTET_INLINE WideInput LoadWide(const uint8_t* p) { return LoadPart(p); }
    template <int kLane, class M = Machine>
    static OCTET_INLINE void MulAddLane(BatchF& acc, WideInput a, Part w) {
      acc = M::template MulAddLane<kLane>(acc, a, w);
    }
  };
  struct MacF16 : MacF32 {
    static constexpr int kPartBytes = 8;
    static OCTET_INLINE BatchF LoadPart(const uint8_t* w) { return Machine::LoadHalf(w); }
  };
  template <class Mac, int MR, int NR>
  using FloatTile = PartTile<Mac, MR, NR>;
  static constexpr int kFloatMaxPanels = 1;
  static constexpr int FloatMaxPixels(int) { return Machine::kFloatPixels; }

#ifdef OCTET_NEON_BF16
  struct MacBf16 : Machine::Bf16Products {
    using Acc = F32;
    using Bias = float;
    static constexpr int kPartBytes = 16;
    static OCTET_INLINE Acc LoadBias(const float* p) { return LoadF32(p); }
  };
#else
  // Each lane has two elements of depth.
  struct MacBf16 : MacF32 {
    using BatchU = xsimd::batch<uint32_t, Machine::Arch>;
    struct Pair {
      BatchF even, odd;
    };
    using Input = Pair;
    using WideInput = Pair;
    using Part = Pair;
    static OCTET_INLINE Pair Split(BatchU pairs) {
      return {AsFloats(pairs << 16), AsFloats(pairs & BatchU(0xffff0000u))};
    }
    static OCTET_INLINE BatchF AsFloats(BatchU bits) {
      return BatchF(__builtin_bit_cast(typename BatchF::register_type, bits.data));
    }
    static OCTET_INLINE Part LoadPart(const uint8_t* w) {
      return Split(BatchU::load_unaligned(reinterpret_cast<const uint32_t*>(w)));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      uint32_t pair;
      __builtin_memcpy(&pair, p, 4);
      return Split(BatchU(pair));
    }
    static OCTET_INLINE void MulAdd(BatchF& acc, const Input& a, const Part& w) {
      acc = xsimd::fma(a.even, w.even, acc);
      acc = xsimd::fma(a.odd, w.odd, acc);
    }
    static OCTET_INLINE WideInput LoadWide(const uint8_t* p) { return LoadPart(p); }
    template <int kLane, class M = Machine>
    static OCTET_INLINE void MulAddLane(BatchF& acc, const WideInput& a, const Part& w) {
      acc = M::template MulAddLane<kLane>(acc, a.even, w.even);
      acc = M::template MulAddLane<kLane>(acc, a.odd, w.odd);
    }
  };
#endif
  template <int MR, int NR>
  using Bf16Tile = PartTile<MacBf16, MR, NR>;
  static constexpr int kBf16MaxPanels = 1;
  static constexpr int Bf16MaxPixels(int) { return Machine::kBf16Pixels; }

  // Depthwise: lanes are channels of input and weights alike.
  static constexpr int kDepthwisePixels = 0;  // Registers do not suffice.
  struct DepthwiseU8 {
    using Acc = I32;
    using Bias = int32_t;
    using Weights = I32;
    using Input = I32;
    static constexpr int kWeightBytes = 1;
    static constexpr int kRegisters = 16, kRegistersPerAcc = kParts;
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Acc LoadBias(const int32_t* p) { return LoadI32(p); }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return WidenI8(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return WidenU8(p); }
    static OCTET_INLINE void MulAdd(Acc& acc, const Input& a, const Weights& w) {
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        acc.v[q] = Machine::MulAddSmall(acc.v[q], a.v[q], w.v[q]);
      }
    }
  };
  struct DepthwiseF32 {
    using Acc = F32;
    using Bias = float;
    using Weights = F32;
    using Input = F32;
    static constexpr int kWeightBytes = 4;
    static constexpr int kRegisters = 16, kRegistersPerAcc = kParts;
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Acc LoadBias(const float* p) { return LoadF32(p); }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return LoadF32(reinterpret_cast<const float*>(w));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return LoadF32(reinterpret_cast<const float*>(p));
    }
    static OCTET_INLINE void MulAdd(Acc& acc, const Input& a, const Weights& w) {
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) acc.v[q] = xsimd::fma(a.v[q], w.v[q], acc.v[q]);
    }
  };
  struct DepthwiseF16 : DepthwiseF32 {
    static constexpr int kWeightBytes = 2;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return {{Machine::LoadHalf(w), Machine::LoadHalf(w + 8), Machine::LoadHalf(w + 16),
               Machine::LoadHalf(w + 24)}};
    }
  };
  struct DepthwiseBf16 : DepthwiseF32 {
    static constexpr int kWeightBytes = 2;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return LoadBf16(w); }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return LoadBf16(p); }
  };

  // Grouped: a quarter of a panel is a register.
  template <class Mac, int kMostPixels, int kLinesOfFour>
  struct Group : Mac {
    static constexpr int kPixels = kMostPixels, kFours = kLinesOfFour;
    struct Inputs {
      typename Mac::Input v[kParts];
    };
    struct Weights {
      typename Mac::Part v[kParts];
    };
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      Weights r;
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) r.v[q] = Mac::LoadPart(w + q * Mac::kPartBytes);
      return r;
    }
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[kParts]) {
      Inputs r;
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        r.v[q] = kHalves && q % 2 == 1 ? r.v[q - 1] : Mac::LoadInput(p + from[q]);
      }
      return r;
    }
    template <int kLine>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      Inputs r;
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        r.v[q] = Mac::LoadInput(p + 4 * (q * kFours + kLine));
      }
      return r;
    }
    static OCTET_INLINE void MulAdd(typename Mac::Acc& acc, const Inputs& a, const Weights& w) {
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) Mac::MulAdd(acc.v[q], a.v[q], w.v[q]);
    }
  };
  using GroupU8 = Group<MacU8, Machine::kIntPixels, 1>;
  using GroupF32 = Group<MacF32, Machine::kFloatPixels, 4>;
  using GroupF16 = Group<MacF16, Machine::kFloatPixels, 4>;
  using GroupBf16 = Group<MacBf16, Machine::kBf16Pixels, 2>;

  // Machines whose product is s8 x s8 see activations less 128; 128 times the sum of the weights is
  // put into the bias.
  static constexpr bool kSignedInput = Machine::kSignedInput;
  template <class M = Machine>
  static OCTET_INLINE void AdjustBias(const int32_t* bias, const uint8_t* weights, int64_t lines,
                                      int32_t* adjusted) {
    I32 sum = SplatI32(0);
    for (int64_t i = 0; i < lines; ++i) {
      OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
        sum.v[q] = M::AddLanes(sum.v[q], weights + i * 64 + q * 16);
      }
    }
    OCTET_UNROLL for (int q = 0; q < kParts; ++q) {
      const BatchI b = BatchI::load_unaligned(bias + 4 * q) + (sum.v[q] << 7);
      b.store_unaligned(adjusted + 4 * q);
    }
  }
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_XSIMD_VEC_H_
