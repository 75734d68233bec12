// int8 convolution with vpmaddubsw, exact, for AVX2 without VNNI. Included by table_impl.h of the
// one translation unit whose *_vec.h defines OCTET_SPLIT.
//
// vpmaddubsw does twice the products of vpmaddwd on widened bytes, but its sums of two products
// have 16 bits, and 2 * 255 * 127 does not fit. An activation is therefore split into (a & 127) +
// 128 [a >= 128]:
//  - Of the lower 7 bits a sum of two products fits (2 * 127 * 127 = 32258), and so does the sum of
//    several instructions' results while the positive and the negative weights of each 16-bit lane
//    add up to at most 258 (255 here, see LaneSums). FindChains puts lines of weights together that
//    way, in fours as far as possible; a sum is widened once a chain.
//  - Few activations are 128 or more, as they are scaled by the largest one: each adds 128 times
//    its row of weights when a tile begins. A tile that has too many goes to the plain kernel.
//
// A tile is 5 pixels x 1 panel: 10 registers of 16-bit sums, two of weights, one of input, one
// product, one of ones. The 32-bit sums are in memory, where they are added to once a chain.
#ifndef OCTET_KERNELS_X86_AVX2_SPLIT_H_
#define OCTET_KERNELS_X86_AVX2_SPLIT_H_

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kernel_table.h"
#include "kernels/portable/compiler.h"
#include "kernels/portable/conv_impl.h"

namespace octet::kernels {
namespace OCTET_ISA_NAMESPACE {
namespace {

constexpr int kSplitTile = 5;
constexpr int kSplitPixels = 512, kSplitItems = 8192;
// Activations of a block of pixels; with the weights of a panel they stay in a level-2 cache of 512
// KiB.
constexpr int64_t kSplitInputBytes = int64_t{192} << 10;
// An activation >= 128 costs about 6 instructions a panel, the plain kernel about 6 more than this
// one for every four activations: beyond one in 5 or so the plain kernel is faster.
constexpr int kSplitRarity = 5;

// An activation >= 128.
struct SplitItem {
  uint32_t line;  // Of weights; the byte offset within the panel.
  uint16_t byte;  // Of each of its dwords.
  uint16_t pixel;
};
// 16 in that byte: vpmaddubsw then gives 16 times the weight, of which 16 may be added up in 16
// bits, and vpmaddwd the missing 8.
constexpr int kSplitSum = 16;
alignas(32) constexpr uint32_t kSplitSelect[4][8] = {
#define OCTET_EIGHT(x) \
  { x, x, x, x, x, x, x, x }
    OCTET_EIGHT(16u), OCTET_EIGHT(16u << 8), OCTET_EIGHT(16u << 16), OCTET_EIGHT(16u << 24)};
#undef OCTET_EIGHT

// Of a pixel of the block; all panels use it.
struct SplitPixel {
  const uint8_t* in;  // Lower 7 bits.
  uint8_t* out;
  const uint8_t* res;
};

struct SplitScratch {
  alignas(64) uint8_t input[kSplitInputBytes];  // The lower 7 bits, addresses as in the input.
  SplitItem items[kSplitItems];
  SplitPixel pixels[kSplitPixels];
  int32_t first_item[kSplitPixels + 1];
  int32_t line_offsets[kSplitLines];  // What a line of weights is multiplied with: bytes from a
                                      // pixel's first tap.
  bool plain[kSplitPixels];           // Too many items: none are listed.
};
static_assert(sizeof(SplitScratch) <= kConvScratchBytes);

// Behind it: the present panel's lines in the order of its chains, and their line_offsets. Followed
// in place, a chain of four lines takes 33 cycles instead of 30 for 5 pixels (Zen 3), a ResNet-50
// 48.2 ms instead of 46.1; the copy is 1 % of a panel with 40 tiles.
struct SplitPanel {
  uint8_t* weights;
  int32_t* offsets;

  OCTET_INLINE explicit SplitPanel(const ConvArgs& a)
      : weights(a.scratch + kConvScratchBytes),
        offsets(reinterpret_cast<int32_t*>(weights + a.panel_bytes)) {}

  void Fill(const ConvArgs& a, const SplitScratch& s, int panel) {
    const int64_t lines = a.panel_bytes / 64;
    const uint8_t* const from = a.weights + panel * a.panel_bytes;
    const uint16_t* const order = a.chains + panel * ChainEntries(lines) + 4;
    uint8_t* to = weights;
    for (int64_t i = 0; i < lines; ++i, to += 64) {
      const size_t line = order[i];
      offsets[i] = s.line_offsets[line];
      _mm256_store_si256(reinterpret_cast<__m256i*>(to), Vec::Load(from + line * 64));
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + 32), Vec::Load(from + line * 64 + 32));
    }
  }
};

// Appends those of one pixel; the new end of the list, or null when there are more than `most`.
OCTET_INLINE SplitItem* FindItems(const ConvArgs& a, const uint8_t* in, int64_t pixel,
                                  SplitItem* items, int64_t most) {
  // First the groups that have any, without a branch: one in four does, which nobody can predict.
  struct Group {
    uint32_t at, mask;
  } groups[kSplitLines / 4];
  Group* end = groups;
  int64_t count = 0;
  const auto add = [&](uint32_t at, int mask) {
    *end = {at, static_cast<uint32_t>(mask)};
    end += mask != 0;
    count += __builtin_popcount(static_cast<uint32_t>(mask));
  };
  uint32_t at = 0;
  for (int tap = 0; tap < a.taps; ++tap) {
    const uint8_t* p = in + a.tap_offsets[tap];
    int k = 0;
    for (; k + 32 <= a.depth; k += 32, at += 32) add(at, _mm256_movemask_epi8(Vec::Load(p + k)));
    if (k == a.depth) continue;  // Depth is a multiple of 16.
    add(at, _mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + k))));
    at += 16;
  }
  if (count > most) return nullptr;
  for (const Group* g = groups; g != end; ++g) {
    uint32_t mask = g->mask;
    do {
      const uint32_t i = g->at + static_cast<uint32_t>(__builtin_ctz(mask));
      *items++ = {i / 4 * 64, static_cast<uint16_t>(i % 4), static_cast<uint16_t>(pixel)};
      mask &= mask - 1;
    } while (mask != 0);
  }
  return items;
}

// Bytes of input from the first to the last that `pixels` pixels from `begin` on read.
inline int64_t InputSpan(const ConvArgs& a, const Geometry& g, int64_t begin, int64_t pixels) {
  const int64_t window = a.tap_offsets[a.taps - 1] + a.depth + GroupPlace(a, a.out_c - 1);
  return Cursor(a, g, begin + pixels - 1).in - Cursor(a, g, begin).in + window;
}

// Prepares as many of the `left` pixels from `begin` on as fit the scratch: their number, 0 if not
// even one does.
inline int64_t PrepareBlock(const ConvArgs& a, const Geometry& g, int64_t begin, int64_t left,
                            SplitScratch* s) {
  const Cursor start(a, g, begin);
  int64_t pixels = left / PartCount(left, kSplitPixels);
  while (pixels > 0 && InputSpan(a, g, begin, pixels) > kSplitInputBytes) pixels /= 2;
  if (pixels == 0) return 0;
  const int64_t most = static_cast<int64_t>(a.depth) * a.taps / kSplitRarity;
  SplitItem* item = s->items;
  Cursor c = start;
  for (int64_t i = 0; i < pixels; ++i) {
    if (s->items + kSplitItems - item < most) {
      pixels = i;
      break;
    }
    s->first_item[i] = static_cast<int32_t>(item - s->items);
    s->pixels[i] = {s->input + (c.in - start.in), c.out, c.res};
    SplitItem* const next = FindItems(a, c.in, i, item, most);
    s->plain[i] = next == nullptr;
    if (next != nullptr) item = next;
    c.Next(g);
  }
  if (pixels == 0) return 0;
  s->first_item[pixels] = static_cast<int32_t>(item - s->items);
  const __m256i seven = _mm256_set1_epi8(127);
  const int64_t size = InputSpan(a, g, begin, pixels);
  int64_t i = 0;
  for (; i + 32 <= size; i += 32) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(s->input + i),
                       _mm256_and_si256(Vec::Load(start.in + i), seven));
  }
  for (; i < size; ++i) {
    s->input[i] = start.in[i] & 127;
    asm volatile("" : : : "memory");  // At most 31 times: no vectors.
  }
  return pixels;
}

alignas(32) constexpr int16_t kOnes[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// Where a tile is in the panel's copy.
struct ChainCursor {
  const uint8_t* weights;
  const int32_t* offsets;
};

OCTET_INLINE __m256i Select(const SplitItem& item, const uint8_t* weights, int half) {
  return _mm256_maddubs_epi16(Vec::Load(kSplitSelect[item.byte]),
                              Vec::Load(weights + item.line + half));
}

OCTET_INLINE void AddItems(__m256i lo, __m256i hi, __m256i (&acc)[2]) {
  const __m256i factor = _mm256_set1_epi16(128 / 16);
  acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(lo, factor));
  acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(hi, factor));
}

// The activations >= 128 of a tile that begins with pixel `pixel` of the block.
OCTET_NOINLINE void AddLarge(const SplitScratch& s, const uint8_t* weights, int64_t pixel,
                             int pixels, __m256i (*acc)[2]) {
  const SplitItem* item = s.items + s.first_item[pixel];
  const SplitItem* const end = s.items + s.first_item[pixel + pixels];
  if (end - item <= 2 * pixels) {
    // One loop for all pixels: its end is mispredicted once a tile.
    for (; item != end; ++item) {
      AddItems(Select(*item, weights, 0), Select(*item, weights, 32), acc[item->pixel - pixel]);
    }
    return;
  }
  for (int i = 0; i < pixels; ++i) {
    for (int left = s.first_item[pixel + i + 1] - s.first_item[pixel + i]; left > 0;
         left -= kSplitSum) {
      __m256i lo = Select(*item, weights, 0), hi = Select(*item, weights, 32);
      ++item;
      for (const SplitItem* const last = item + (left < kSplitSum ? left : kSplitSum) - 1;
           item != last; ++item) {
        lo = _mm256_add_epi16(lo, Select(*item, weights, 0));
        hi = _mm256_add_epi16(hi, Select(*item, weights, 32));
      }
      AddItems(lo, hi, acc[i]);
    }
  }
}

template <int MR>
struct SplitTile {
  alignas(32) __m256i acc[MR][2];

  OCTET_INLINE Vec::I32 Get(int i, int) const { return {acc[i][0], acc[i][1]}; }

  OCTET_INLINE void Init(const int32_t* bias, const uint8_t* weights, const SplitScratch& s,
                         int64_t pixel) {
    const Vec::I32 b = Vec::LoadI32(bias);
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      acc[i][0] = b.lo;
      acc[i][1] = b.hi;
    }
    if (s.first_item[pixel] != s.first_item[pixel + MR]) AddLarge(s, weights, pixel, MR, acc);
  }

  // `count` chains of kLines lines of weights, whose products' sums fit 16 bits.
  template <int kLines>
  OCTET_INLINE void Chains(const uint8_t* const (&in)[MR], int count, ChainCursor& at) {
    for (; count > 0; --count) {
      __m256i sum[MR][2];
      OCTET_UNROLL for (int l = 0; l < kLines; ++l) {
        const ptrdiff_t k = at.offsets[l];
        const __m256i lo = Vec::Load(at.weights + l * 64), hi = Vec::Load(at.weights + l * 64 + 32);
        OCTET_UNROLL for (int i = 0; i < MR; ++i) {
          const auto& group = Vec::MacU8Base::Group(in[i] + k);
          __m256i x, product;
          // Assembly because g++ 12 multiplies for several lines at once, runs out of registers and
          // spills.
          if (l == 0) {
            asm volatile("vpbroadcastd %3, %2\n\tvpmaddubsw %4, %2, %0\n\tvpmaddubsw %5, %2, %1"
                         : "=&x"(sum[i][0]), "=&x"(sum[i][1]), "=&x"(x)
                         : "m"(group), "x"(lo), "x"(hi));
          } else {
            asm volatile(
                "vpbroadcastd %4, %2\n\tvpmaddubsw %5, %2, %3\n\tvpmaddubsw %6, %2, %2\n\t"
                "vpaddw %3, %0, %0\n\tvpaddw %2, %1, %1"
                : "+x"(sum[i][0]), "+x"(sum[i][1]), "=&x"(x), "=&x"(product)
                : "m"(group), "x"(lo), "x"(hi));
          }
        }
      }
      at.offsets += kLines;
      at.weights += kLines * 64;
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        OCTET_UNROLL for (int j = 0; j < 2; ++j) acc[i][j] =
            _mm256_add_epi32(acc[i][j], _mm256_madd_epi16(sum[i][j], Vec::Load(kOnes)));
      }
    }
  }

  // Lines that fit no other. The 32-bit sums are in registers meanwhile.
  OCTET_INLINE void Alone(const uint8_t* const (&in)[MR], int count, ChainCursor& at) {
    if (count == 0) return;  // Else sums would be loaded and stored for nothing.
    __m256i held[MR][2];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < 2; ++j) held[i][j] = acc[i][j];
    }
    for (; count > 0; --count, at.weights += 64) {
      const ptrdiff_t k = *at.offsets++;
      const __m256i lo = Vec::Load(at.weights), hi = Vec::Load(at.weights + 32);
      OCTET_UNROLL for (int i = 0; i < MR; ++i) {
        const auto& group = Vec::MacU8Base::Group(in[i] + k);
        __m256i x, product;
        asm volatile(
            "vpbroadcastd %4, %2\n\tvpmaddubsw %5, %2, %3\n\tvpmaddubsw %6, %2, %2\n\t"
            "vpmaddwd %7, %3, %3\n\tvpmaddwd %7, %2, %2\n\tvpaddd %3, %0, %0\n\tvpaddd %2, %1, %1"
            : "+x"(held[i][0]), "+x"(held[i][1]), "=&x"(x), "=&x"(product)
            : "m"(group), "x"(lo), "x"(hi), "m"(kOnes));
      }
    }
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      OCTET_UNROLL for (int j = 0; j < 2; ++j) acc[i][j] = held[i][j];
    }
  }
};

// `tiles` tiles of MR pixels from pixel `pixel` of the block on, which begins at `begin`; a tile
// brings `fetch_lines` lines of the weights at `fetch` to the L2 cache.
template <class K, int MR>
OCTET_NOINLINE void RunSplitTiles(const ConvArgs& a, const Geometry& g, const SplitScratch& s,
                                  int64_t begin, int64_t pixel, int64_t tiles, int panel,
                                  const uint8_t* fetch, int64_t fetch_lines, Ending ending) {
  const int channel = panel * kLanes;
  const SplitPanel copy(a);
  const uint8_t* const weights = a.weights + panel * a.panel_bytes;
  const uint16_t* const chains = a.chains + panel * ChainEntries(a.panel_bytes / 64);
  for (int64_t t = 0; t < tiles; ++t, pixel += MR) {
    for (int64_t line = 0; line < fetch_lines; ++line, fetch += 64) __builtin_prefetch(fetch, 0, 2);
    bool plain = false;
    for (int i = 0; i < MR; ++i) plain |= s.plain[pixel + i];
    if (plain) {
      Cursor cursor(a, g, begin + pixel);
      RunTiles<K, MR, 1>(a, g, cursor, 0, 1, panel, weights, weights, 0, 1, ending);
      continue;
    }
    const uint8_t* in[MR];
    uint8_t* out[MR];
    const uint8_t* res[MR];
    OCTET_UNROLL for (int i = 0; i < MR; ++i) {
      const SplitPixel& p = s.pixels[pixel + i];
      in[i] = p.in;
      out[i] = p.out + channel * K::kOutputBytes;
      res[i] = p.res + channel * K::kOutputBytes;
    }
    SplitTile<MR> memory;
    SplitTile<MR>* at = &memory;
    asm volatile(""
                 : "+r"(at)
                 :
                 : "memory");  // The 32-bit sums belong in memory: registers hold the 16-bit ones.
    SplitTile<MR>& tile = *at;
    tile.Init(a.bias + channel, weights, s, pixel);
    ChainCursor next = {copy.weights, copy.offsets};
    tile.template Chains<4>(in, chains[0], next);
    tile.template Chains<2>(in, chains[1], next);
    tile.Alone(in, chains[2], next);
    FinishPixels<K, MR, 1>(a, channel, tile, out, res, ending);
  }
}

template <class K>
void SplitConv(const ConvArgs& a, int64_t pixel_begin, int64_t pixel_end, int panel_begin,
               int panel_end) {
  static_assert(kSplitTile == 5);
  constexpr decltype(&RunSplitTiles<K, 1>) kRun[] = {&RunSplitTiles<K, 1>, &RunSplitTiles<K, 2>,
                                                     &RunSplitTiles<K, 3>, &RunSplitTiles<K, 4>,
                                                     &RunSplitTiles<K, 5>};
  const Geometry g(a);
  SplitScratch& s = *reinterpret_cast<SplitScratch*>(a.scratch);
  int32_t* line = s.line_offsets;
  for (int tap = 0; tap < a.taps; ++tap) {
    for (int k = 0; k < a.depth; k += 4) *line++ = a.tap_offsets[tap] + k;
  }
  const Ending ending = EndingOf<K>(a, panel_begin, panel_end);
  for (int64_t begin = pixel_begin; begin < pixel_end;) {
    const int64_t pixels = PrepareBlock(a, g, begin, pixel_end - begin, &s);
    if (pixels == 0) {
      Conv<K>(a, begin, pixel_end, panel_begin, panel_end);
      return;
    }
    const int64_t tiles = PartCount(pixels, kSplitTile);
    const int small = static_cast<int>(pixels / tiles);
    const int64_t large_tiles = pixels % tiles, fetch_lines = PartCount(a.panel_bytes / 64, tiles);
    for (int panel = panel_begin; panel < panel_end; ++panel) {
      SplitPanel(a).Fill(a, s, panel);
      const uint8_t* const next = a.weights + (panel + 1) * a.panel_bytes;
      const int64_t fetch = panel + 1 < panel_end ? fetch_lines : 0;
      if (large_tiles > 0) kRun[small](a, g, s, begin, 0, large_tiles, panel, next, fetch, ending);
      kRun[small - 1](a, g, s, begin, large_tiles * (small + 1), tiles - large_tiles, panel,
                      next + large_tiles * fetch * 64, fetch, ending);
    }
    begin += pixels;
  }
}

// ---- Which lines fit together. ----

// What the positive and what the negative weights of each 16-bit lane add up to, at most 254, as
// bytes. 127 times sums up to 258 fit 16 bits; bytes end at 255.
struct LaneSums {
  __m256i positive, negative;

  static OCTET_INLINE LaneSums Of(const uint8_t* line) {
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi8(1);
    const __m256i lo = Vec::Load(line), hi = Vec::Load(line + 32);
    const auto pairs = [&](__m256i x) {
      return _mm256_maddubs_epi16(_mm256_max_epi8(x, zero), ones);
    };
    return {
        _mm256_packus_epi16(pairs(lo), pairs(hi)),
        _mm256_packus_epi16(pairs(_mm256_sub_epi8(zero, lo)), pairs(_mm256_sub_epi8(zero, hi)))};
  }
};

// How much more the lanes of a chain take.
struct LaneRoom {
  __m256i positive, negative;

  static OCTET_INLINE LaneRoom All() { return {_mm256_set1_epi8(-1), _mm256_set1_epi8(-1)}; }
  OCTET_INLINE bool Fits(const LaneSums& sums) const {
    const __m256i over = _mm256_or_si256(_mm256_subs_epu8(sums.positive, positive),
                                         _mm256_subs_epu8(sums.negative, negative));
    return _mm256_testz_si256(over, over) != 0;
  }
  OCTET_INLINE void Take(const LaneSums& sums) {
    positive = _mm256_sub_epi8(positive, sums.positive);
    negative = _mm256_sub_epi8(negative, sums.negative);
  }
};

// The chains of one panel: first fit, a line joins the oldest of some unfinished chains that it
// fits. One line always fits alone; those that are left so go through it once more, for pairs.
class ChainFinder {
 public:
  void Find(const uint8_t* panel, int lines, uint16_t* out) {
    for (int line = 0; line < lines; ++line) Add(panel, static_cast<uint16_t>(line), 4);
    while (num_open_ > 0) Close(0);
    const int alone = num_lines_[0];
    num_lines_[0] = 0;  // Never more are written than were read.
    for (int i = 0; i < alone; ++i) Add(panel, lines_[0][i], 2);
    while (num_open_ > 0) Close(0);
    *out++ = static_cast<uint16_t>(num_lines_[2] / 4);
    *out++ = static_cast<uint16_t>(num_lines_[1] / 2);
    *out++ = static_cast<uint16_t>(num_lines_[0]);
    *out++ = 0;
    for (int kind = 2; kind >= 0; --kind) {
      for (int i = 0; i < num_lines_[kind]; ++i) *out++ = lines_[kind][i];
      num_lines_[kind] = 0;
    }
  }

 private:
  // 8 leave 16 % of the lines of a ResNet-50 with normally distributed weights alone, 32 less than
  // a third of that.
  static constexpr int kOpen = 32;
  struct Open {
    LaneRoom room;
    int count;
    uint16_t lines[4];
  };

  void Add(const uint8_t* panel, uint16_t line, int most) {
    const LaneSums sums = LaneSums::Of(panel + line * 64);
    for (int i = 0; i < num_open_; ++i) {
      if (!open_[i].room.Fits(sums)) continue;
      open_[i].room.Take(sums);
      open_[i].lines[open_[i].count++] = line;
      if (open_[i].count == most) Close(i);
      return;
    }
    if (num_open_ == kOpen) Close(0);
    Open& o = open_[num_open_++];
    o.room = LaneRoom::All();
    o.room.Take(sums);
    o.count = 1;
    o.lines[0] = line;
  }

  void Close(int at) {
    const Open& o = open_[at];
    int i = 0;
    for (int kind = 2; kind >= 0; --kind) {
      if ((o.count >> kind & 1) == 0) continue;
      for (const int end = i + (1 << kind); i < end; ++i)
        lines_[kind][num_lines_[kind]++] = o.lines[i];
    }
    --num_open_;
    for (int j = at; j < num_open_; ++j) open_[j] = open_[j + 1];
  }

  Open open_[kOpen];
  int num_open_ = 0;
  uint16_t lines_[3][kSplitLines];  // Of chains of 1, 2 and 4 lines.
  int num_lines_[3] = {};
};

inline void FindChains(const uint8_t* weights, int panels, int64_t lines, uint16_t* chains) {
  ChainFinder finder;
  for (int panel = 0; panel < panels; ++panel, chains += ChainEntries(lines)) {
    finder.Find(weights + panel * lines * 64, static_cast<int>(lines), chains);
  }
}

}  // namespace
}  // namespace OCTET_ISA_NAMESPACE
}  // namespace octet::kernels

#endif  // OCTET_KERNELS_X86_AVX2_SPLIT_H_
