// Filter taps: which pixels of the source make a pixel of the result, and with what weights.
#ifndef OCTET_ENGINE_SRC_PIXELS_TAPS_H_
#define OCTET_ENGINE_SRC_PIXELS_TAPS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/src/pixels/resampler.h"
#include "formats/model/metadata.h"
#include "kernels/pixel_kernels.h"

namespace octet {

/// One axis of a ResizeTask.
struct Axis {
  int in_size = 0;
  int64_t out_size = 0;  ///< Of the whole result.
  int64_t begin = 0;     ///< First output that is wanted.
  int outputs = 0;       ///< How many are.
  /// What of the input makes the whole result, from 0 on; Pillow's reduced images end inside a
  /// pixel. 0 = in_size.
  double in_extent = 0.0;
};

inline Axis Columns(const ResizeTask& t) { return {t.in_width, t.resized_width, t.x, t.width}; }
inline Axis Rows(const ResizeTask& t) { return {t.in_height, t.resized_height, t.y, t.height}; }

/// Owner of a kernels::TapsView; see there.
template <typename Weight>
struct Taps {
  int size = 0, taps = 0;
  std::vector<int32_t> first, count;
  std::vector<Weight> weights;

  int outputs() const { return static_cast<int>(first.size()); }
  /// Input of output i, clamped to the image: [begin(i), end(i)).
  int begin(int i) const { return std::clamp(first[i], 0, size - 1); }
  int end(int i) const { return std::clamp(first[i] + count[i], 1, size); }
  const Weight* of(int i) const { return weights.data() + static_cast<int64_t>(i) * taps; }

  kernels::TapsView<Weight> view() const {
    return {size, outputs(), taps, first.data(), count.data(), weights.data()};
  }
  void Reserve(const Axis& axis, int taps_per_output) {
    size = axis.in_size;
    taps = taps_per_output;
    first.assign(axis.outputs, 0);
    count.assign(axis.outputs, 0);
    weights.assign(static_cast<size_t>(axis.outputs) * taps_per_output, Weight{0});
  }
  /// Most inputs that an output needs.
  int longest() const {
    int most = 1;
    for (int i = 0; i < outputs(); ++i) most = std::max(most, end(i) - begin(i));
    return most;
  }
};

/// Taps per output, at most, that the functions below make of an axis.
int64_t PillowTapsPerOutput(ResizeFilter filter, const Axis& axis);
int64_t TensorflowTapsPerOutput(const Resampling& r, const Axis& axis);

/// Pillow's, normalized (src/libImaging/Resample.c, precompute_coeffs). kBox, kBilinear, kHamming,
/// kBicubic, kLanczos.
void PillowTaps(ResizeFilter filter, const Axis& axis, Taps<double>* taps);

/// Whether Pillow filters the columns of a row before the rows. Up to version 12 it does but for
/// images that are 100 times as high as wide (Image.resize).
bool PillowIsHorizontalFirst(Passes passes, int64_t in_width, int64_t in_height, int64_t width,
                             int64_t height);

/// TensorFlow's (core/kernels/image): scale_and_translate_op.cc for filters with antialias and for
/// kLanczos and kLanczos5, resize_bicubic_op.cc for kBicubic, resize_area_op.cc for kArea.
void TensorflowTaps(const Resampling& r, const Axis& axis, Taps<float>* taps);

/// TensorFlow's step from an output to the next, in pixels of the source (image_resizer_state.h).
float TensorflowScale(const Axis& axis, Coordinates coordinates);
/// OpenCV's, and what it is the inverse of (modules/imgproc/src/resize.cpp).
inline double OpencvInverse(const Axis& axis) {
  return static_cast<double>(axis.out_size) / static_cast<double>(axis.in_size);
}
inline double OpencvStep(const Axis& axis) { return 1.0 / OpencvInverse(axis); }
/// Where TensorFlow's output i looks, in pixels of the source, whose centres are whole numbers.
float TensorflowPosition(int64_t i, float scale, Coordinates coordinates);

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_TAPS_H_
