// Pixel kernels of every instruction set against the reference, bit for bit, between guard pages:
// what lies behind a row is neither read nor written.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
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
  std::erase_if(tables, [](const TableInfo& t) { return !octet::testing::IsTested(t); });
  return tables;
}

class PixelsTest : public ::testing::TestWithParam<TableInfo> {
 protected:
  /// Calls `run(kernels, out)` with the tested kernels and the reference; `bytes` of output.
  template <typename Run>
  void Compare(size_t bytes, Run run) {
    GuardedBuffer expected(bytes), found(bytes);
    run(kReferenceTable.pixels->rows, expected.data());
    run(GetParam().table->pixels->rows, found.data());
    ASSERT_EQ(std::memcmp(expected.data(), found.data(), bytes), 0);
  }

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
                        Case{"gray_from_rgb", &PixelKernelsRows::gray_from_rgb, 3, 1},
                        Case{"reverse_rgb", &PixelKernelsRows::reverse_rgb, 3, 3},
                        Case{"reverse_gray", &PixelKernelsRows::reverse_gray, 1, 1}}) {
    for (int width = 1; width <= kWidths; ++width) {
      SCOPED_TRACE(::testing::Message() << c.name << ", " << width);
      GuardedBuffer in(static_cast<size_t>(width) * c.in);
      Fill(&random_, &in);
      Compare(static_cast<size_t>(width) * c.out, [&](const PixelKernelsRows& k, uint8_t* out) {
        (k.*c.kernel)(in.data(), width, out);
      });
      if (HasFatalFailure()) return;
    }
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
      Compare(256 * 16, [&](const PixelKernelsRows& k, uint8_t* out) {
        k.gray_from_rgb(in.data(), 256 * 16, out);
      });
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
        Compare(out_row * width, [&](const PixelKernelsRows& k, uint8_t* out) {
          (k.*transpose)(in.data(), in_stride, width, height, out, out_stride);
        });
        Compare(out_row * width, [&](const PixelKernelsRows& k, uint8_t* out) {
          (k.*transpose)(in.data() + in_row * (height - 1), -in_stride, width, height,
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
        Compare(static_cast<size_t>(width) * 3, [&](const PixelKernelsRows& k, uint8_t* out) {
          (repeat < 2 ? k.rgb_from_yuv : k.rgb_from_yuv_opencv)[layout](
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
        Compare(256 * 64 * 3, [&](const PixelKernelsRows& k, uint8_t* out) {
          (opencv ? k.rgb_from_yuv_opencv : k.rgb_from_yuv)[0](&row, 1, constants, out, 0);
        });
        if (HasFatalFailure()) return;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, PixelsTest, ::testing::ValuesIn(TestedTables()),
                         [](const auto& p) { return std::string(p.param.name); });

TEST(PixelsTables, AreTested) { octet::testing::ExpectTestedTables(); }

}  // namespace
}  // namespace octet::kernels
