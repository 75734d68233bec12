// Pixel kernels of every instruction set against the reference, bit for bit, between guard pages:
// what lies behind a row is neither read nor written.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/tables.h"
#include "tests/kernels/guarded_buffer.h"
#include "tests/kernels/tested_tables.h"

namespace octet::kernels {
namespace {

using octet::testing::GuardedBuffer;

constexpr int kWidths = 200;

void Fill(std::mt19937* random, GuardedBuffer* buffer) {
  // Extremes now and then, where sums saturate.
  for (size_t i = 0; i < buffer->size(); ++i) {
    const uint32_t r = (*random)();
    buffer->data()[i] = static_cast<uint8_t>(r % 4 == 0 ? (r >> 8) % 2 * 255 : r >> 16);
  }
}

std::vector<TableInfo> TestedTables() {
  std::vector<TableInfo> tables = AllTables();
  // Who has a base has its pixels.
  std::erase_if(tables, [](const TableInfo& t) {
    return !octet::testing::IsTested(t) || t.table->base != nullptr;
  });
  return tables;
}

class PixelsTest : public ::testing::TestWithParam<TableInfo> {
 protected:
  /// Calls `run(kernels, out)` with the tested kernels and the reference; `bytes` of output.
  template <typename Run>
  void Compare(size_t bytes, Run run) {
    GuardedBuffer expected(bytes), found(bytes);
    run(*kReferenceTable.pixels, expected.data());
    run(*GetParam().table->pixels, found.data());
    ASSERT_EQ(std::memcmp(expected.data(), found.data(), bytes), 0);
  }

  int UpTo(int most) { return static_cast<int>(random_() % static_cast<unsigned>(most + 1)); }

  /// `n` values of `make()`, between guard pages.
  template <typename T, typename Make>
  std::unique_ptr<GuardedBuffer> Values(int64_t n, Make make) {
    auto buffer = std::make_unique<GuardedBuffer>(static_cast<size_t>(n) * sizeof(T));
    for (int64_t i = 0; i < n; ++i) buffer->as<T>()[i] = static_cast<T>(make());
    return buffer;
  }
  /// Bytes, and those behind them that scaling may read.
  std::unique_ptr<GuardedBuffer> Bytes(int64_t n) {
    auto buffer = std::make_unique<GuardedBuffer>(static_cast<size_t>(n) + kOverread);
    Fill(&random_, buffer.get());
    return buffer;
  }
  float Float() { return std::ldexp(static_cast<float>(UpTo(1 << 24) - (1 << 23)), -16); }

  static constexpr int kOverread = 64;
  std::mt19937 random_{7};
};

TEST_P(PixelsTest, Rows) {
  struct Case {
    const char* name;
    PixelRowFn PixelKernelsRows::*kernel;
    int in, out;
  };
  for (const Case& c : {Case{"rgb_from_bgr", &PixelKernelsRows::rgb_from_bgr, 3, 3},
                        Case{"rgb_from_rgba", &PixelKernelsRows::rgb_from_rgba, 4, 3},
                        Case{"rgb_from_bgra", &PixelKernelsRows::rgb_from_bgra, 4, 3},
                        Case{"reverse_rgb", &PixelKernelsRows::reverse_rgb, 3, 3},
                        Case{"reverse_gray", &PixelKernelsRows::reverse_gray, 1, 1}}) {
    for (int width = 1; width <= kWidths; ++width) {
      SCOPED_TRACE(::testing::Message() << c.name << ", " << width);
      GuardedBuffer in(static_cast<size_t>(width) * c.in);
      Fill(&random_, &in);
      Compare(static_cast<size_t>(width) * c.out, [&](const PixelKernels& k, uint8_t* out) {
        (k.rows.*c.kernel)(in.data(), width, out);
      });
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(PixelsTest, GrayOfAllWidths) {
  for (int width = 1; width <= kWidths; ++width) {
    GuardedBuffer in(static_cast<size_t>(width) * 3);
    Fill(&random_, &in);
    for (int kind = 0; kind < 3; ++kind) {
      Compare(static_cast<size_t>(width), [&](const PixelKernels& k, uint8_t* out) {
        k.rows.gray_from_rgb[kind](in.data(), width, out);
      });
    }
    if (HasFatalFailure()) return;
  }
}

TEST_P(PixelsTest, GrayOfEveryColor) {
  GuardedBuffer in(256 * 3 * 16);
  for (int red = 0; red < 256; ++red) {
    for (int green = 0; green < 256; green += 16) {
      for (int i = 0; i < 256 * 16; ++i) {
        in.data()[3 * i] = static_cast<uint8_t>(red);
        in.data()[3 * i + 1] = static_cast<uint8_t>(green + i / 256);
        in.data()[3 * i + 2] = static_cast<uint8_t>(i);
      }
      for (int kind = 0; kind < 3; ++kind) {
        Compare(256 * 16, [&](const PixelKernels& k, uint8_t* out) {
          k.rows.gray_from_rgb[kind](in.data(), 256 * 16, out);
        });
      }
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(PixelsTest, Transposes) {
  for (int channels : {1, 3}) {
    for (int width = 1; width <= 40; ++width) {
      for (int height = 1; height <= 40; height += height < 20 ? 1 : 7) {
        SCOPED_TRACE(::testing::Message() << channels << "x" << width << "x" << height);
        const size_t in_row = static_cast<size_t>(width) * channels,
                     out_row = static_cast<size_t>(height) * channels;
        GuardedBuffer in(in_row * height);
        Fill(&random_, &in);
        const auto transpose =
            channels == 3 ? &PixelKernelsRows::transpose_rgb : &PixelKernelsRows::transpose_gray;
        const auto in_stride = static_cast<int64_t>(in_row);
        const auto out_stride = static_cast<int64_t>(out_row);
        Compare(out_row * width, [&](const PixelKernels& k, uint8_t* out) {
          (k.rows.*transpose)(in.data(), in_stride, width, height, out, out_stride);
        });
        Compare(out_row * width, [&](const PixelKernels& k, uint8_t* out) {
          (k.rows.*transpose)(in.data() + in_row * (height - 1), -in_stride, width, height,
                              out + out_row * (width - 1), -out_stride);
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(PixelsTest, Yuv) {
  const YuvConstants constants[] = {{18997, -1160, 102, 25, 52, 128},
                                    {16320, 32, 101, 12, 30, 119}};
  for (int layout = 0; layout < kYuvLayouts; ++layout) {
    const bool packed = layout == static_cast<int>(YuvLayout::kPacked);
    const bool planes = layout == static_cast<int>(YuvLayout::kPlanes);
    for (int width = 1; width <= kWidths; ++width) {
      for (int repeat = 0; repeat < 4; ++repeat) {
        SCOPED_TRACE(::testing::Message() << layout << ", " << width << ", " << repeat);
        const size_t half = (static_cast<size_t>(width) + 1) / 2;
        GuardedBuffer y(packed ? 4 * half : static_cast<size_t>(width));
        GuardedBuffer u(planes ? half : 2 * half), v(half);
        Fill(&random_, &y);
        Fill(&random_, &u);
        Fill(&random_, &v);
        const YuvRow row = {y.data(), packed ? nullptr : u.data(), planes ? v.data() : nullptr,
                            width};
        Compare(static_cast<size_t>(width) * 3, [&](const PixelKernels& k, uint8_t* out) {
          (repeat < 2 ? k.rows.rgb_from_yuv : k.rows.rgb_from_yuv_opencv)[layout](
              &row, 1, constants[repeat % 2], out, 0);
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

// The constants that are used stand in engine/src/pixels/pixel_rows.cc, whose test has checksums of
// libyuv's and OpenCV's own results.
TEST_P(PixelsTest, EveryYuv) {
  const YuvConstants constants = {18997, -1160, 115, 25, 52, 128};
  GuardedBuffer y(256 * 64), uv(256 * 64);
  for (int v = 0; v < 256; ++v) {
    for (int u = 0; u < 256; u += 64) {
      for (int i = 0; i < 256 * 64; ++i) {
        y.data()[i] = static_cast<uint8_t>(i);
        uv.data()[i] = static_cast<uint8_t>(i % 2 == 0 ? u + i / 256 : v);
      }
      const YuvRow row = {y.data(), uv.data(), nullptr, 256 * 64};
      for (const bool opencv : {false, true}) {
        Compare(256 * 64 * 3, [&](const PixelKernels& k, uint8_t* out) {
          (opencv ? k.rows.rgb_from_yuv_opencv : k.rows.rgb_from_yuv)[0](&row, 1, constants, out,
                                                                         0);
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

// ---- Scaling

template <typename Weight>
struct RandomTaps {
  std::vector<int32_t> first, count;
  std::vector<Weight> weights;
  TapsView<Weight> view;
};

/// Of `outputs` from `size` values, at most `longest` each; `outside`: or further away.
template <typename Weight, typename Weigh>
RandomTaps<Weight> MakeTaps(std::mt19937* random, int size, int outputs, int longest, bool outside,
                            Weigh weigh) {
  RandomTaps<Weight> t;
  const int stride = std::is_same_v<Weight, int32_t> ? (longest + 15) / 16 * 16 : longest;
  const auto up_to = [&](int most) {
    return static_cast<int>((*random)() % static_cast<unsigned>(most + 1));
  };
  t.weights.assign(static_cast<size_t>(outputs) * stride, Weight{0});
  for (int x = 0; x < outputs; ++x) {
    t.count.push_back(1 + up_to((outside ? longest : std::min(longest, size)) - 1));
    t.first.push_back(outside ? up_to(size + longest) - longest : up_to(size - t.count[x]));
    for (int i = 0; i < t.count[x]; ++i) t.weights[x * stride + i] = weigh();
  }
  t.view = {size, outputs, stride, t.first.data(), t.count.data(), t.weights.data()};
  return t;
}

TEST_P(PixelsTest, FixedTaps) {
  const auto weigh = [&] { return UpTo(1 << 23) - (UpTo(7) == 0 ? 1 << 22 : 1 << 20); };
  for (int n = 1; n <= 2 * kWidths; ++n) {
    const int size = 1 + UpTo(99), outputs = 1 + n / 3, channels = n % 2 == 0 ? 3 : 1;
    const int rows = 1 + UpTo(kRowsAtOnce - 1);
    SCOPED_TRACE(::testing::Message() << n << ", " << size << ", " << rows);
    RandomTaps<int32_t> taps =
        MakeTaps<int32_t>(&random_, size, outputs, 1 + UpTo(39), false, weigh);
    FixedTapsView view;
    static_cast<TapsView<int32_t>&>(view) = taps.view;
    std::vector<int8_t> digits(taps.weights.size() * 3);
    for (size_t i = 0; i < taps.weights.size(); ++i) {
      int rest = taps.weights[i];
      for (size_t digit = 0; digit < 3; ++digit) {
        const auto d = static_cast<int8_t>(rest);
        digits[i / 16 * 48 + digit * 16 + i % 16] = d;
        rest = (rest - d) / 256;
      }
    }
    view.digits = digits.data();
    std::unique_ptr<GuardedBuffer> in[kRowsAtOnce];
    const uint8_t* from[kRowsAtOnce];
    for (int r = 0; r < rows; ++r) from[r] = (in[r] = Bytes(size * channels))->data();
    // The last row ends at the guard page, and so does each of the others, a row alone.
    const int64_t row = outputs * channels;
    for (int only = 0; only <= rows; ++only) {
      const int begin = only == rows ? 0 : only, count = only == rows ? rows : 1;
      Compare(static_cast<size_t>(count * row), [&](const PixelKernels& k, uint8_t* out) {
        uint8_t* to[kRowsAtOnce];
        for (int r = 0; r < count; ++r) to[r] = out + r * row;
        k.resize.resize_rows(from + begin, count, view, channels, to);
      });
      if (HasFatalFailure()) return;
    }
    std::vector<std::unique_ptr<GuardedBuffer>> columns;
    std::vector<const uint8_t*> window;
    for (int j = 0; j < taps.count[0]; ++j) {
      columns.push_back(Bytes(n));
      window.push_back(columns.back()->data());
    }
    Compare(static_cast<size_t>(n), [&](const PixelKernels& k, uint8_t* out) {
      k.resize.blend_rows(window.data(), view, 0, n, out);
    });
    if (HasFatalFailure()) return;
  }
}

// Taps in `Weight`, in a row and across rows.
template <typename Weight, typename In, typename Resize, typename Blend, typename Compare>
void CompareFloatTaps(const RandomTaps<Weight>& taps, const In* in, const In* const* rows,
                      int channels, int64_t n, Resize resize, Blend blend, Compare compare) {
  const auto out_row = static_cast<size_t>(taps.view.outputs * channels) * sizeof(float);
  compare(out_row, [&](const PixelKernels& k, uint8_t* out) {
    (k.resize.*resize)(in, taps.view, channels, reinterpret_cast<float*>(out));
  });
  compare(static_cast<size_t>(n) * sizeof(float), [&](const PixelKernels& k, uint8_t* out) {
    (k.resize.*blend)(rows, taps.view.weights, taps.count[0], n, 0.7f,
                      reinterpret_cast<float*>(out));
  });
}

TEST_P(PixelsTest, FloatTaps) {
  using K = ResizeKernels;
  for (int n = 1; n <= 2 * kWidths; ++n) {
    const int size = 1 + UpTo(99), outputs = 1 + n / 3, channels = n % 2 == 0 ? 3 : 1;
    SCOPED_TRACE(::testing::Message() << n << ", " << size);
    const auto weigh = [&] { return Float(); };
    const int longest = 1 + UpTo(11);
    const auto f32 = MakeTaps<float>(&random_, size, outputs, longest, true, weigh);
    const auto f64 = MakeTaps<double>(&random_, size, outputs, longest, false, weigh);
    const auto bytes = Bytes(size * channels);
    const auto floats = Values<float>(size * channels + 1, weigh);
    std::vector<std::unique_ptr<GuardedBuffer>> buffers;
    const uint8_t* byte_rows[16];
    const float* float_rows[16];
    for (int j = 0; j < longest; ++j) {
      byte_rows[j] = buffers.emplace_back(Bytes(n))->data();
      float_rows[j] = buffers.emplace_back(Values<float>(n + 1, weigh))->as<float>();
    }
    const auto compare = [&](size_t size_of, const auto& run) { Compare(size_of, run); };
    CompareFloatTaps(f32, bytes->data(), byte_rows, channels, n, &K::resize_row_u8_f32,
                     &K::blend_rows_u8_f32, compare);
    CompareFloatTaps(f32, floats->as<const float>(), float_rows, channels, n,
                     &K::resize_row_f32_f32, &K::blend_rows_f32_f32, compare);
    CompareFloatTaps(f64, bytes->data(), byte_rows, channels, n, &K::resize_row_u8_f64,
                     &K::blend_rows_u8_f64, compare);
    CompareFloatTaps(f64, floats->as<const float>(), float_rows, channels, n,
                     &K::resize_row_f32_f64, &K::blend_rows_f32_f64, compare);
    if (HasFatalFailure()) return;
  }
}

TEST_P(PixelsTest, Positions) {
  for (int n = 1; n <= kWidths; ++n) {
    for (const int channels : {1, 3}) {
      SCOPED_TRACE(::testing::Message() << n << ", " << channels);
      const int size = 1 + UpTo(99), values = n * channels;
      const auto in = Bytes(size * channels);
      const auto at = [&] { return UpTo(size - 1); };
      const auto left = Values<int32_t>(n, at), right = Values<int32_t>(n, at);
      const auto lerp = Values<float>(n, [&] { return Float(); });
      const auto top = Values<float>(values, [&] { return Float(); });
      const auto bottom = Values<float>(values, [&] {
        return UpTo(9) == 0 ? std::numeric_limits<float>::quiet_NaN() : Float() * 3.0f;
      });
      const auto float_bytes = static_cast<size_t>(values) * sizeof(float);
      Compare(static_cast<size_t>(values), [&](const PixelKernels& k, uint8_t* out) {
        k.resize.pick_row(in->data(), left->as<int32_t>(), n, channels, out);
      });
      Compare(float_bytes, [&](const PixelKernels& k, uint8_t* out) {
        k.resize.lerp_row(in->data(), left->as<int32_t>(), right->as<int32_t>(), lerp->as<float>(),
                          n, channels, reinterpret_cast<float*>(out));
      });
      Compare(float_bytes, [&](const PixelKernels& k, uint8_t* out) {
        k.resize.lerp_rows(top->as<float>(), top->as<float>() + values / 2, 0.3f, values / 2,
                           reinterpret_cast<float*>(out));
      });
      Compare(static_cast<size_t>(values), [&](const PixelKernels& k, uint8_t* out) {
        k.resize.floats_to_u8(bottom->as<float>(), values, out);
      });
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(PixelsTest, OpencvLinear) {
  for (int n = 1; n <= 2 * kWidths; ++n) {
    const int size = 1 + UpTo(99), channels = n % 2 == 0 ? 3 : 1;
    SCOPED_TRACE(::testing::Message() << n << ", " << size);
    const auto in = Bytes(size * channels);
    const auto at = Values<int32_t>(2 * n, [&] { return UpTo(size - 1); });
    const auto weights = Values<int16_t>(2 * n, [&] { return UpTo(2048); });
    for (int x = 0; x < n; ++x)
      weights->as<int16_t>()[2 * x + 1] =
          static_cast<int16_t>(2048 - weights->as<int16_t>()[2 * x]);
    Compare(static_cast<size_t>(n * channels) * sizeof(int16_t),
            [&](const PixelKernels& k, uint8_t* out) {
              k.opencv.linear_row(in->data(), at->as<int32_t>(), weights->as<int16_t>(), n,
                                  channels, reinterpret_cast<int16_t*>(out));
            });
    const auto make = [&] { return UpTo(7) == 0 ? 255 * 2048 >> 4 : UpTo(255 * 2048 >> 4); };
    const auto top = Values<int16_t>(n, make), bottom = Values<int16_t>(n, make);
    const int w = n % 7 == 0 ? 2048 : UpTo(2048);
    Compare(static_cast<size_t>(n), [&](const PixelKernels& k, uint8_t* out) {
      k.opencv.linear_rows(top->as<int16_t>(), bottom->as<int16_t>(), w, 2048 - w, n, out);
    });
    if (HasFatalFailure()) return;
  }
}

TEST_P(PixelsTest, OpencvCubic) {
  // Sums on ties between two floats, and next to them: weights of few bits, and tiny ones.
  const auto weigh = [&] {
    const int shift = UpTo(3) == 0 ? 60 : UpTo(1) == 0 ? 17 : 23;
    return std::ldexp(static_cast<float>(UpTo(1 << UpTo(std::min(shift, 23))) - 4096), -shift);
  };
  for (int n = 1; n <= 2 * kWidths; ++n) {
    const int size = 4 + UpTo(99), channels = n % 2 == 0 ? 3 : 1;
    SCOPED_TRACE(::testing::Message() << n << ", " << size);
    const auto in = Bytes(size * channels);
    const auto at = Values<int32_t>(4 * n, [] { return 0; });
    const auto weights = Values<float>(4 * n, weigh);
    OpencvCubicView view = {n, at->as<int32_t>(), weights->as<float>()};
    view.begin = UpTo(n / 4);
    view.end = n - UpTo(n / 4);
    view.rest = view.end - (view.end - view.begin) % 4;
    for (int x = 0; x < n; ++x) {
      const bool inside = x >= view.begin && x < view.end;
      const int first = inside ? UpTo(size - 4) : UpTo(size + 5) - 5;
      for (int j = 0; j < 4; ++j) at->as<int32_t>()[4 * x + j] = std::clamp(first + j, 0, size - 1);
    }
    const auto values = static_cast<size_t>(n * channels);
    Compare(static_cast<size_t>(view.end * channels) * sizeof(float),
            [&](const PixelKernels& k, uint8_t* out) {
              k.opencv.cubic_row(in->data(), view, channels, reinterpret_cast<float*>(out));
            });
    for (const auto& part : {std::pair(0, n), {view.end, n}, {0, view.begin}}) {
      Compare(2 * values * sizeof(float), [&](const PixelKernels& k, uint8_t* out) {
        auto* to = reinterpret_cast<float*>(out);
        k.opencv.cubic_border(in->data(), view, part.first, part.second, channels, to, to + values);
      });
    }
    const float* rows[4];
    std::unique_ptr<GuardedBuffer> buffers[4];
    for (int j = 0; j < 4; ++j) rows[j] = (buffers[j] = Values<float>(n, weigh))->as<float>();
    for (const auto kernel : {&OpencvKernels::cubic_rows, &OpencvKernels::cubic_border_rows}) {
      Compare(static_cast<size_t>(n) * sizeof(float), [&](const PixelKernels& k, uint8_t* out) {
        (k.opencv.*kernel)(rows, weights->as<float>(), n, reinterpret_cast<float*>(out));
      });
    }
    if (HasFatalFailure()) return;
  }
}

TEST_P(PixelsTest, OpencvArea) {
  for (int n = 1; n <= 2 * kWidths; ++n) {
    const int size = 1 + UpTo(99), outputs = 1 + n / 3, channels = n % 2 == 0 ? 3 : 1;
    SCOPED_TRACE(::testing::Message() << n << ", " << size);
    const auto taps =
        MakeTaps<float>(&random_, size, outputs, 1 + UpTo(11), false, [&] { return Float(); });
    const auto in = Bytes(size * channels);
    Compare(static_cast<size_t>(outputs * channels) * sizeof(float),
            [&](const PixelKernels& k, uint8_t* out) {
              k.opencv.area_row(in->data(), taps.view, channels, reinterpret_cast<float*>(out));
            });
    const int factor = 1 + UpTo(5);
    const auto any = [&] { return random_() >> UpTo(31); };
    const auto bytes = Values<uint8_t>(n, any);
    const auto sums = Values<uint32_t>(n, any);
    const auto columns = Values<uint32_t>(outputs * factor * channels, any);
    const auto floats = Values<float>(n, [&] { return Float() * 10.0f; });
    Compare(static_cast<size_t>(n) * sizeof(uint32_t), [&](const PixelKernels& k, uint8_t* out) {
      std::memcpy(out, sums->data(), sums->size());
      k.opencv.add_row(bytes->data(), n, reinterpret_cast<uint32_t*>(out));
    });
    Compare(static_cast<size_t>(outputs * channels) * sizeof(uint32_t),
            [&](const PixelKernels& k, uint8_t* out) {
              k.opencv.sum_columns(columns->as<uint32_t>(), factor, outputs, channels,
                                   reinterpret_cast<uint32_t*>(out));
            });
    Compare(static_cast<size_t>(n) * sizeof(float), [&](const PixelKernels& k, uint8_t* out) {
      k.opencv.scale_sums(sums->as<uint32_t>(), n, 0.3f, 0.125f, reinterpret_cast<float*>(out));
    });
    Compare(static_cast<size_t>(n), [&](const PixelKernels& k, uint8_t* out) {
      k.opencv.round_row(floats->as<float>(), n, out);
    });
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, PixelsTest, ::testing::ValuesIn(TestedTables()),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(PixelsTables, AreTested) { octet::testing::ExpectTestedTables(); }

}  // namespace
}  // namespace octet::kernels
