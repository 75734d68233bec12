// Image.resize on 8 bits: means of blocks where reducing_gap asks for them, then two passes with
// weights in fixed point, rounded to 8 bits in between. Horizontal first, kRowsAtOnce source rows
// are filtered into a ring, of which the vertical pass blends rows; the other way round, the ring
// holds source rows, and what was blended is filtered.
#include "engine/src/pixels/resampler_pillow.h"

#include <algorithm>
#include <cstring>

#include "engine/src/pixels/carver.h"
#include "engine/src/pixels/row_ring.h"
#include "engine/src/pixels/taps.h"
#include "formats/base/shape.h"

namespace octet {
namespace {

/// Taps in fixed point (normalize_coeffs_8bpc of src/libImaging/Resample.c).
struct FixedTaps : Taps<int32_t> {
  std::vector<int8_t> digits;

  kernels::FixedTapsView view() const {
    kernels::FixedTapsView v;
    static_cast<kernels::TapsView<int32_t>&>(v) = Taps<int32_t>::view();
    v.digits = digits.data();
    return v;
  }

  static int Stride(int64_t taps) { return static_cast<int>(RoundUp(taps, 16)); }
  static int64_t Bytes(const Axis& axis, int64_t taps) {
    return axis.outputs * (8 + int64_t{Stride(taps)} * 7);
  }

  void Assign(const Axis& axis, const Taps<double>& exact) {
    Reserve(axis, Stride(exact.taps));
    first = exact.first;
    count = exact.count;
    digits.assign(weights.size() * 3, 0);
    for (int i = 0; i < axis.outputs; ++i) {
      int32_t* out = weights.data() + static_cast<int64_t>(i) * taps;
      int8_t* digit = digits.data() + static_cast<int64_t>(i) * taps * 3;
      for (int j = 0; j < count[i]; ++j) {
        const double w = exact.of(i)[j] * (1 << kernels::kFixedTapsBits);
        out[j] = static_cast<int32_t>(w < 0 ? w - 0.5 : w + 0.5);
        int8_t* d = digit + j / 16 * 48 + j % 16;
        d[0] = static_cast<int8_t>(out[j]);
        const int32_t rest = (out[j] - d[0]) / 256;
        d[16] = static_cast<int8_t>(rest);
        d[32] = static_cast<int8_t>((rest - d[16]) / 256);
      }
    }
  }
};

/// Image.reduce (src/libImaging/Reduce.c): means of blocks, of what is left at the ends too.
class ReducedRows : public PixelRows {
 public:
  ReducedRows(PixelRows* rows, int factor_x, int factor_y, uint8_t* scratch)
      : source_(rows), factor_x_(factor_x), factor_y_(factor_y) {
    width_ = static_cast<int>(CeilDiv(rows->width(), factor_x));
    height_ = static_cast<int>(CeilDiv(rows->height(), factor_y));
    channels_ = rows->channels();
    Carver carver(scratch);
    sums_ = carver.Take<uint32_t>(int64_t{width_} * channels_);
    row_ = carver.Take<uint8_t>(int64_t{width_} * channels_ + kPixelOverread);
  }
  static int64_t ScratchBytes(int64_t values) {
    return Carver::Bytes<uint32_t>(values) + Carver::Bytes<uint8_t>(values + kPixelOverread);
  }

  const uint8_t* Row(int y) override {
    const int begin = y * factor_y_, end = std::min(begin + factor_y_, source_->height());
    std::fill_n(sums_, int64_t{width_} * channels_, 0u);
    for (int i = begin; i < end; ++i) {
      const uint8_t* p = source_->Row(i);
      for (int x = 0, at = 0; x < width_; ++x) {
        const int stop = std::min(at + factor_x_, source_->width());
        for (; at < stop; ++at, p += channels_)
          for (int c = 0; c < channels_; ++c) sums_[x * channels_ + c] += p[c];
      }
    }
    for (int x = 0; x < width_; ++x) {
      const int columns = std::min(factor_x_, source_->width() - x * factor_x_);
      const auto count = static_cast<uint32_t>(columns * (end - begin));
      // Its reciprocal as division_UINT32 has it.
      const auto multiplier =
          static_cast<uint32_t>(4294967296.0f / static_cast<float>(count * 256));
      for (int c = 0; c < channels_; ++c) {
        const int i = x * channels_ + c;
        row_[i] = static_cast<uint8_t>((sums_[i] + count / 2) * multiplier >> 24);
      }
    }
    return row_;
  }

 private:
  PixelRows* source_;
  int factor_x_, factor_y_;
  uint32_t* sums_;
  uint8_t* row_;
};

class PillowResampler : public Resampler {
 public:
  PillowResampler(const Resampling& resampling, const kernels::KernelTable& table)
      : resampling_(resampling), kernels_(table.pixels->resize) {}

  int64_t Bytes(const ResizeTask& task) const override {
    const Reduction r = ReductionOf(task);
    const int64_t columns = PillowTapsPerOutput(resampling_.filter, r.columns),
                  rows = PillowTapsPerOutput(resampling_.filter, r.rows);
    return FixedTaps::Bytes(r.columns, columns) + FixedTaps::Bytes(r.rows, rows) +
           std::max(r.columns.outputs * columns, r.rows.outputs * rows) * 8 +
           ScratchOf(task, r, std::min<int64_t>(rows, r.rows.in_size), HorizontalFirst(r));
  }

  void Prepare(const ResizeTask& task) override {
    task_ = task;
    reduction_ = ReductionOf(task);
    const Axis &columns = reduction_.columns, &rows = reduction_.rows;
    // An axis that stays as it is has no pass.
    const auto needed = [](const Axis& a) {
      return a.in_size != a.out_size || (a.in_extent != 0.0 && a.in_extent != a.in_size);
    };
    horizontal_ = needed(columns);
    vertical_ = needed(rows);
    horizontal_first_ = HorizontalFirst(reduction_);
    if (horizontal_) {
      PillowTaps(resampling_.filter, columns, &exact_);
      columns_.Assign(columns, exact_);
    }
    if (vertical_) {
      PillowTaps(resampling_.filter, rows, &exact_);
      rows_.Assign(rows, exact_);
    }
    window_ = vertical_ ? rows_.longest() : 1;
  }

  int64_t ScratchBytes() const override {
    return ScratchOf(task_, reduction_, window_, horizontal_first_);
  }

  void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const override {
    if (!reduction_.any()) return RunOn(rows, begin, end, scratch, static_cast<uint8_t*>(out));
    ReducedRows reduced(rows, reduction_.factor_x, reduction_.factor_y, scratch);
    RunOn(&reduced, begin, end, scratch + ReducedRows::ScratchBytes(RowValues()),
          static_cast<uint8_t*>(out));
  }

 private:
  static constexpr int kAtOnce = kernels::kRowsAtOnce;

  /// What Image.resize's reducing_gap does first, and the axes of the rest.
  struct Reduction {
    int factor_x = 1, factor_y = 1;
    Axis columns, rows;
    bool any() const { return factor_x > 1 || factor_y > 1; }
  };

  Reduction ReductionOf(const ResizeTask& t) const {
    Reduction r;
    const auto factor = [&](int in, int64_t out) {
      if (resampling_.reducing_gap == 0.0f) return 1;
      return std::max(1, static_cast<int>(static_cast<double>(in) / static_cast<double>(out) /
                                          double{resampling_.reducing_gap}));
    };
    r.factor_x = factor(t.in_width, t.resized_width);
    r.factor_y = factor(t.in_height, t.resized_height);
    const auto axis = [&](int in, int by, int64_t out, int64_t begin, int outputs) {
      // Pillow passes the box as floats.
      const auto extent = static_cast<float>(static_cast<double>(in) / by);
      return Axis{static_cast<int>(CeilDiv(in, by)), out, begin, outputs,
                  r.any() ? double{extent} : 0.0};
    };
    r.columns = axis(t.in_width, r.factor_x, t.resized_width, t.x, t.width);
    r.rows = axis(t.in_height, r.factor_y, t.resized_height, t.y, t.height);
    return r;
  }

  bool HorizontalFirst(const Reduction& r) const {
    return PillowIsHorizontalFirst(resampling_.passes, r.columns.in_size, r.rows.in_size,
                                   r.columns.out_size, r.rows.out_size);
  }

  static int64_t ScratchOf(const ResizeTask& task, const Reduction& r, int64_t window,
                           bool horizontal_first) {
    const int64_t in = int64_t{r.columns.in_size} * task.channels,
                  out = int64_t{task.width} * task.channels;
    return (r.any() ? ReducedRows::ScratchBytes(in) : 0) + Carver::Bytes<const uint8_t*>(window) +
           kAtOnce * Carver::Bytes<uint8_t>(in + kPixelOverread) +
           (horizontal_first ? Carver::Bytes<uint8_t>((window + kAtOnce) * out)
                             : Carver::Bytes<uint8_t>(window * in));
  }

  int64_t RowValues() const { return int64_t{reduction_.columns.in_size} * task_.channels; }
  int64_t OutValues() const { return int64_t{task_.width} * task_.channels; }

  /// Rows y to y + n of the source through the horizontal pass.
  void HorizontalPass(PixelRows* rows, int y, int n, uint8_t* const* copies,
                      uint8_t* const* to) const {
    if (!horizontal_) {
      for (int i = 0; i < n; ++i)
        std::copy_n(rows->Row(y + i) + task_.x * task_.channels, OutValues(), to[i]);
      return;
    }
    const uint8_t* from[kAtOnce];
    for (int i = 0; i < n; ++i) {
      from[i] = rows->Row(y + i);
      if (n - i <= rows->lasting()) continue;
      std::memcpy(copies[i], from[i], static_cast<size_t>(RowValues()));
      from[i] = copies[i];
    }
    kernels_.resize_rows(from, n, columns_.view(), task_.channels, to);
  }

  void RunOn(PixelRows* rows, int begin, int end, uint8_t* scratch, uint8_t* out) const {
    const int64_t in_row = RowValues(), out_row = OutValues();
    Carver carver(scratch);
    auto** window = carver.Take<const uint8_t*>(window_);
    uint8_t* copies[kAtOnce];
    for (uint8_t*& copy : copies) copy = carver.Take<uint8_t>(in_row + kPixelOverread);
    uint8_t* to[kAtOnce];
    if (!vertical_) {
      const auto first = static_cast<int>(task_.y);
      for (int y = begin; y < end; y += kAtOnce) {
        const int n = std::min(kAtOnce, end - y);
        for (int i = 0; i < n; ++i) to[i] = out + (y - begin + i) * out_row;
        HorizontalPass(rows, first + y, n, copies, to);
      }
      return;
    }
    const auto list = [&](const RowRing<uint8_t>& ring, int y) {
      for (int j = 0; j < rows_.count[y]; ++j) window[j] = ring.row(rows_.first[y] + j);
    };
    if (horizontal_first_) {
      const int capacity = window_ + kAtOnce;
      RowRing<uint8_t> ring(carver.Take<uint8_t>(capacity * out_row), out_row, capacity);
      const int limit = rows_.end(end - 1);
      for (int y = begin; y < end; ++y) {
        ring.Fill(rows_.begin(y), rows_.end(y), limit, kAtOnce, [&](int row, int n) {
          for (int i = 0; i < n; ++i) to[i] = ring.row(row + i);
          HorizontalPass(rows, row, n, copies, to);
        });
        list(ring, y);
        kernels_.blend_rows(window, rows_.view(), y, out_row, out + (y - begin) * out_row);
      }
      return;
    }
    RowRing<uint8_t> ring(carver.Take<uint8_t>(window_ * in_row), in_row, window_);
    for (int y = begin; y < end; ++y) {
      ring.Fill(rows_.begin(y), rows_.end(y), rows_.end(y), 1,
                [&](int row, int) { std::copy_n(rows->Row(row), in_row, ring.row(row)); });
      list(ring, y);
      uint8_t* to_row = out + (y - begin) * out_row;
      kernels_.blend_rows(window, rows_.view(), y, in_row, copies[0]);
      if (horizontal_) {
        const uint8_t* from = copies[0];
        kernels_.resize_rows(&from, 1, columns_.view(), task_.channels, &to_row);
      } else {
        std::copy_n(copies[0] + task_.x * task_.channels, out_row, to_row);
      }
    }
  }

  const Resampling resampling_;
  const kernels::ResizeKernels& kernels_;
  ResizeTask task_;
  Reduction reduction_;
  bool horizontal_ = false, vertical_ = false, horizontal_first_ = true;
  int window_ = 1;  ///< Most source rows of an output row.
  Taps<double> exact_;
  FixedTaps columns_, rows_;
};

}  // namespace

std::unique_ptr<Resampler> MakePillowResampler(const Resampling& resampling,
                                               const kernels::KernelTable& table) {
  return std::make_unique<PillowResampler>(resampling, table);
}

}  // namespace octet
