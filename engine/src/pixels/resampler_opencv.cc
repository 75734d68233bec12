// MethodOf chooses among cv2.resize's ways of computing as that does. All but copies and areas of
// whole factors filter the columns of source rows into a ring of rows, and then blend rows of the
// ring. Positions, weights and sums are computed in the types and the order of the original, so
// that they round alike.
#include "engine/src/pixels/resampler_opencv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "engine/src/pixels/carver.h"
#include "engine/src/pixels/row_ring.h"
#include "engine/src/pixels/taps.h"

namespace octet {
namespace {

// What hal::resize (modules/imgproc/src/resize.cpp) makes of a task. Where Intel's IPP computes in
// its place, as in the wheels, the names say so.
enum class Method {
  kCopy,
  kLinear8,     ///< In fixed point.
  kCubic8,      ///< In fixed point; images that IPP refuses.
  kCubicIpp,    ///< In float, rounded at the end.
  kTaps,        ///< In float, by taps.
  kWholeAreas,  ///< Area by whole factors.
};

/// Images with fewer columns or rows than a filter's taps IPP leaves to OpenCV.
bool IppTakes(const ResizeTask& task, int taps) {
  return std::min(task.in_width, task.in_height) >= taps;
}

/// The step where it is a whole number, else 0.
int WholeStep(const Axis& axis) {
  const double step = OpencvStep(axis), whole = std::nearbyint(step);
  return std::fabs(step - whole) < std::numeric_limits<double>::epsilon() ? static_cast<int>(whole)
                                                                          : 0;
}

/// Where an output looks: at pixel `at` and `fraction` of the way to the next.
struct Position {
  int at;
  float fraction;
};

Position PositionOf(const Axis& axis, int i) {
  const auto x = static_cast<double>(axis.begin + i);
  const auto at = static_cast<float>((x + 0.5) * OpencvStep(axis) - 0.5);
  const float floor = std::floor(at);
  return {static_cast<int>(floor), at - floor};
}

/// INTER_AREA where it enlarges.
Position AreaPositionOf(const Axis& axis, int i) {
  const auto x = static_cast<double>(axis.begin + i);
  const double floor = std::floor(x * OpencvStep(axis));
  const auto fraction = static_cast<float>((x + 1.0) - (floor + 1.0) * OpencvInverse(axis));
  return {static_cast<int>(floor), fraction <= 0.0f ? 0.0f : fraction - std::floor(fraction)};
}

Position IppPositionOf(const Axis& axis, int64_t x) {
  const double at = (static_cast<double>(x) + 0.5) *
                        (static_cast<double>(axis.in_size) / static_cast<double>(axis.out_size)) -
                    0.5;
  const double floor = std::floor(at);
  return {static_cast<int>(floor), static_cast<float>(at - floor)};
}

/// OpenCV's own weights of bicubic.
std::array<float, 4> CubicWeights(float x) {
  constexpr float a = -0.75f;
  std::array<float, 4> w;
  w[0] = ((a * (x + 1) - 5 * a) * (x + 1) + 8 * a) * (x + 1) - 4 * a;
  w[1] = ((a + 2) * x - (a + 3)) * x * x + 1;
  w[2] = ((a + 2) * (1 - x) - (a + 3)) * (1 - x) * (1 - x) + 1;
  w[3] = 1.0f - w[0] - w[1] - w[2];
  return w;
}

/// IPP's: the distance from the first pixel is rounded to float, all else exact until the end.
std::array<float, 4> IppCubicWeights(float fraction) {
  const double d = double{1.0f + fraction};
  const auto far = [](double x) { return -0.75 * (x - 1.0) * (x - 2.0) * (x - 2.0); };
  const auto near = [](double x) { return (1.25 * x - 2.25) * x * x + 1.0; };
  return {static_cast<float>(far(d)), static_cast<float>(near(d - 1.0)),
          static_cast<float>(near(2.0 - d)), static_cast<float>(far(3.0 - d))};
}

constexpr int kFixedBits = 11;
int16_t Fixed(float weight) {
  return static_cast<int16_t>(std::lrint(weight * static_cast<float>(1 << kFixedBits)));
}

/// One axis whose outputs have `taps` taps each, all of them inside: at[i * taps + j].
template <typename Weight>
struct InnerTaps {
  int taps = 0;
  std::vector<int32_t> at;
  std::vector<Weight> weights;

  static int64_t Bytes(const Axis& axis, int taps) {
    return int64_t{axis.outputs} * taps * static_cast<int64_t>(sizeof(int32_t) + sizeof(Weight));
  }
  /// weigh(i, w) gives the weights of output i and returns where the first is, maybe outside.
  template <typename Weigh>
  void Find(const Axis& axis, int taps_per_output, const Weigh& weigh) {
    taps = taps_per_output;
    at.resize(static_cast<size_t>(axis.outputs) * taps);
    weights.resize(at.size());
    for (int i = 0; i < axis.outputs; ++i) {
      const int first = weigh(i, &weights[i * taps]);
      for (int j = 0; j < taps; ++j) at[i * taps + j] = std::clamp(first + j, 0, axis.in_size - 1);
    }
  }
};

/// The outputs whose four taps of bicubic are inside, of the whole axis: [begin, end).
struct Inside {
  int64_t begin, end;
};
Inside InsideOf(const Axis& axis) {
  // The first output that looks at pixel `at` or behind it.
  const auto first = [&](int at) {
    int64_t low = 0, high = axis.out_size;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (IppPositionOf(axis, middle).at < at) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  };
  const int64_t begin = first(1);
  return {begin, std::max(begin, first(axis.in_size - 2))};
}

class OpencvResampler : public Resampler {
 public:
  OpencvResampler(const Resampling& resampling, const kernels::KernelTable& table)
      : resampling_(resampling), floats_(table.pixels->resize), kernels_(table.pixels->opencv) {}

  int64_t Bytes(const ResizeTask& task) const override {
    const auto both = [&](const auto& bytes) { return bytes(Columns(task)) + bytes(Rows(task)); };
    switch (MethodOf(task)) {
      case Method::kCopy:
      case Method::kWholeAreas:
        return 0;
      case Method::kLinear8:
        return both([](const Axis& axis) { return InnerTaps<int16_t>::Bytes(axis, 2); });
      case Method::kCubic8:
        return both([](const Axis& axis) { return InnerTaps<int16_t>::Bytes(axis, 4); });
      case Method::kCubicIpp:
        return both([](const Axis& axis) { return InnerTaps<float>::Bytes(axis, 4); });
      case Method::kTaps:
        break;
    }
    return both([&](const Axis& axis) { return axis.outputs * (8 + 4 * TapsOf(task, axis)); });
  }

  void Prepare(const ResizeTask& task) override {
    task_ = task;
    method_ = MethodOf(task);
    switch (method_) {
      case Method::kCopy:
      case Method::kWholeAreas:
        break;
      case Method::kLinear8:
        FindLinear8();
        break;
      case Method::kCubic8:
        for (const auto& [axis, taps] :
             {std::pair(Columns(task), &columns8_), {Rows(task), &rows8_}}) {
          taps->Find(axis, 4, [&axis = axis](int i, int16_t* w) {
            const Position p = PositionOf(axis, i);
            std::ranges::transform(CubicWeights(p.fraction), w, Fixed);
            return p.at - 1;
          });
        }
        break;
      case Method::kCubicIpp:
        for (const auto& [axis, taps] :
             {std::pair(Columns(task), &columns_), {Rows(task), &rows_}}) {
          taps->Find(axis, 4, [&axis = axis](int i, float* w) {
            const Position p = IppPositionOf(axis, axis.begin + i);
            std::ranges::copy(IppCubicWeights(p.fraction), w);
            return p.at - 1;
          });
        }
        break;
      case Method::kTaps:
        FindTaps(Columns(task), &column_taps_);
        FindTaps(Rows(task), &row_taps_);
        capacity_ = row_taps_.longest();
        break;
    }
  }

  int64_t ScratchBytes() const override {
    const int64_t n = RowElements();
    switch (method_) {
      case Method::kCopy:
        return 0;
      case Method::kLinear8:
        return Carver::Bytes<int16_t>(2 * n);
      case Method::kCubic8:
        return Carver::Bytes<int32_t>(4 * n);
      case Method::kCubicIpp:
        return Carver::Bytes<float>(n) + Carver::Bytes<float>(12 * n);
      case Method::kTaps:
        return Carver::Bytes<float>(n) + Carver::Bytes<const float*>(row_taps_.taps) +
               Carver::Bytes<float>(n * capacity_);
      case Method::kWholeAreas:
        return Carver::Bytes<float>(n) + Carver::Bytes<uint32_t>(n) +
               Carver::Bytes<uint32_t>(n * WholeStep(Columns(task_)));
    }
    return 0;
  }

  void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const override {
    Carver carver(scratch);
    switch (method_) {
      case Method::kCopy:
        for (int y = begin; y < end; ++y) {
          const int64_t n = RowElements();
          const uint8_t* in = rows->Row(static_cast<int>(task_.y) + y) + task_.x * task_.channels;
          if (resampling_.to_float) {
            std::copy_n(in, n, static_cast<float*>(out) + (y - begin) * n);
          } else {
            std::copy_n(in, n, static_cast<uint8_t*>(out) + (y - begin) * n);
          }
        }
        break;
      case Method::kLinear8:
        RunLinear8(rows, begin, end, &carver, static_cast<uint8_t*>(out));
        break;
      case Method::kCubic8:
        RunCubic8(rows, begin, end, &carver, static_cast<uint8_t*>(out));
        break;
      case Method::kCubicIpp:
        RunCubicIpp(rows, begin, end, &carver, out);
        break;
      case Method::kTaps:
        RunTaps(rows, begin, end, &carver, out);
        break;
      case Method::kWholeAreas:
        RunWholeAreas(rows, begin, end, &carver, out);
        break;
    }
  }

 private:
  int64_t RowElements() const { return int64_t{task_.width} * task_.channels; }

  bool IsArea() const { return resampling_.filter == ResizeFilter::kArea; }
  /// INTER_AREA where an axis is enlarged: a bilinear with positions of its own.
  bool IsEnlargingArea(const ResizeTask& task) const {
    return IsArea() && (OpencvStep(Columns(task)) < 1.0 || OpencvStep(Rows(task)) < 1.0);
  }

  Method MethodOf(const ResizeTask& task) const {
    if (task.in_width == task.resized_width && task.in_height == task.resized_height)
      return Method::kCopy;
    if (resampling_.filter == ResizeFilter::kBicubic) {
      if (IppTakes(task, 4)) return Method::kCubicIpp;
      return resampling_.to_float ? Method::kTaps : Method::kCubic8;
    }
    const int x = WholeStep(Columns(task)), y = WholeStep(Rows(task));
    if (IsArea() ? x >= 1 && y >= 1 : !resampling_.to_float && x == 2 && y == 2)
      return Method::kWholeAreas;
    const bool linear = !IsArea() || IsEnlargingArea(task);
    return linear && !resampling_.to_float ? Method::kLinear8 : Method::kTaps;
  }

  Position LinearPosition(const Axis& axis, int i) const {
    return IsEnlargingArea(task_) ? AreaPositionOf(axis, i) : PositionOf(axis, i);
  }

  void FindLinear8() {
    const Axis columns = Columns(task_), rows = Rows(task_);
    const auto set = [](float fraction, int16_t* w) {
      w[0] = Fixed(1.0f - fraction);
      w[1] = Fixed(fraction);
    };
    columns8_.Find(columns, 2, [&](int i, int16_t* w) {
      Position p = LinearPosition(columns, i);
      if (p.at < 0 || p.at >= columns.in_size - 1)
        p = {std::clamp(p.at, 0, columns.in_size - 1), 0.0f};
      set(p.fraction, w);
      return p.at;
    });
    rows8_.Find(rows, 2, [&](int i, int16_t* w) {
      const Position p = LinearPosition(rows, i);
      set(p.fraction, w);
      return p.at;
    });
    for (int i = 0; i < rows.outputs; ++i) {  // No row without a weight is asked for.
      if (rows8_.weights[2 * i + 1] == 0) rows8_.at[2 * i + 1] = rows8_.at[2 * i];
    }
  }

  int64_t TapsOf(const ResizeTask& task, const Axis& axis) const {
    if (resampling_.filter == ResizeFilter::kBicubic) return 4;
    if (!IsArea() || IsEnlargingArea(task)) return 2;
    return std::min(static_cast<int64_t>(OpencvStep(axis)) + 3, int64_t{axis.in_size});
  }

  void FindTaps(const Axis& axis, Taps<float>* taps) const {
    taps->Reserve(axis, static_cast<int>(TapsOf(task_, axis)));
    for (int i = 0; i < axis.outputs; ++i) {
      float* w = taps->weights.data() + static_cast<int64_t>(i) * taps->taps;
      if (resampling_.filter == ResizeFilter::kBicubic) {
        const Position p = PositionOf(axis, i);
        std::ranges::copy(CubicWeights(p.fraction), w);
        taps->first[i] = p.at - 1;
        taps->count[i] = 4;
      } else if (!IsArea() || IsEnlargingArea(task_)) {
        const Position p = !IsArea() && IppTakes(task_, 2) ? IppPositionOf(axis, axis.begin + i)
                                                           : LinearPosition(axis, i);
        w[0] = 1.0f - p.fraction;
        w[1] = p.fraction;
        taps->first[i] = p.at;
        taps->count[i] = 2;
      } else {
        FindAreaTaps(axis, i, taps, w);
      }
    }
  }

  /// computeResizeAreaTab.
  static void FindAreaTaps(const Axis& axis, int i, Taps<float>* taps, float* w) {
    const double step = OpencvStep(axis), begin = static_cast<double>(axis.begin + i) * step,
                 end = begin + step, size = std::min(step, axis.in_size - begin);
    const int whole_end = std::min(static_cast<int>(std::floor(end)), axis.in_size - 1),
              whole_begin = std::min(static_cast<int>(std::ceil(begin)), whole_end);
    int first = whole_begin, count = 0;
    if (whole_begin - begin > 1e-3) {
      --first;
      w[count++] = static_cast<float>((whole_begin - begin) / size);
    }
    for (int at = whole_begin; at < whole_end; ++at) w[count++] = static_cast<float>(1.0 / size);
    if (end - whole_end > 1e-3)
      w[count++] = static_cast<float>(std::min({end - whole_end, 1.0, size}) / size);
    taps->first[i] = first;
    taps->count[i] = count;
  }

  void RunLinear8(PixelRows* rows, int begin, int end, Carver* carver, uint8_t* out) const {
    const int64_t n = RowElements();
    RowRing<int16_t> ring(carver->Take<int16_t>(2 * n), n, 2);
    for (int y = begin; y < end; ++y, out += n) {
      const int top = rows8_.at[2 * y], bottom = rows8_.at[2 * y + 1];
      ring.Fill(top, bottom + 1, bottom + 1, 1, [&](int row, int) {
        kernels_.linear_row(rows->Row(row), columns8_.at.data(), columns8_.weights.data(),
                            task_.width, task_.channels, ring.row(row));
      });
      kernels_.linear_rows(ring.row(top), ring.row(bottom), rows8_.weights[2 * y],
                           rows8_.weights[2 * y + 1], n, out);
    }
  }

  void RunCubic8(PixelRows* rows, int begin, int end, Carver* carver, uint8_t* out) const {
    const int64_t n = RowElements(), whole = task_.resized_width * task_.channels;
    RowRing<int32_t> ring(carver->Take<int32_t>(4 * n), n, 4);
    for (int y = begin; y < end; ++y, out += n) {
      const int32_t* at = &rows8_.at[4 * y];
      const int16_t* w = &rows8_.weights[4 * y];
      ring.Fill(at[0], at[3] + 1, at[3] + 1, 1, [&](int row, int) {
        const uint8_t* in = rows->Row(row);
        for (int64_t i = 0; i < n; ++i) {
          const int64_t x = i / task_.channels, c = i % task_.channels;
          int32_t sum = 0;
          for (int j = 0; j < 4; ++j) {
            sum += in[columns8_.at[4 * x + j] * task_.channels + c] * columns8_.weights[4 * x + j];
          }
          ring.row(row)[i] = sum;
        }
      });
      for (int64_t i = 0; i < n; ++i) {
        // OpenCV's vectors compute in float, what is left of a row it does in integers.
        int value = 0;
        if (task_.x * task_.channels + i < whole / 8 * 8) {
          float sum = 0.0f;
          for (int j = 3; j >= 0; --j) {
            sum += static_cast<float>(ring.row(at[j])[i]) *
                   (static_cast<float>(w[j]) / static_cast<float>(1 << 2 * kFixedBits));
          }
          value = static_cast<int>(std::lrint(sum));
        } else {
          int32_t sum = 1 << (2 * kFixedBits - 1);
          for (int j = 0; j < 4; ++j) sum += ring.row(at[j])[i] * w[j];
          value = sum >> (2 * kFixedBits);
        }
        out[i] = static_cast<uint8_t>(std::clamp(value, 0, 255));
      }
    }
  }

  void RunCubicIpp(PixelRows* rows, int begin, int end, Carver* carver, void* out) const {
    const int64_t n = RowElements();
    const int channels = task_.channels;
    const Axis x = Columns(task_), y_axis = Rows(task_);
    const Inside columns = InsideOf(x), inside = InsideOf(y_axis);
    const auto column = [&](int64_t at) {
      return static_cast<int>(std::clamp<int64_t>(at - x.begin, 0, x.outputs));
    };
    // With one channel IPP takes four columns at once.
    const int64_t rest = columns.end - (columns.end - columns.begin) % 4;
    const kernels::OpencvCubicView view = {
        x.outputs,    columns_.at.data(), columns_.weights.data(), column(columns.begin),
        column(rest), column(columns.end)};
    float* result = carver->Take<float>(n);
    // Of each row what outputs inside want, and what those at the border do: the inner two of
    // their four rows, and the outer ones.
    RowRing<float> ring(carver->Take<float>(12 * n), 3 * n, 4);
    const int64_t left = int64_t{view.begin} * channels, right = int64_t{view.end} * channels;
    for (int y = begin; y < end; ++y) {
      const int32_t* at = &rows_.at[4 * y];
      ring.Fill(at[0], at[3] + 1, at[3] + 1, 1, [&](int row, int) {
        const uint8_t* in = rows->Row(row);
        float *inside_row = ring.row(row), *inner = inside_row + n, *outer = inner + n;
        kernels_.cubic_row(in, view, channels, inside_row);
        const bool border = row < 3 || row >= task_.in_height - 3;
        kernels_.cubic_border(in, view, 0, border ? view.outputs : view.begin, channels, inner,
                              outer);
        if (!border)
          kernels_.cubic_border(in, view, view.end, view.outputs, channels, inner, outer);
      });
      float* to = resampling_.to_float ? static_cast<float*>(out) + (y - begin) * n : result;
      const float* weights = &rows_.weights[4 * y];
      const auto border_part = [&](int64_t first, int64_t last) {
        const float* window[4];
        for (int j = 0; j < 4; ++j)
          window[j] = ring.row(at[j]) + (j == 1 || j == 2 ? n : 2 * n) + first;
        kernels_.cubic_border_rows(window, weights, last - first, to + first);
      };
      const int64_t whole_y = task_.y + y;
      if (whole_y < inside.begin || whole_y >= inside.end) {
        border_part(0, n);
      } else {
        const float* window[4];
        for (int j = 0; j < 4; ++j) window[j] = ring.row(at[j]) + left;
        border_part(0, left);
        kernels_.cubic_rows(window, weights, right - left, to + left);
        border_part(right, n);
      }
      if (!resampling_.to_float)
        kernels_.round_row(result, n, static_cast<uint8_t*>(out) + (y - begin) * n);
    }
  }

  void RunTaps(PixelRows* rows, int begin, int end, Carver* carver, void* out) const {
    const int64_t n = RowElements();
    float* result = carver->Take<float>(n);
    auto** window = carver->Take<const float*>(row_taps_.taps);
    RowRing<float> ring(carver->Take<float>(n * capacity_), n, capacity_);
    for (int y = begin; y < end; ++y) {
      const int first = row_taps_.begin(y), last = row_taps_.end(y);
      ring.Fill(first, last, last, 1, [&](int row, int) {
        (IsArea() && !IsEnlargingArea(task_) ? kernels_.area_row : floats_.resize_row_u8_f32)(
            rows->Row(row), column_taps_.view(), task_.channels, ring.row(row));
      });
      for (int j = 0; j < row_taps_.count[y]; ++j)
        window[j] = ring.row(std::clamp(row_taps_.first[y] + j, 0, row_taps_.size - 1));
      float* to = resampling_.to_float ? static_cast<float*>(out) + (y - begin) * n : result;
      floats_.blend_rows_f32_f32(window, row_taps_.of(y), row_taps_.count[y], n, 1.0f, to);
      if (!resampling_.to_float)
        kernels_.round_row(result, n, static_cast<uint8_t*>(out) + (y - begin) * n);
    }
  }

  void RunWholeAreas(PixelRows* rows, int begin, int end, Carver* carver, void* out) const {
    const int64_t n = RowElements();
    const int width = WholeStep(Columns(task_)), height = WholeStep(Rows(task_));
    float* result = carver->Take<float>(n);
    auto* sums = carver->Take<uint32_t>(n);
    auto* columns = carver->Take<uint32_t>(n * width);
    const float scale = 1.0f / static_cast<float>(int64_t{width} * height);
    // Halves to even, but upwards with 2x2: half of a step more decides.
    const float bias = width == 2 && height == 2 && !resampling_.to_float ? 0.125f : 0.0f;
    for (int y = begin; y < end; ++y) {
      std::fill_n(columns, n * width, 0u);
      for (int j = 0; j < height; ++j) {
        const int64_t row = (task_.y + y) * height + j;
        kernels_.add_row(rows->Row(static_cast<int>(row)) + task_.x * width * task_.channels,
                         n * width, columns);
      }
      kernels_.sum_columns(columns, width, task_.width, task_.channels, sums);
      float* to = resampling_.to_float ? static_cast<float*>(out) + (y - begin) * n : result;
      kernels_.scale_sums(sums, n, scale, bias, to);
      if (!resampling_.to_float)
        kernels_.round_row(result, n, static_cast<uint8_t*>(out) + (y - begin) * n);
    }
  }

  const Resampling resampling_;
  const kernels::ResizeKernels& floats_;
  const kernels::OpencvKernels& kernels_;
  ResizeTask task_;
  Method method_ = Method::kCopy;
  InnerTaps<int16_t> columns8_, rows8_;
  InnerTaps<float> columns_, rows_;
  Taps<float> column_taps_, row_taps_;
  int capacity_ = 1;
};

}  // namespace

std::unique_ptr<Resampler> MakeOpencvResampler(const Resampling& resampling,
                                               const kernels::KernelTable& table) {
  return std::make_unique<OpencvResampler>(resampling, table);
}

}  // namespace octet
