// AVX2 with FMA and F16C: a panel line is two registers. With OCTET_AVXVNNI defined (and the
// compiler allowed to) the integer product is the 256-bit vpdpbusd, else exact 16-bit arithmetic.
#ifndef OCTET_KERNELS_X86_AVX2_VEC_H_
#define OCTET_KERNELS_X86_AVX2_VEC_H_

#include <immintrin.h>

#include <cstring>

#include "kernels/kernel_table.h"
#include "kernels/portable/tile.h"

#define OCTET_WINOGRAD  // The operations of portable/winograd_impl.h are here.
#ifndef OCTET_AVXVNNI
#define OCTET_SPLIT  // x86/avx2_split.h, avx2_spread.h and avx2_wide.h pay.
#endif

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

struct Vec {
  struct I32 {
    __m256i lo, hi;
  };
  struct F32 {
    __m256 lo, hi;
  };

  static OCTET_INLINE F32 SplatF32(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static OCTET_INLINE I32 SplatI32(int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
  }
  static OCTET_INLINE F32 LoadF32(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
  }
  static OCTET_INLINE __m256i Load(const void* p) {
    return _mm256_loadu_si256(static_cast<const __m256i*>(p));
  }
  static OCTET_INLINE I32 LoadI32(const int32_t* p) { return {Load(p), Load(p + 8)}; }
  static OCTET_INLINE void StoreF32(float* p, F32 v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
  }
  static OCTET_INLINE __m128i Load8(const uint8_t* p) {
    return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  }
  static OCTET_INLINE __m128i Load16(const void* p) {
    return _mm_loadu_si128(static_cast<const __m128i*>(p));
  }
  // Signed bytes in even and in odd places, as words.
  static OCTET_INLINE __m256i EvenBytes(__m256i v) {
    return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
  }
  static OCTET_INLINE __m256i OddBytes(__m256i v) { return _mm256_srai_epi16(v, 8); }
  // Two words at p times those of weights. Assembly for the reason that IntTile's is.
  static OCTET_INLINE void AddWords(const uint8_t* p, __m256i lo, __m256i hi, __m256i& acc_lo,
                                    __m256i& acc_hi) {
    __m256i a, product;
    asm volatile(
        "vpbroadcastd %4, %2\n\tvpmaddwd %5, %2, %3\n\tvpmaddwd %6, %2, %2\n\t"
        "vpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
        : "+x"(acc_lo), "+x"(acc_hi), "=&x"(a), "=&x"(product)
        : "m"(reinterpret_cast<const uint8_t(&)[4]>(*p)), "x"(lo), "x"(hi));
  }
  // Two floats stand in a dword as bfloat16; kOdd is the upper one.
  template <int kOdd>
  static OCTET_INLINE __m256 HalfOf(__m256i pairs) {
    return _mm256_castsi256_ps(
        kOdd ? _mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000)))
             : _mm256_slli_epi32(pairs, 16));
  }
  static OCTET_INLINE F32 LoadBf16(const uint8_t* p) {
    const auto half = [](const uint8_t* from) {
      return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(Load16(from)), 16));
    };
    return {half(p), half(p + 16)};
  }
  // The upper halves of eight floats, rounded to nearest even. There is no NaN behind Min and Max.
  static OCTET_INLINE __m256i RoundToBf16(__m256 v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    return _mm256_srli_epi32(
        _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  }
  static OCTET_INLINE void StoreBf16(uint8_t* p, F32 v) {
    // Packing works within 128-bit lanes.
    const __m256i words = _mm256_packus_epi32(RoundToBf16(v.lo), RoundToBf16(v.hi));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(words, 0xD8));
  }
  static OCTET_INLINE I32 WidenU8(const uint8_t* p) {
    return {_mm256_cvtepu8_epi32(Load8(p)), _mm256_cvtepu8_epi32(Load8(p + 8))};
  }
  static OCTET_INLINE F32 ToFloat(I32 v) {
    return {_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi)};
  }
  static OCTET_INLINE I32 Round(F32 v) {
    return {_mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi)};
  }
  static OCTET_INLINE I32 OrDifferent(I32 any, I32 a, I32 b) {
    return {_mm256_or_si256(any.lo, _mm256_xor_si256(a.lo, b.lo)),
            _mm256_or_si256(any.hi, _mm256_xor_si256(a.hi, b.hi))};
  }
  static OCTET_INLINE bool Any(I32 v) {
    const __m256i all = _mm256_or_si256(v.lo, v.hi);
    return !_mm256_testz_si256(all, all);
  }
  static OCTET_INLINE F32 WithSign(F32 v, F32 sign) {
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return {_mm256_or_ps(v.lo, _mm256_and_ps(sign.lo, bit)),
            _mm256_or_ps(v.hi, _mm256_and_ps(sign.hi, bit))};
  }
  static OCTET_INLINE I32 Sub(I32 a, I32 b) {
    return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
  }
  static OCTET_INLINE void Carry(I32& high, I32& low) {
    const __m256i byte = _mm256_set1_epi32(255);
    high = {_mm256_add_epi32(high.lo, _mm256_srai_epi32(low.lo, 8)),
            _mm256_add_epi32(high.hi, _mm256_srai_epi32(low.hi, 8))};
    low = {_mm256_and_si256(low.lo, byte), _mm256_and_si256(low.hi, byte)};
  }
  static OCTET_INLINE F32 Add(F32 a, F32 b) {
    return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
  }
  static OCTET_INLINE F32 Mul(F32 a, F32 b) {
    return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
  }
  static OCTET_INLINE F32 SubF32(F32 a, F32 b) {
    return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
  }
  static OCTET_INLINE F32 Min(F32 a, F32 b) {
    return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
  }
  static OCTET_INLINE F32 Max(F32 a, F32 b) {
    return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
  }
  static OCTET_INLINE F32 MaxNumber(F32 a, F32 b) { return Max(a, b); }

  // For Winograd: 32-bit arithmetic that wraps, and 16 lanes of 16 bits.
  static OCTET_INLINE I32 AddI32(I32 a, I32 b) {
    return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
  }
  static OCTET_INLINE I32 MulLow(I32 a, int32_t b) {
    const __m256i factor = _mm256_set1_epi32(b);
    return {_mm256_mullo_epi32(a.lo, factor), _mm256_mullo_epi32(a.hi, factor)};
  }
  template <int N>
  static OCTET_INLINE I32 ShiftLeft(I32 a) {
    return {_mm256_slli_epi32(a.lo, N), _mm256_slli_epi32(a.hi, N)};
  }
  template <int N>
  static OCTET_INLINE I32 ShiftRight(I32 a) {
    return {_mm256_srai_epi32(a.lo, N), _mm256_srai_epi32(a.hi, N)};
  }
  static OCTET_INLINE void StoreI32(int32_t* p, I32 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v.lo);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), v.hi);
  }
  using I16 = __m256i;
  using WideI16 = I16;
  static OCTET_INLINE I16 AddI16(I16 a, I16 b) { return _mm256_add_epi16(a, b); }
  static OCTET_INLINE I16 SubI16(I16 a, I16 b) { return _mm256_sub_epi16(a, b); }
  template <int N>
  static OCTET_INLINE I16 ShiftLeftI16(I16 a) {
    return _mm256_slli_epi16(a, N);
  }
  static OCTET_INLINE void WidenU8ToI16(const uint8_t* p, I16* v) {
    *v = _mm256_cvtepu8_epi16(Load16(p));
  }
  static OCTET_INLINE void StoreI16(uint8_t* p, I16 v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  }
  // 4 tiles of 512 channels: 0.58 ms, split kernel 0.67 ms. AVX-VNNI: 0.50 ms, direct 0.43 ms; 9
  // tiles of 128 channels: 56 us both; 64 of 16: 10.8 and 10.0 us. 4 tiles of 32 groups of 32
  // channels: 95 and 141 us; AVX-VNNI: 83 and 60 us, 49 of 8 of 32 183 and 223 us.
#ifdef OCTET_AVXVNNI
  static constexpr WinogradLimit kWinogradLimit = {16, 32, 32};
#else
  static constexpr WinogradLimit kWinogradLimit = {4, 16, 16};
#endif
  static constexpr WinogradLimit kBf16WinogradLimit = {0, 0, 0};  // As floats.
  static constexpr bool kFusedWinograd = false;                   // Half as many registers.
  static OCTET_INLINE F32 MulAddF32(F32 a, F32 b, F32 c) {
    return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
  }
  // 32 lanes of 16 bits.
  static OCTET_INLINE I32 AddI16(I32 a, I32 b) {
    return {_mm256_add_epi16(a.lo, b.lo), _mm256_add_epi16(a.hi, b.hi)};
  }
  static OCTET_INLINE I32 SubI16(I32 a, I32 b) {
    return {_mm256_sub_epi16(a.lo, b.lo), _mm256_sub_epi16(a.hi, b.hi)};
  }
  template <int N>
  static OCTET_INLINE I32 ShiftLeftI16(I32 a) {
    return {_mm256_slli_epi16(a.lo, N), _mm256_slli_epi16(a.hi, N)};
  }
  // Bytes 2*kPair and 2*kPair + 1 of each dword, signed.
  template <int kPair>
  static OCTET_INLINE I32 WidenPairs(const uint8_t* p) {
    // To the upper byte of each word, then down with the sign.
    const __m256i order = Load(kPairShuffles.order[kPair]);
    return {_mm256_srai_epi16(_mm256_shuffle_epi8(Load(p), order), 8),
            _mm256_srai_epi16(_mm256_shuffle_epi8(Load(p + 32), order), 8)};
  }

  static constexpr bool kStoresPixels = false;  // No StorePixelsU8.
  static constexpr bool kRoundsToZero = false;  // No MulAddToOdd.
  // Rounds N panels of one pixel to nearest even, adds the zero point and stores N*16 bytes.
  template <int N>
  static OCTET_INLINE void StoreU8(uint8_t* out, const F32 (&v)[N], int32_t zero) {
    const __m256i z = _mm256_set1_epi16(static_cast<short>(zero));
    OCTET_UNROLL for (int j = 0; j < N; ++j) {
      const __m256i words = _mm256_adds_epi16(
          _mm256_packs_epi32(_mm256_cvtps_epi32(v[j].lo), _mm256_cvtps_epi32(v[j].hi)), z);
      // Packing works within 128-bit lanes.
      const __m256i ordered = _mm256_permute4x64_epi64(words, 0xD8);
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(out + j * kLanes),
          _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
    }
  }

  // The same as i16, whose zero point is 0, within +-32768.
  template <int N>
  static OCTET_INLINE void StoreI16Codes(uint8_t* out, int64_t plane, const F32 (&v)[N]) {
    OCTET_UNROLL for (int j = 0; j < N; ++j) {
      const __m256i words =
          _mm256_packs_epi32(_mm256_cvtps_epi32(v[j].lo), _mm256_cvtps_epi32(v[j].hi));
      // High bytes in the lower half of each 128 bits, low ones in the upper.
      const __m256i bytes =
          _mm256_xor_si256(_mm256_packs_epi16(_mm256_srai_epi16(words, 8), _mm256_setzero_si256()),
                           _mm256_packus_epi16(_mm256_setzero_si256(),
                                               _mm256_and_si256(words, _mm256_set1_epi16(255))));
      // Packing works within 128-bit lanes.
      const __m256i ordered =
          _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
      _mm_storeu_si128(
          reinterpret_cast<__m128i*>(out + j * kLanes),
          _mm_xor_si128(_mm256_castsi256_si128(ordered), _mm_set1_epi8(static_cast<char>(-128))));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + plane + j * kLanes),
                       _mm256_extracti128_si256(ordered, 1));
    }
  }

  struct MacU8Base {
    using Acc = I32;
    using Bias = int32_t;
    static constexpr int kRegisters = 16, kRegistersPerAcc = 2;
    static constexpr bool kMemoryOperand = false;
    static OCTET_INLINE Acc LoadBias(const int32_t* p) { return LoadI32(p); }
    // Four bytes in memory, for assembly.
    static OCTET_INLINE const uint8_t (&Group(const uint8_t* p))[4] {
      return *reinterpret_cast<const uint8_t(*)[4]>(p);
    }
    static OCTET_INLINE __m256i Broadcast(const uint8_t* p) {
      int32_t group;
      std::memcpy(&group, p, 4);
      return _mm256_set1_epi32(group);
    }
  };

#ifdef OCTET_AVXVNNI
  struct MacU8 : MacU8Base {
    using Weights = I32;
    using Input = __m256i;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return {Load(w), Load(w + 32)}; }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return Broadcast(p); }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) { MulAdd(acc, {a, a}, w); }
    // Assembly for the reason given in avx512vnni_vec.h. %{vex%}: not the EVEX encoding, which
    // needs AVX-512.
    static OCTET_INLINE void MulAdd(Acc& acc, I32 a, Weights w) {
      asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc.lo) : "x"(a.lo), "x"(w.lo));
      asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc.hi) : "x"(a.hi), "x"(w.hi));
    }
  };
  template <int MR, int NR>
  using IntTile = Tile<MacU8, MR, NR>;
#else
  // vpmaddubsw would saturate: 2 * 255 * 127 does not fit 16 bits. Bytes are widened to 16 bits
  // instead, those in even and those in odd places apart, which needs no shuffle and adds up to the
  // same dword. One after the other, so that 12 accumulators, two of weights, one of input and one
  // product are 16 registers; assembly because g++ 12 would not see it that way.
  template <int MR, int NR>
  struct IntTile : Tile<MacU8Base, MR, NR> {
    static_assert(NR == 1);
    OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w, int64_t) {
      alignas(32) static constexpr int16_t kEven[16] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                        255, 255, 255, 255, 255, 255, 255, 255};
      __m256i lo = EvenBytes(Load(w)), hi = EvenBytes(Load(w + 32));
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        __m256i a, product;
        asm volatile(
            "vpbroadcastd %4, %2\n\tvpand %7, %2, %2\n\tvpmaddwd %5, %2, %3\n\tvpmaddwd %6, %2, "
            "%2\n\t"
            "vpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
            : "+x"(this->acc[i][0].lo), "+x"(this->acc[i][0].hi), "=&x"(a), "=&x"(product)
            : "m"(MacU8Base::Group(p[i] + k)), "x"(lo), "x"(hi), "m"(kEven));
      }
      lo = OddBytes(Load(w));
      hi = OddBytes(Load(w + 32));
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        __m256i a, product;
        asm volatile(
            "vpbroadcastd %4, %2\n\tvpsrlw $8, %2, %2\n\tvpmaddwd %5, %2, %3\n\tvpmaddwd %6, %2, "
            "%2\n\t"
            "vpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
            : "+x"(this->acc[i][0].lo), "+x"(this->acc[i][0].hi), "=&x"(a), "=&x"(product)
            : "m"(MacU8Base::Group(p[i] + k)), "x"(lo), "x"(hi));
      }
    }
  };

  // As IntTile, of activations that are words, those of odd bytes kOdd further (avx2_spread.h).
  template <int MR, int NR, ptrdiff_t kOdd>
  struct SpreadTile : Tile<MacU8Base, MR, NR> {
    static_assert(NR == 1);
    OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w, int64_t) {
      const __m256i lo = Load(w), hi = Load(w + 32);
      AddAll(p, k, EvenBytes(lo), EvenBytes(hi));
      AddAll(p, k + kOdd, OddBytes(lo), OddBytes(hi));
    }

   private:
    OCTET_INLINE void AddAll(const uint8_t* const (&p)[MR], ptrdiff_t k, __m256i lo, __m256i hi) {
      OCTET_UNROLL for (int i = 0; i < MR; ++i)
          AddWords(p[i] + k, lo, hi, this->acc[i][0].lo, this->acc[i][0].hi);
    }
  };
#endif
  static constexpr int IntMaxPixels(int) { return 6; }
  static constexpr bool kQuads = false;
  static constexpr int StaggeredPixels(int) { return 0; }
  static constexpr bool kSignedInput = false;
  static constexpr int kIntMaxPanels = 1;

  // Pairs of 16-bit values, for Winograd.
  struct MacI16 : MacU8Base {
    using Weights = I32;
    using Input = __m256i;
    static OCTET_INLINE Acc Zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return {Load(w), Load(w + 32)}; }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return Broadcast(p); }
    // Assembly because g++ 12 keeps 7 of the 12 accumulators of a tile in memory.
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) {
#ifdef OCTET_AVXVNNI
      asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc.lo) : "x"(a), "x"(w.lo));
      asm("%{vex%} vpdpwssd %2, %1, %0" : "+x"(acc.hi) : "x"(a), "x"(w.hi));
#else
      __m256i product;
      asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
          : "+x"(acc.lo), "=&x"(product)
          : "x"(a), "x"(w.lo));
      asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
          : "+x"(acc.hi), "=&x"(product)
          : "x"(a), "x"(w.hi));
#endif
    }
  };

  struct MacF32 {
    using Acc = F32;
    using Bias = float;
    using Weights = F32;
    using Input = __m256;
    static constexpr int kRegisters = 16, kRegistersPerAcc = 2;
    static constexpr bool kMemoryOperand = false;

    static OCTET_INLINE Acc LoadBias(const float* p) { return LoadF32(p); }
    static OCTET_INLINE Acc Zero() { return SplatF32(0.0f); }
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return LoadF32(reinterpret_cast<const float*>(w));
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return _mm256_broadcast_ss(reinterpret_cast<const float*>(p));
    }
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) {
      acc.lo = _mm256_fmadd_ps(a, w.lo, acc.lo);
      acc.hi = _mm256_fmadd_ps(a, w.hi, acc.hi);
    }
  };
  struct MacF16 : MacF32 {
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      const __m128i* half = reinterpret_cast<const __m128i*>(w);
      return {_mm256_cvtph_ps(_mm_loadu_si128(half)), _mm256_cvtph_ps(_mm_loadu_si128(half + 1))};
    }
  };
  template <class Mac, int MR, int NR>
  using FloatTile = Tile<Mac, MR, NR>;
  static constexpr int kFloatMaxPanels = 1;
  static constexpr int FloatMaxPixels(int) { return 6; }

  // One of the two elements of depth in each dword of weights and of input.
  template <int kOdd>
  struct MacBf16 : MacF32 {
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return {HalfOf<kOdd>(Load(w)), HalfOf<kOdd>(Load(w + 32))};
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return HalfOf<kOdd>(MacU8Base::Broadcast(p));
    }
  };
  // PairTile in assembly, because g++ 12 keeps half of the accumulators in memory: 12 of those, two
  // registers of weights and one of input are 15.
  template <int MR, int NR>
  struct Bf16Tile : Tile<MacF32, MR, NR> {
    static_assert(NR == 1);
    OCTET_INLINE void Step(const uint8_t* const (&p)[MR], ptrdiff_t k, const uint8_t* w, int64_t) {
      alignas(32) static constexpr uint32_t kUpper[8] = {0xffff0000, 0xffff0000, 0xffff0000,
                                                         0xffff0000, 0xffff0000, 0xffff0000,
                                                         0xffff0000, 0xffff0000};
      __m256 lo = HalfOf<0>(Load(w)), hi = HalfOf<0>(Load(w + 32));
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        __m256 a;
        asm volatile(
            "vpbroadcastd %3, %2\n\tvpslld $16, %2, %2\n\t"
            "vfmadd231ps %4, %2, %0\n\tvfmadd231ps %5, %2, %1"
            : "+x"(this->acc[i][0].lo), "+x"(this->acc[i][0].hi), "=&x"(a)
            : "m"(MacU8Base::Group(p[i] + k)), "x"(lo), "x"(hi));
      }
      lo = HalfOf<1>(Load(w)), hi = HalfOf<1>(Load(w + 32));
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        __m256 a;
        asm volatile(
            "vbroadcastss %3, %2\n\tvandps %6, %2, %2\n\t"
            "vfmadd231ps %4, %2, %0\n\tvfmadd231ps %5, %2, %1"
            : "+x"(this->acc[i][0].lo), "+x"(this->acc[i][0].hi), "=&x"(a)
            : "m"(MacU8Base::Group(p[i] + k)), "x"(lo), "x"(hi), "m"(kUpper));
      }
    }
  };
  static constexpr int kBf16MaxPanels = kFloatMaxPanels;
  static constexpr int Bf16MaxPixels(int panels) { return FloatMaxPixels(panels); }

  // Depthwise: lanes are channels of input and weights alike.
  static constexpr int kDepthwisePixels = 0;  // Registers do not suffice.
  struct DepthwiseU8 : MacU8Base {
    using Weights = I32;
    using Input = I32;
    static constexpr int kWeightBytes = 1;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      return {_mm256_cvtepi8_epi32(Load8(w)), _mm256_cvtepi8_epi32(Load8(w + 8))};
    }
    static OCTET_INLINE Input LoadInput(const uint8_t* p) { return WidenU8(p); }
    // The upper half of an input lane is 0, so vpmaddwd is an exact product.
    static OCTET_INLINE void MulAdd(Acc& acc, Input a, Weights w) {
      acc.lo = _mm256_add_epi32(acc.lo, _mm256_madd_epi16(a.lo, w.lo));
      acc.hi = _mm256_add_epi32(acc.hi, _mm256_madd_epi16(a.hi, w.hi));
    }
  };
  template <class Mac>
  struct LaneFloat : Mac {
    static OCTET_INLINE void MulAdd(F32& acc, F32 a, F32 w) {
      acc.lo = _mm256_fmadd_ps(a.lo, w.lo, acc.lo);
      acc.hi = _mm256_fmadd_ps(a.hi, w.hi, acc.hi);
    }
  };
  template <class Mac, int kBytes>
  struct DepthwiseFloat : LaneFloat<Mac> {
    using Input = F32;
    static constexpr int kWeightBytes = kBytes;
    static OCTET_INLINE Input LoadInput(const uint8_t* p) {
      return LoadF32(reinterpret_cast<const float*>(p));
    }
  };
  using DepthwiseF32 = DepthwiseFloat<MacF32, 4>;
  using DepthwiseF16 = DepthwiseFloat<MacF16, 2>;
  struct DepthwiseBf16 : DepthwiseF32 {
    static constexpr int kWeightBytes = 2;
    static OCTET_INLINE F32 LoadWeights(const uint8_t* w) { return LoadBf16(w); }
    static OCTET_INLINE F32 LoadInput(const uint8_t* p) { return LoadBf16(p); }
  };

  // Grouped: a quarter of a panel is half a register.
  struct GroupU8 : MacU8Base {
    static constexpr int kFours = 1;
    // A dword of each of the groups from p on, in the bytes that `order` names within 128 bits.
    static OCTET_INLINE I32 Spread(const uint8_t* p, __m256i order) {
      const __m256i all = _mm256_broadcastsi128_si256(Load16(p));
      return {_mm256_shuffle_epi8(all, order),
              _mm256_shuffle_epi8(all, _mm256_add_epi8(order, _mm256_set1_epi8(8)))};
    }
    template <bool kHalves>
    static OCTET_INLINE I32 LoadQuarters(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      const __m256i first = Broadcast(p + from[0]), third = Broadcast(p + from[2]);
      if constexpr (kHalves) return {first, third};
      return {_mm256_blend_epi32(first, Broadcast(p + from[1]), 0xF0),
              _mm256_blend_epi32(third, Broadcast(p + from[3]), 0xF0)};
    }
#ifdef OCTET_AVXVNNI
    static constexpr int kPixels = 6;
    using Inputs = I32;
    using Weights = MacU8::Weights;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) { return MacU8::LoadWeights(w); }
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      return LoadQuarters<kHalves>(p, from);
    }
    template <int>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      return Spread(p, _mm256_setr_epi32(0x03020100, 0x03020100, 0x03020100, 0x03020100, 0x07060504,
                                         0x07060504, 0x07060504, 0x07060504));
    }
    static OCTET_INLINE void MulAdd(Acc& acc, Inputs a, Weights w) { MacU8::MulAdd(acc, a, w); }
#else
    // Bytes in even and in odd places apart, as IntTile: 8 accumulators and 4 registers of weights.
    static constexpr int kPixels = 4;
    struct Inputs {
      I32 even, odd;
    };
    using Weights = Inputs;
    static OCTET_INLINE Weights LoadWeights(const uint8_t* w) {
      const __m256i lo = Load(w), hi = Load(w + 32);
      return {{EvenBytes(lo), EvenBytes(hi)}, {OddBytes(lo), OddBytes(hi)}};
    }
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      const I32 a = LoadQuarters<kHalves>(p, from);
      const __m256i bytes = _mm256_set1_epi16(255);
      return {{_mm256_and_si256(a.lo, bytes), _mm256_and_si256(a.hi, bytes)},
              {_mm256_srli_epi16(a.lo, 8), _mm256_srli_epi16(a.hi, 8)}};
    }
    // Words of the even bytes of a group, and of the odd; where the order has its highest bit, 0.
    template <int>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      return {Spread(p, Order(0x80028000)), Spread(p, Order(0x80038001))};
    }
    static OCTET_INLINE __m256i Order(uint32_t first) {
      const int lower = static_cast<int>(first), upper = static_cast<int>(first + 0x00040004);
      return _mm256_setr_epi32(lower, lower, lower, lower, upper, upper, upper, upper);
    }
    static OCTET_INLINE void MulAdd(__m256i& acc, __m256i a, __m256i w) {
      acc = _mm256_add_epi32(acc, _mm256_madd_epi16(a, w));
    }
    static OCTET_INLINE void MulAdd(Acc& acc, const Inputs& a, const Weights& w) {
      MulAdd(acc.lo, a.even.lo, w.even.lo);
      MulAdd(acc.hi, a.even.hi, w.even.hi);
      MulAdd(acc.lo, a.odd.lo, w.odd.lo);
      MulAdd(acc.hi, a.odd.hi, w.odd.hi);
    }
#endif
  };
  template <class Mac>
  struct GroupFloat : LaneFloat<Mac> {
    static constexpr int kPixels = 6, kFours = 4;
    using Inputs = F32;
    template <bool kHalves>
    static OCTET_INLINE Inputs LoadInputs(const uint8_t* p, const ptrdiff_t (&from)[4]) {
      const __m256 first = Mac::LoadInput(p + from[0]), third = Mac::LoadInput(p + from[2]);
      if constexpr (kHalves) return {first, third};
      return {_mm256_blend_ps(first, Mac::LoadInput(p + from[1]), 0xF0),
              _mm256_blend_ps(third, Mac::LoadInput(p + from[3]), 0xF0)};
    }
    // Assembly because g++ 12 loads them once for all lines, and has no registers for them then:
    // 56x56 by 128 channels 366 us instead of 427.
    template <int kLine>
    static OCTET_INLINE Inputs LoadFours(const uint8_t* p) {
      Inputs x;
      asm("vpermilps %2, %1, %0"
          : "=x"(x.lo)
          : "m"(*reinterpret_cast<const __m256_u*>(p)), "i"(kLine * 0x55));
      asm("vpermilps %2, %1, %0"
          : "=x"(x.hi)
          : "m"(*reinterpret_cast<const __m256_u*>(p + 32)), "i"(kLine * 0x55));
      return x;
    }
  };
  using GroupF32 = GroupFloat<MacF32>;
  using GroupF16 = GroupFloat<MacF16>;
  using GroupBf16 = PairGroup<GroupFloat<MacBf16<0>>, GroupFloat<MacBf16<1>>>;
};

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX2_VEC_H_
