// TapsResampler filters along one axis and then along the other, with weights of TensorFlow (float)
// or Pillow (double); a ring holds rows of the source or of the first pass. Which axis is first is
// the framework's rule, as sums round by it. TensorFlow's bilinear without antialias is another
// formula, LerpResampler's.
#include "engine/src/pixels/resampler_float.h"

#include <algorithm>
#include <cmath>

#include "engine/src/pixels/carver.h"
#include "engine/src/pixels/row_ring.h"
#include "engine/src/pixels/taps.h"

namespace octet {
namespace {

/// Rows of floats as the caller wants them: as they are, or in 8 bits.
class FloatRows {
 public:
  FloatRows(const kernels::ResizeKernels& kernels, bool to_float, int64_t n, float* scratch,
            void* out)
      : kernels_(kernels), to_float_(to_float), n_(n), scratch_(scratch), out_(out) {}

  /// Where row i goes; Finish(i) then puts it there.
  float* Row(int i) { return to_float_ ? static_cast<float*>(out_) + i * n_ : scratch_; }
  void Finish(int i) {
    if (!to_float_) kernels_.floats_to_u8(scratch_, n_, static_cast<uint8_t*>(out_) + i * n_);
  }

 private:
  const kernels::ResizeKernels& kernels_;
  bool to_float_;
  int64_t n_;
  float* scratch_;
  void* out_;
};

// The kernels of a type of weights.
struct Float32Kernels {
  using Weight = float;
  static constexpr auto kRow = &kernels::ResizeKernels::resize_row_u8_f32;
  static constexpr auto kFloatRow = &kernels::ResizeKernels::resize_row_f32_f32;
  static constexpr auto kRows = &kernels::ResizeKernels::blend_rows_u8_f32;
  static constexpr auto kFloatRows = &kernels::ResizeKernels::blend_rows_f32_f32;
};
struct Float64Kernels {
  using Weight = double;
  static constexpr auto kRow = &kernels::ResizeKernels::resize_row_u8_f64;
  static constexpr auto kFloatRow = &kernels::ResizeKernels::resize_row_f32_f64;
  static constexpr auto kRows = &kernels::ResizeKernels::blend_rows_u8_f64;
  static constexpr auto kFloatRows = &kernels::ResizeKernels::blend_rows_f32_f64;
};

/// A pixel of three values is read as four.
constexpr int kFloatOverread = 1;

/// Filters along one axis, then the other.
template <typename Kernels>
class TapsResampler : public Resampler {
 public:
  using Weight = typename Kernels::Weight;

  TapsResampler(const Resampling& resampling, const kernels::KernelTable& table)
      : resampling_(resampling), kernels_(table.pixels->resize) {}

  int64_t Bytes(const ResizeTask& task) const override {
    const auto taps = [&](const Axis& axis) {
      return Pillow() ? PillowTapsPerOutput(resampling_.filter, axis)
                      : TensorflowTapsPerOutput(resampling_, axis);
    };
    const auto bytes = [&](const Axis& axis) {
      return axis.outputs * (8 + taps(axis) * static_cast<int64_t>(sizeof(Weight)));
    };
    const Axis rows = Rows(task);
    const int64_t window = std::min<int64_t>(rows.in_size, taps(rows));
    return bytes(Columns(task)) + bytes(rows) +
           window * std::max<int64_t>(int64_t{task.width} * 4, task.in_width) * task.channels;
  }

  void Prepare(const ResizeTask& task) override {
    task_ = task;
    if constexpr (std::is_same_v<Weight, double>) {
      PillowTaps(resampling_.filter, Columns(task), &columns_);
      PillowTaps(resampling_.filter, Rows(task), &rows_);
      horizontal_first_ = PillowIsHorizontalFirst(resampling_.passes, task.in_width, task.in_height,
                                                  task.resized_width, task.resized_height);
    } else {
      TensorflowTaps(resampling_, Columns(task), &columns_);
      TensorflowTaps(resampling_, Rows(task), &rows_);
      horizontal_first_ = resampling_.filter == ResizeFilter::kArea;
      if (horizontal_first_) {
        scale_ = static_cast<float>(
            1.0 / double{TensorflowScale(Rows(task), resampling_.coordinates) *
                         TensorflowScale(Columns(task), resampling_.coordinates)});
      }
    }
    capacity_ = rows_.longest();
  }

  int64_t ScratchBytes() const override {
    const int64_t in = int64_t{task_.in_width} * task_.channels,
                  out = int64_t{task_.width} * task_.channels;
    return Carver::Bytes<float>(out) + Carver::Bytes<const void*>(rows_.taps) +
           (horizontal_first_ ? Carver::Bytes<float>(out * capacity_)
                              : Carver::Bytes<float>(in + kFloatOverread) +
                                    Carver::Bytes<uint8_t>(in * capacity_));
  }

  void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const override {
    const int64_t in_row = int64_t{task_.in_width} * task_.channels,
                  out_row = int64_t{task_.width} * task_.channels;
    Carver carver(scratch);
    FloatRows result(kernels_, resampling_.to_float, out_row, carver.Take<float>(out_row), out);
    if (horizontal_first_) {
      auto** window = carver.Take<const float*>(rows_.taps);
      RowRing<float> ring(carver.Take<float>(out_row * capacity_), out_row, capacity_);
      for (int y = begin; y < end; ++y) {
        Fill(&ring, y, window, [&](int row) {
          (kernels_.*Kernels::kRow)(rows->Row(row), columns_.view(), task_.channels, ring.row(row));
        });
        (kernels_.*Kernels::kFloatRows)(window, rows_.of(y), rows_.count[y], out_row, scale_,
                                        result.Row(y - begin));
        result.Finish(y - begin);
      }
    } else {
      auto** window = carver.Take<const uint8_t*>(rows_.taps);
      float* blended = carver.Take<float>(in_row + kFloatOverread);
      RowRing<uint8_t> ring(carver.Take<uint8_t>(in_row * capacity_), in_row, capacity_);
      for (int y = begin; y < end; ++y) {
        Fill(&ring, y, window,
             [&](int row) { std::copy_n(rows->Row(row), in_row, ring.row(row)); });
        (kernels_.*Kernels::kRows)(window, rows_.of(y), rows_.count[y], in_row, scale_, blended);
        (kernels_.*Kernels::kFloatRow)(blended, columns_.view(), task_.channels,
                                       result.Row(y - begin));
        result.Finish(y - begin);
      }
    }
  }

 private:
  bool Pillow() const { return resampling_.framework == Framework::kPillow; }

  /// Makes what output row y needs, and lists it.
  template <typename T, typename Make>
  void Fill(RowRing<T>* ring, int y, const T** window, const Make& make) const {
    const int begin = rows_.begin(y), end = rows_.end(y);
    ring->Fill(begin, end, end, 1, [&](int row, int) { make(row); });
    for (int j = 0; j < rows_.count[y]; ++j)
      window[j] = ring->row(std::clamp(rows_.first[y] + j, 0, rows_.size - 1));
  }

  const Resampling resampling_;
  const kernels::ResizeKernels& kernels_;
  ResizeTask task_;
  bool horizontal_first_ = true;
  float scale_ = 1.0f;
  int capacity_ = 1;
  Taps<Weight> columns_, rows_;
};

/// TensorFlow's bilinear without antialias (resize_bilinear_op.cc).
class LerpResampler : public Resampler {
 public:
  LerpResampler(const Resampling& resampling, const kernels::KernelTable& table)
      : resampling_(resampling), kernels_(table.pixels->resize) {}

  int64_t Bytes(const ResizeTask& task) const override {
    return (int64_t{task.width} + task.height) * 12;
  }

  void Prepare(const ResizeTask& task) override {
    task_ = task;
    columns_.Find(Columns(task), resampling_.coordinates);
    rows_.Find(Rows(task), resampling_.coordinates);
  }

  int64_t ScratchBytes() const override {
    const int64_t row = int64_t{task_.width} * task_.channels;
    return Carver::Bytes<float>(row) + Carver::Bytes<float>(2 * row);
  }

  void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const override {
    const int64_t n = int64_t{task_.width} * task_.channels;
    Carver carver(scratch);
    FloatRows result(kernels_, resampling_.to_float, n, carver.Take<float>(n), out);
    RowRing<float> ring(carver.Take<float>(2 * n), n, 2);
    for (int y = begin; y < end; ++y) {
      const int top = rows_.low[y], bottom = rows_.high[y];
      ring.Fill(top, bottom + 1, bottom + 1, 1, [&](int row, int) {
        kernels_.lerp_row(rows->Row(row), columns_.low.data(), columns_.high.data(),
                          columns_.lerp.data(), task_.width, task_.channels, ring.row(row));
      });
      kernels_.lerp_rows(ring.row(top), ring.row(bottom), rows_.lerp[y], n, result.Row(y - begin));
      result.Finish(y - begin);
    }
  }

 private:
  struct Positions {
    std::vector<int32_t> low, high;
    std::vector<float> lerp;
    void Find(const Axis& axis, Coordinates coordinates) {
      low.resize(axis.outputs);
      high.resize(axis.outputs);
      lerp.resize(axis.outputs);
      const float scale = TensorflowScale(axis, coordinates);
      for (int i = 0; i < axis.outputs; ++i) {
        const float at = TensorflowPosition(axis.begin + i, scale, coordinates);
        const float floor = std::floor(at);
        low[i] = std::clamp(static_cast<int>(floor), 0, axis.in_size - 1);
        high[i] = std::clamp(static_cast<int>(std::ceil(at)), low[i], axis.in_size - 1);
        lerp[i] = at - floor;
      }
    }
  };

  const Resampling resampling_;
  const kernels::ResizeKernels& kernels_;
  ResizeTask task_;
  Positions columns_, rows_;
};

}  // namespace

std::unique_ptr<Resampler> MakeFloatResampler(const Resampling& resampling,
                                              const kernels::KernelTable& table) {
  if (resampling.framework == Framework::kPillow)
    return std::make_unique<TapsResampler<Float64Kernels>>(resampling, table);
  if (resampling.filter == ResizeFilter::kBilinear && !resampling.antialias)
    return std::make_unique<LerpResampler>(resampling, table);
  return std::make_unique<TapsResampler<Float32Kernels>>(resampling, table);
}

}  // namespace octet
