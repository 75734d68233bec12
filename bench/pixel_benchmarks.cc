// Two tables: kCases of formats, for rows alone, and kRules of frameworks and filters, for whole
// inputs. Photos are noise, the same for all.
#include "bench/pixel_benchmarks.h"

#include <benchmark/benchmark.h>

#include <memory>

#include "engine/src/pixels/pixel_rows.h"
#include "engine/src/preprocess.h"
#include "formats/base/str_cat.h"
#include "formats/model/graph.h"
#include "formats/model/preprocessing.h"
#include "kernels/dispatch.h"

#ifdef OCTET_BENCH_LIBYUV
#include <libyuv.h>
#endif

namespace octet::bench {
namespace {

constexpr int kWidth = 1280, kHeight = 720;
constexpr int kLargeWidth = 1920, kLargeHeight = 1080;

const uint8_t* Noise() {
  static const std::vector<uint8_t> noise = [] {
    std::vector<uint8_t> bytes(size_t{4} * kLargeWidth * kLargeHeight);
    uint32_t state = 1;
    for (uint8_t& b : bytes) {
      state = state * 1664525u + 1013904223u;
      b = static_cast<uint8_t>(state >> 24);
    }
    return bytes;
  }();
  return noise.data();
}

struct Case {
  const char* name;
  PixelFormat format;
  int rotation = 0;
  bool mirror = false;
  int channels = 3;
  Framework framework = Framework::kPillow;
};
constexpr Case kCases[] = {
    {"nv12", PixelFormat::kNv12},
    {"nv12-opencv", PixelFormat::kNv12, 0, false, 3, Framework::kOpencv},
    {"i420", PixelFormat::kI420},
    {"yuyv", PixelFormat::kYuyv},
    {"bgr", PixelFormat::kBgr},
    {"rgba", PixelFormat::kRgba},
    {"bgra", PixelFormat::kBgra},
    {"rgb-gray", PixelFormat::kRgb, 0, false, 1},
    {"rgb-mirrored", PixelFormat::kRgb, 0, true},
    {"rgb-turned", PixelFormat::kRgb, 1},
    {"nv12-turned", PixelFormat::kNv12, 1},
};

/// A photo that becomes the input of a network of uint8 whose codes are the pixels.
struct RuleCase {
  int width, height, side;
  const char* format_name;
  PixelFormat format;
  Framework framework;
  ResizeFilter filter;
  bool antialias = false;
};
constexpr Framework kPillow = Framework::kPillow, kTensorflow = Framework::kTensorflow,
                    kOpencv = Framework::kOpencv;
constexpr PixelFormat kRgb = PixelFormat::kRgb, kNv12 = PixelFormat::kNv12;
constexpr RuleCase kRules[] = {
    {kWidth, kHeight, 160, "nv12", kNv12, kPillow, ResizeFilter::kBilinear},
    {kWidth, kHeight, 160, "nv12", kNv12, kOpencv, ResizeFilter::kBilinear},
    {kLargeWidth, kLargeHeight, 160, "nv12", kNv12, kPillow, ResizeFilter::kBilinear},
    {kLargeWidth, kLargeHeight, 160, "nv12", kNv12, kOpencv, ResizeFilter::kBilinear},
    {kLargeWidth, kLargeHeight, 160, "rgb", kRgb, kPillow, ResizeFilter::kBilinear},
    {kWidth, kHeight, 160, "rgb", kRgb, kPillow, ResizeFilter::kBilinear},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kNearest},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kBox},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kBilinear},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kHamming},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kBicubic},
    {kWidth, kHeight, 224, "rgb", kRgb, kPillow, ResizeFilter::kLanczos},
    {kWidth, kHeight, 224, "rgb", kRgb, kOpencv, ResizeFilter::kNearest},
    {kWidth, kHeight, 224, "rgb", kRgb, kOpencv, ResizeFilter::kBilinear},
    {kWidth, kHeight, 224, "rgb", kRgb, kOpencv, ResizeFilter::kBicubic},
    {kWidth, kHeight, 224, "rgb", kRgb, kOpencv, ResizeFilter::kArea},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kNearest},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kBilinear},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kBicubic},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kArea},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kLanczos},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kBilinear, true},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kBicubic, true},
    {kWidth, kHeight, 224, "rgb", kRgb, kTensorflow, ResizeFilter::kLanczos, true},
};

/// `run` makes all pixels of the photo once.
template <typename Run>
void Measure(benchmark::State& state, int64_t pixels, Run run) {
  for (auto _ : state) {
    run();
    benchmark::ClobberMemory();
  }
  state.counters["pixel"] =
      benchmark::Counter(static_cast<double>(state.iterations() * pixels),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void RunRule(benchmark::State& state, const RuleCase& c, const std::string& isa) {
  const Result<const kernels::KernelTable*> table = kernels::SelectTable(isa);
  if (!table.ok()) {
    state.SkipWithError(table.status().message().c_str());
    return;
  }
  Preprocessing p;
  p.resampling = ResamplingOf(c.framework);
  p.resampling.filter = c.filter;
  p.resampling.antialias = c.antialias;
  Preprocessor preprocessor(p, c.side, c.side, 3, **table);
  const Image image{Noise(), c.width, c.height, c.format};
  const Quantization codes{1.0f, 0};
  std::vector<uint8_t> out(static_cast<size_t>(c.side) * c.side * 3);
  std::vector<float> floats(out.size());
  Measure(state, int64_t{c.width} * c.height, [&] {
    const Status status = p.resampling.to_float ? preprocessor.ToFloat(image, floats.data())
                                                : preprocessor.ToU8(image, codes, out.data());
    if (!status.ok()) state.SkipWithError(status.message().c_str());
  });
}

void RunRows(benchmark::State& state, const Case& c, const std::string& isa) {
  const Result<const kernels::KernelTable*> table = kernels::SelectTable(isa);
  if (!table.ok()) {
    state.SkipWithError(table.status().message().c_str());
    return;
  }
  Image image{Noise(), kWidth, kHeight, c.format};
  image.rotation = c.rotation;
  image.mirror = c.mirror;
  std::byte* scratch = nullptr;
  const auto owner =
      MakeAlignedBuffer(static_cast<size_t>(ImageRows::ScratchBytes(image)), &scratch);
  Measure(state, int64_t{kWidth} * kHeight, [&] {
    ImageRows rows(image, c.channels, c.framework, (*table)->pixels->rows,
                   reinterpret_cast<uint8_t*>(scratch));
    for (int y = 0; y < rows.height(); ++y) benchmark::DoNotOptimize(rows.Row(y));
  });
}

#ifdef OCTET_BENCH_LIBYUV
/// One row after the other into the same memory, as the rows above.
void RegisterLibyuv() {
  const auto add = [](const char* name, auto row) {
    benchmark::RegisterBenchmark(StrCat("pixels/", name, "/libyuv").c_str(),
                                 [row](benchmark::State& state) {
                                   std::vector<uint8_t> out(size_t{4} * kWidth);
                                   Measure(state, int64_t{kWidth} * kHeight, [&] {
                                     for (int y = 0; y < kHeight; ++y) row(y, out.data());
                                   });
                                 })
        ->Unit(benchmark::kMicrosecond);
  };
  add("nv12", [](int y, uint8_t* out) {
    libyuv::NV12ToRGB24(Noise() + y * kWidth, kWidth, Noise() + (kHeight + y / 2) * kWidth, kWidth,
                        out, 3 * kWidth, kWidth, 1);
  });
  add("i420", [](int y, uint8_t* out) {
    const uint8_t* u = Noise() + kHeight * kWidth + y / 2 * kWidth / 2;
    libyuv::I420ToRGB24(Noise() + y * kWidth, kWidth, u, kWidth / 2, u + kHeight * kWidth / 4,
                        kWidth / 2, out, 3 * kWidth, kWidth, 1);
  });
  add("bgr", [](int y, uint8_t* out) {
    libyuv::RAWToRGB24(Noise() + 3 * y * kWidth, 3 * kWidth, out, 3 * kWidth, kWidth, 1);
  });
  add("bgra", [](int y, uint8_t* out) {
    libyuv::ARGBToRGB24(Noise() + 4 * y * kWidth, 4 * kWidth, out, 3 * kWidth, kWidth, 1);
  });
}
#else
void RegisterLibyuv() {}
#endif

}  // namespace

void RegisterPixelBenchmarks(const std::vector<std::string>& sets) {
  for (const RuleCase& c : kRules) {
    const std::string name =
        StrCat("pixels/", c.width, "x", c.height, "-", c.side, "/", c.format_name, "/",
               NameOf(kFrameworkNames, c.framework), "-", NameOf(kResizeFilterNames, c.filter),
               c.antialias ? "-antialias" : "", "/");
    for (const std::string& isa : sets) {
      benchmark::RegisterBenchmark((name + isa).c_str(), [c, isa](benchmark::State& state) {
        RunRule(state, c, isa);
      })->Unit(benchmark::kMicrosecond);
    }
  }
  for (const Case& c : kCases) {
    for (const std::string& isa : sets) {
      benchmark::RegisterBenchmark(StrCat("pixels/", c.name, "/", isa).c_str(),
                                   [c, isa](benchmark::State& state) { RunRows(state, c, isa); })
          ->Unit(benchmark::kMicrosecond);
    }
  }
  RegisterLibyuv();
}

}  // namespace octet::bench
