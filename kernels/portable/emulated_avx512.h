// The few AVX-512 intrinsics that x86/avx512vnni_vec.h uses, in plain C++ with the same results
// (but for the fused multiply-add, which rounds twice here), so that its source can be compiled and
// tested anywhere.
#ifndef OCTET_KERNELS_PORTABLE_EMULATED_AVX512_H_
#define OCTET_KERNELS_PORTABLE_EMULATED_AVX512_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "formats/base/dtype.h"
#include "kernels/portable/compiler.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

template <int kBytes>
struct Register {
  uint8_t bytes[kBytes];
};
using V128 = Register<16>;
using V256 = Register<32>;
using V512 = Register<64>;
struct V512F {
  float lane[16];
};

// Registers as arrays of lanes of any type.
template <typename T, int kBytes>
struct Lanes {
  T lane[kBytes / sizeof(T)];
};
template <typename T, int kBytes>
Lanes<T, kBytes> As(const Register<kBytes>& r) {
  Lanes<T, kBytes> lanes;
  std::memcpy(&lanes, &r, kBytes);
  return lanes;
}
template <typename T, int kBytes>
Register<kBytes> From(const Lanes<T, kBytes>& lanes) {
  Register<kBytes> r;
  std::memcpy(&r, &lanes, kBytes);
  return r;
}
template <typename R>
R LoadRegister(const void* p) {
  R r;
  std::memcpy(&r, p, sizeof(r));
  return r;
}

inline V128 LoadV128(const void* p) { return LoadRegister<V128>(p); }
inline V256 LoadV256(const void* p) { return LoadRegister<V256>(p); }
inline void StoreV128(void* p, V128 v) { std::memcpy(p, &v, 16); }
inline void StoreV256(void* p, V256 v) { std::memcpy(p, &v, 32); }
inline V512 _mm512_loadu_si512(const void* p) { return LoadRegister<V512>(p); }
inline V512F _mm512_loadu_ps(const void* p) { return LoadRegister<V512F>(p); }
inline void _mm512_storeu_si512(void* p, V512 v) { std::memcpy(p, &v, 64); }
inline void _mm512_storeu_ps(void* p, V512F v) { std::memcpy(p, &v, 64); }

template <typename F>
V512F MapFloat(F f) {
  V512F r;
  for (int i = 0; i < 16; ++i) r.lane[i] = f(i);
  return r;
}
template <typename T, typename F>
V512 MapLanes(F f) {
  Lanes<T, 64> r;
  for (int i = 0; i < static_cast<int>(64 / sizeof(T)); ++i) r.lane[i] = static_cast<T>(f(i));
  return From(r);
}

inline V512F _mm512_set1_ps(float x) {
  return MapFloat([&](int) { return x; });
}
inline V512 _mm512_set1_epi32(int32_t x) {
  return MapLanes<int32_t>([&](int) { return x; });
}
inline V512 _mm512_set1_epi16(int16_t x) {
  return MapLanes<int16_t>([&](int) { return x; });
}
inline V512F _mm512_setzero_ps() { return _mm512_set1_ps(0.0f); }
inline V512 _mm512_setzero_si512() { return _mm512_set1_epi32(0); }
template <typename... T>
V512 _mm512_setr_epi32(T... x) {
  static_assert(sizeof...(x) == 16);
  return From(Lanes<int32_t, 64>{{x...}});
}
inline V512 _mm512_add_epi32(V512 a, V512 b) {
  const auto x = As<uint32_t>(a), y = As<uint32_t>(b);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i] + y.lane[i]; });
}
inline V512 _mm512_sub_epi32(V512 a, V512 b) {
  const auto x = As<uint32_t>(a), y = As<uint32_t>(b);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i] - y.lane[i]; });
}
inline V512 _mm512_mullo_epi32(V512 a, V512 b) {
  const auto x = As<uint32_t>(a), y = As<uint32_t>(b);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i] * y.lane[i]; });
}
inline V512 _mm512_slli_epi32(V512 a, int count) {
  const auto x = As<uint32_t>(a);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i] << count; });
}
inline V512 _mm512_srai_epi32(V512 a, int count) {
  const auto x = As<int32_t>(a);
  return MapLanes<int32_t>([&](int i) { return x.lane[i] >> count; });
}
inline V512 _mm512_srli_epi32(V512 a, int count) {
  const auto x = As<uint32_t>(a);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i] >> count; });
}
inline V512F _mm512_castsi512_ps(V512 a) { return LoadRegister<V512F>(&a); }
inline V512 _mm512_castps_si512(V512F a) { return LoadRegister<V512>(&a); }
inline V512F _mm512_add_ps(V512F a, V512F b) {
  return MapFloat([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline V512F _mm512_sub_ps(V512F a, V512F b) {
  return MapFloat([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline V512F _mm512_mul_ps(V512F a, V512F b) {
  return MapFloat([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline V512F _mm512_fmadd_ps(V512F a, V512F b, V512F c) {
  return MapFloat([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
constexpr int _MM_FROUND_TO_ZERO = 3, _MM_FROUND_NO_EXC = 8;
// Fused, cut off: the product is exact in double, and what the sum loses there decides where it is
// a float.
inline V512F _mm512_fmadd_round_ps(V512F a, V512F b, V512F c, [[maybe_unused]] int rounding) {
  return MapFloat([&](int i) {
    const double product = static_cast<double>(a.lane[i]) * b.lane[i], term = c.lane[i];
    const double sum = product + term, second = sum - product;
    const double lost = (product - (sum - second)) + (term - second);
    const float nearest = static_cast<float>(sum);
    const bool beyond = std::fabs(nearest) > std::fabs(sum) ||
                        (nearest == sum && lost != 0.0 && (lost < 0.0) == (sum > 0.0));
    return beyond ? std::nextafter(nearest, 0.0f) : nearest;
  });
}
inline V512F _mm512_min_ps(V512F a, V512F b) {
  return MapFloat([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V512F _mm512_max_ps(V512F a, V512F b) {
  return MapFloat([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V512F _mm512_cvtepi32_ps(V512 a) {
  const auto x = As<int32_t>(a);
  return MapFloat([&](int i) { return static_cast<float>(x.lane[i]); });
}
inline V512 _mm512_cvtps_epi32(V512F a) {
  return MapLanes<int32_t>([&](int i) {
    const float x = a.lane[i];
    return x >= -2147483648.0f && x < 2147483648.0f ? static_cast<int32_t>(std::nearbyint(x))
                                                    : INT32_MIN;
  });
}
inline uint16_t _mm512_test_epi32_mask(V512 a, V512 b) {
  const auto x = As<uint32_t>(a), y = As<uint32_t>(b);
  uint16_t mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<uint16_t>(((x.lane[i] & y.lane[i]) != 0) << i);
  return mask;
}
// Bit 4a + 2b + c of `table`.
inline V512 _mm512_ternarylogic_epi32(V512 a, V512 b, V512 c, int table) {
  const auto x = As<uint32_t>(a), y = As<uint32_t>(b), z = As<uint32_t>(c);
  return MapLanes<uint32_t>([&](int i) {
    uint32_t result = 0;
    for (int bit = 0; bit < 32; ++bit) {
      const uint32_t at =
          (x.lane[i] >> bit & 1) << 2 | (y.lane[i] >> bit & 1) << 1 | (z.lane[i] >> bit & 1);
      result |= (static_cast<uint32_t>(table) >> at & 1) << bit;
    }
    return result;
  });
}
// b where the mask has a bit, else a.
inline V512 _mm512_mask_mov_epi32(V512 a, uint16_t mask, V512 b) {
  const auto x = As<int32_t>(a), y = As<int32_t>(b);
  return MapLanes<int32_t>([&](int i) { return mask >> i & 1 ? y.lane[i] : x.lane[i]; });
}
inline V512F _mm512_mask_mov_ps(V512F a, uint16_t mask, V512F b) {
  return MapFloat([&](int i) { return mask >> i & 1 ? b.lane[i] : a.lane[i]; });
}
// Within 128 bits; two bits of `order` for each lane.
using _MM_PERM_ENUM = int;
inline V512 _mm512_shuffle_epi32(V512 a, _MM_PERM_ENUM order) {
  const auto x = As<uint32_t>(a);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i / 4 * 4 + (order >> i % 4 * 2 & 3)]; });
}
inline V512 _mm512_broadcast_i32x4(V128 a) {
  const auto x = As<uint32_t>(a);
  return MapLanes<uint32_t>([&](int i) { return x.lane[i % 4]; });
}
inline V512F _mm512_permute_ps(V512F a, int order) {
  return MapFloat([&](int i) { return a.lane[i / 4 * 4 + (order >> i % 4 * 2 & 3)]; });
}
inline V256 _mm512_extracti32x8_epi32(V512 a, int half) {
  V256 r;
  std::memcpy(&r, a.bytes + 32 * half, sizeof(r));
  return r;
}
inline V512F _mm512_permutex2var_ps(V512F a, V512 index, V512F b) {
  const auto at = As<uint32_t>(index);
  return MapFloat([&](int i) { return (at.lane[i] & 16 ? b : a).lane[at.lane[i] & 15]; });
}
inline V512F _mm512_shuffle_ps(V512F a, V512F b, int order) {
  return MapFloat(
      [&](int i) { return (i % 4 < 2 ? a : b).lane[i / 4 * 4 + (order >> i % 4 * 2 & 3)]; });
}
inline V512F _mm512_shuffle_f32x4(V512F a, V512F b, int order) {
  return MapFloat(
      [&](int i) { return (i < 8 ? a : b).lane[(order >> i / 4 * 2 & 3) * 4 + i % 4]; });
}
// The other lanes, undefined there, are those of a wrong answer here.
inline V512 _mm512_castsi128_si512(V128 a) {
  V512 r;
  std::memset(&r, 0xA5, sizeof(r));
  std::memcpy(&r, &a, sizeof(a));
  return r;
}
inline V512 _mm512_cvtepu8_epi32(V128 a) {
  return MapLanes<int32_t>([&](int i) { return a.bytes[i]; });
}
inline V512 _mm512_cvtepu16_epi32(V256 a) {
  const auto x = As<uint16_t>(a);
  return MapLanes<int32_t>([&](int i) { return x.lane[i]; });
}
inline V512 _mm512_cvtepi8_epi32(V128 a) {
  return MapLanes<int32_t>([&](int i) { return static_cast<int8_t>(a.bytes[i]); });
}
inline V128 _mm512_cvtusepi32_epi8(V512 a) {
  const auto x = As<uint32_t>(a);
  V128 r;
  for (int i = 0; i < 16; ++i) {
    r.bytes[i] = static_cast<uint8_t>(x.lane[i] > 255 ? 255 : x.lane[i]);
  }
  return r;
}
inline V512 _mm512_max_epi32(V512 a, V512 b) {
  const auto x = As<int32_t>(a), y = As<int32_t>(b);
  return MapLanes<int32_t>([&](int i) { return x.lane[i] > y.lane[i] ? x.lane[i] : y.lane[i]; });
}
inline V512F _mm512_cvtph_ps(V256 a) {
  const auto x = As<uint16_t>(a);
  return MapFloat([&](int i) { return HalfToFloat(x.lane[i]); });
}
inline V512 _mm512_madd_epi16(V512 a, V512 b) {
  const auto x = As<int16_t>(a), y = As<int16_t>(b);
  return MapLanes<int32_t>(
      [&](int i) { return x.lane[2 * i] * y.lane[2 * i] + x.lane[2 * i + 1] * y.lane[2 * i + 1]; });
}

inline V512 _mm512_add_epi16(V512 a, V512 b) {
  const auto x = As<uint16_t>(a), y = As<uint16_t>(b);
  return MapLanes<uint16_t>([&](int i) { return x.lane[i] + y.lane[i]; });
}
inline V512 _mm512_sub_epi16(V512 a, V512 b) {
  const auto x = As<uint16_t>(a), y = As<uint16_t>(b);
  return MapLanes<uint16_t>([&](int i) { return x.lane[i] - y.lane[i]; });
}
inline V512 _mm512_slli_epi16(V512 a, int count) {
  const auto x = As<uint16_t>(a);
  return MapLanes<uint16_t>([&](int i) { return x.lane[i] << count; });
}
inline V512 _mm512_srai_epi16(V512 a, int count) {
  const auto x = As<int16_t>(a);
  return MapLanes<int16_t>([&](int i) { return x.lane[i] >> count; });
}
inline V512 _mm512_or_si512(V512 a, V512 b) {
  return MapLanes<uint8_t>([&](int i) { return a.bytes[i] | b.bytes[i]; });
}
inline V512 _mm512_and_si512(V512 a, V512 b) {
  return MapLanes<uint8_t>([&](int i) { return a.bytes[i] & b.bytes[i]; });
}
inline V512 _mm512_cvtepu8_epi16(V256 a) {
  return MapLanes<uint16_t>([&](int i) { return a.bytes[i]; });
}
// Within 128-bit lanes; 0 where the index has its upper bit set.
inline V512 _mm512_shuffle_epi8(V512 a, V512 index) {
  return MapLanes<uint8_t>([&](int i) {
    return index.bytes[i] & 128 ? 0 : a.bytes[i / 16 * 16 + (index.bytes[i] & 15)];
  });
}

// 16 lanes of 16 bits.
template <typename F>
V256 MapHalf(F f) {
  Lanes<uint16_t, 32> r;
  for (int i = 0; i < 16; ++i) r.lane[i] = static_cast<uint16_t>(f(i));
  return From(r);
}
inline V256 _mm512_cvtepi32_epi16(V512 a) {
  const auto x = As<uint32_t>(a);
  return MapHalf([&](int i) { return x.lane[i]; });
}
inline V256 _mm256_add_epi16(V256 a, V256 b) {
  const auto x = As<uint16_t>(a), y = As<uint16_t>(b);
  return MapHalf([&](int i) { return x.lane[i] + y.lane[i]; });
}
inline V256 _mm256_sub_epi16(V256 a, V256 b) {
  const auto x = As<uint16_t>(a), y = As<uint16_t>(b);
  return MapHalf([&](int i) { return x.lane[i] - y.lane[i]; });
}
inline V256 _mm256_slli_epi16(V256 a, int count) {
  const auto x = As<uint16_t>(a);
  return MapHalf([&](int i) { return x.lane[i] << count; });
}
inline V256 _mm256_cvtepu8_epi16(V128 a) {
  return MapHalf([&](int i) { return a.bytes[i]; });
}

inline int Saturate(int32_t x, int low, int high) { return x < low ? low : x > high ? high : x; }
inline V512 _mm512_adds_epi16(V512 a, V512 b) {
  const auto x = As<int16_t>(a), y = As<int16_t>(b);
  return MapLanes<int16_t>([&](int i) { return Saturate(x.lane[i] + y.lane[i], -32768, 32767); });
}
// Both packs work within 128-bit lanes.
inline V512 _mm512_packs_epi32(V512 a, V512 b) {
  const auto x = As<int32_t>(a), y = As<int32_t>(b);
  return MapLanes<int16_t>([&](int i) {
    const auto& from = i % 8 < 4 ? x : y;
    return Saturate(from.lane[i / 8 * 4 + i % 4], -32768, 32767);
  });
}
inline V512 _mm512_packus_epi16(V512 a, V512 b) {
  const auto x = As<int16_t>(a), y = As<int16_t>(b);
  return MapLanes<uint8_t>([&](int i) {
    const auto& from = i % 16 < 8 ? x : y;
    return Saturate(from.lane[i / 16 * 8 + i % 8], 0, 255);
  });
}
inline V512 _mm512_permutexvar_epi32(V512 index, V512 a) {
  const auto at = As<uint32_t>(index), x = As<uint32_t>(a);
  return MapLanes<uint32_t>([&](int i) { return x.lane[at.lane[i] & 15]; });
}
inline V512 _mm512_permutexvar_epi16(V512 index, V512 a) {
  const auto at = As<uint16_t>(index), x = As<uint16_t>(a);
  return MapLanes<uint16_t>([&](int i) { return x.lane[at.lane[i] & 31]; });
}
inline V512 _mm512_maskz_permutexvar_epi16(uint32_t mask, V512 index, V512 a) {
  const auto x = As<uint16_t>(_mm512_permutexvar_epi16(index, a));
  return MapLanes<uint16_t>([&](int i) { return mask >> i & 1 ? x.lane[i] : 0; });
}
inline V512 _mm512_castsi256_si512(V256 a) {
  V512 r;
  std::memset(&r, 0xA5, sizeof(r));
  std::memcpy(&r, &a, sizeof(a));
  return r;
}
inline V256 _mm512_castsi512_si256(V512 a) { return LoadRegister<V256>(a.bytes); }
inline V128 _mm512_extracti32x4_epi32(V512 a, int part) {
  return LoadRegister<V128>(a.bytes + 16 * part);
}

// acc += four products of u8 and s8 per lane, wrapping.
inline void Vpdpbusd(V512& acc, V512 a, V512 w) {
  const auto sum = As<uint32_t>(acc);
  acc = MapLanes<uint32_t>([&](int i) {
    uint32_t s = sum.lane[i];
    for (int j = 0; j < 4; ++j) {
      const int product = a.bytes[4 * i + j] * static_cast<int8_t>(w.bytes[4 * i + j]);
      s += static_cast<uint32_t>(product);
    }
    return s;
  });
}

// acc += two products of s16 per lane, wrapping.
inline void Vpdpwssd(V512& acc, V512 a, V512 w) {
  const auto sum = As<uint32_t>(acc);
  const auto x = As<int16_t>(a), y = As<int16_t>(w);
  acc = MapLanes<uint32_t>([&](int i) {
    return sum.lane[i] + static_cast<uint32_t>(x.lane[2 * i] * y.lane[2 * i]) +
           static_cast<uint32_t>(x.lane[2 * i + 1] * y.lane[2 * i + 1]);
  });
}

// Numbers below 2^-126 count as 0 for both instructions of AVX-512 BF16, and so do such results.
OCTET_INLINE float Flushed(float v) { return std::fabs(v) < 0x1p-126f ? v * 0.0f : v; }
inline V256 Vcvtneps2bf16(V512F v) {
  return MapHalf([&](int i) { return FloatToBf16(Flushed(v.lane[i])); });
}
inline V512 Vcvtne2ps2bf16(V512F upper, V512F lower) {
  return MapLanes<uint16_t>(
      [&](int i) { return FloatToBf16(Flushed((i < 16 ? lower : upper).lane[i % 16])); });
}

// acc += two products of bfloat16 per lane, the odd one first, each fused and rounded to nearest
// even (Intel's Software Developer's Manual, VDPBF16PS).
inline void Vdpbf16ps(V512F& acc, V512 a, V512 w) {
  const auto x = As<uint16_t>(a), y = As<uint16_t>(w);
  acc = MapFloat([&](int i) {
    float sum = Flushed(acc.lane[i]);
    for (int odd = 1; odd >= 0; --odd) {
      const float p = Flushed(Bf16ToFloat(x.lane[2 * i + odd])),
                  q = Flushed(Bf16ToFloat(y.lane[2 * i + odd]));
      sum = Flushed(std::fma(p, q, sum));
    }
    return sum;
  });
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_PORTABLE_EMULATED_AVX512_H_
