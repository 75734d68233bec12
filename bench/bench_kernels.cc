// bench_kernels: every distinct convolution of ResNet-50 v1.5 on every instruction set and precision, in GOP/s and as a share
// of the peak measured in the same run. "cold" rotates through copies of the weights larger than the caches, as an
// inference finds them. Names: isa/precision/layer/warm|cold; select with --benchmark_filter.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "bench/peak.h"
#include "formats/base/shape.h"
#include "formats/model/panel.h"
#include "kernels/dispatch.h"
#include "kernels/kernel_table.h"

namespace octet::bench {
namespace {

using kernels::ConvArgs;
using kernels::KernelTable;

struct Layer {
  int size, in, out, kernel, stride;
  bool residual;
};
// Input size, channels, kernel and stride of each distinct layer; `residual` where a block ends.
constexpr Layer kLayers[] = {
    {224, 3, 64, 7, 2, false},    {56, 64, 64, 1, 1, false},     {56, 64, 64, 3, 1, false},    {56, 64, 256, 1, 1, true},
    {56, 256, 64, 1, 1, false},   {56, 256, 128, 1, 1, false},   {56, 128, 128, 3, 2, false},  {28, 128, 512, 1, 1, true},
    {56, 256, 512, 1, 2, false},  {28, 512, 128, 1, 1, false},   {28, 128, 128, 3, 1, false},  {28, 512, 256, 1, 1, false},
    {28, 256, 256, 3, 2, false},  {14, 256, 1024, 1, 1, true},   {28, 512, 1024, 1, 2, false}, {14, 1024, 256, 1, 1, false},
    {14, 256, 256, 3, 1, false},  {14, 1024, 512, 1, 1, false},  {14, 512, 512, 3, 2, false},  {7, 512, 2048, 1, 1, true},
    {14, 1024, 2048, 1, 2, false}, {7, 2048, 512, 1, 1, false},  {7, 512, 512, 3, 1, false},
};

enum class Kind { kInt8, kInt8Float, kFp32, kFp16 };
constexpr const char* kKindName[] = {"int8", "int8_f32", "fp32", "fp16"};
constexpr size_t kColdBytes = size_t{64} << 20;  // More than the level-3 cache of one core complex.

struct Free {
  void operator()(uint8_t* p) const { std::free(p); }
};
using Memory = std::unique_ptr<uint8_t, Free>;

Memory Allocate(int64_t bytes) {
  const size_t size = static_cast<size_t>(RoundUp(bytes + 4096, 64));
  Memory m(static_cast<uint8_t*>(std::aligned_alloc(64, size)));
  std::fill_n(m.get(), size, uint8_t{0});
  return m;
}

void RunLayer(benchmark::State& state, const KernelTable* table, const Layer& l, Kind kind, bool cold) {
  const bool integer = kind == Kind::kInt8 || kind == Kind::kInt8Float;
  const int in_size = integer ? 1 : 4, out_size = kind == Kind::kInt8 ? 1 : 4;
  const int weight_size = integer ? 1 : kind == Kind::kFp16 ? 2 : 4;
  const bool row = l.in < 4;
  const int pad = l.kernel / 2, out = (l.size + 2 * pad - l.kernel) / l.stride + 1;
  const DType dtype = integer ? DType::kI8 : kind == Kind::kFp16 ? DType::kF16 : DType::kF32;
  const PanelShape panel = MakePanelShape({l.out, l.kernel, l.kernel, l.in}, dtype, row ? Layout::kPanelRow : Layout::kPanel);

  ConvArgs a;
  const int64_t pixel = (row ? l.in : RoundUp(l.in, 16)) * in_size, line = (l.size + 2 * pad) * pixel;
  const Memory input = Allocate((l.size + 2 * pad) * line);
  const Memory output = Allocate(int64_t{out} * out * l.out * out_size), residual = Allocate(int64_t{out} * out * l.out * out_size);
  const int64_t weight_bytes = panel.elements() * weight_size;
  const int64_t copies = cold ? CeilDiv(static_cast<int64_t>(kColdBytes), weight_bytes) : 1;
  const Memory weights = Allocate(weight_bytes * copies);
  // Values: a quarter of the range, as after a ReLU; floats are all 1, whose rate is that of any normal number.
  if (integer) {
    for (int64_t i = 0; i < (l.size + 2 * pad) * line; ++i) input.get()[i] = static_cast<uint8_t>(i * 37 % 64);
    for (int64_t i = 0; i < weight_bytes * copies; ++i) weights.get()[i] = static_cast<uint8_t>(static_cast<int8_t>(i * 29 % 127 - 63));
  } else {
    std::fill_n(reinterpret_cast<float*>(input.get()), (l.size + 2 * pad) * line / 4, 1.0f);
    if (kind == Kind::kFp16) {
      std::fill_n(reinterpret_cast<uint16_t*>(weights.get()), weight_bytes * copies / 2, uint16_t{0x3c00});
    } else {
      std::fill_n(reinterpret_cast<float*>(weights.get()), weight_bytes * copies / 4, 1.0f);
    }
  }
  std::vector<int32_t> offsets, bias(static_cast<size_t>(RoundUp(l.out, 16)), 5);
  std::vector<float> multiplier(bias.size(), 1e-3f), float_bias(bias.size(), 0.5f);
  for (int64_t t = 0; t < panel.taps; ++t) {
    offsets.push_back(static_cast<int32_t>(row ? t * line : t / l.kernel * line + t % l.kernel * pixel));
  }
  a.input = input.get();
  a.in_row_step = l.stride * line;
  a.in_pixel_step = l.stride * pixel;
  a.tap_offsets = offsets.data();
  a.taps = static_cast<int>(panel.taps);
  a.depth = static_cast<int>(panel.padded_depth);
  a.panel_bytes = panel.panel_elements() * weight_size;
  a.output = output.get();
  a.out_pixel_stride = int64_t{l.out} * out_size;
  a.out_row_stride = out * a.out_pixel_stride;
  if (l.residual) {
    a.residual = residual.get();
    a.res_pixel_stride = a.out_pixel_stride;
    a.res_row_stride = a.out_row_stride;
    a.residual_multiplier = 0.5f;
  }
  a.out_h = a.out_w = out;
  a.out_c = l.out;
  a.bias = bias.data();
  a.multiplier = multiplier.data();
  a.float_bias = float_bias.data();
  a.high = 255.0f;
  const kernels::ConvFn fn = kind == Kind::kInt8        ? table->conv_u8_u8
                             : kind == Kind::kInt8Float ? table->conv_u8_f32
                             : kind == Kind::kFp16      ? table->conv_f16
                                                        : table->conv_f32;
  int64_t copy = 0;
  for (auto _ : state) {
    a.weights = weights.get() + copy * weight_bytes;
    copy = (copy + 1) % copies;
    fn(a, 0, int64_t{out} * out, 0, static_cast<int>(panel.panels));
  }
  const double macs = static_cast<double>(out) * out * l.out * l.kernel * l.kernel * l.in;
  // One multiply-accumulate is two operations.
  state.counters["GOP/s"] = benchmark::Counter(2e-9 * macs, benchmark::Counter::kIsIterationInvariantRate);
  const Peak peak = MeasurePeak(table->name, integer ? Arithmetic::kInt8 : Arithmetic::kFloat);
  if (peak.gmacs > 0) {
    state.counters["peak_%"] = benchmark::Counter(100.0 * macs * 1e-9 / peak.gmacs, benchmark::Counter::kIsIterationInvariantRate);
  }
}

void RegisterAll() {
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability != kernels::Availability::kNative || std::string(info.name) == "reference") continue;
    for (Kind kind : {Kind::kInt8, Kind::kInt8Float, Kind::kFp32, Kind::kFp16}) {
      for (const Layer& l : kLayers) {
        for (bool cold : {false, true}) {
          const std::string name = std::string(info.name) + "/" + kKindName[static_cast<int>(kind)] + "/" + std::to_string(l.size) + "x" +
                                   std::to_string(l.size) + "x" + std::to_string(l.in) + "->" + std::to_string(l.out) + "_" +
                                   std::to_string(l.kernel) + "x" + std::to_string(l.kernel) + "_s" + std::to_string(l.stride) +
                                   (l.residual ? "_add" : "") + (cold ? "/cold" : "/warm");
          const KernelTable* table = info.table;
          benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { RunLayer(s, table, l, kind, cold); })
              ->Unit(benchmark::kMicrosecond)
              ->MinTime(0.05);
        }
      }
    }
  }
}

}  // namespace
}  // namespace octet::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  octet::bench::RegisterAll();
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
