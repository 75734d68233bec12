// Which pixel each output takes is worked out once for each axis, by the framework's formula; rows
// are then picked.
#include "engine/src/pixels/resampler_nearest.h"

#include <algorithm>
#include <cmath>

#include "engine/src/pixels/taps.h"
#include "formats/base/round.h"

namespace octet {
namespace {

/// Image.resize's: ImagingScaleAffine (src/libImaging/Geometry.c) adds the step up.
void PillowPositions(const Axis& axis, std::vector<int32_t>* at) {
  const double step = static_cast<double>(axis.in_size) / static_cast<double>(axis.out_size);
  double x = step * 0.5;
  for (int64_t i = 0; i < axis.begin; ++i) x += step;
  for (int i = 0; i < axis.outputs; ++i, x += step) (*at)[i] = static_cast<int32_t>(x);
}

/// resize_nearest_neighbor_op.cc.
void TensorflowPositions(const Axis& axis, Coordinates coordinates, std::vector<int32_t>* at) {
  const float scale = TensorflowScale(axis, coordinates);
  for (int i = 0; i < axis.outputs; ++i) {
    const auto x = static_cast<float>(axis.begin + i);
    const float position = coordinates == Coordinates::kHalfPixel ? std::floor((x + 0.5f) * scale)
                           : coordinates == Coordinates::kAlignCorners ? RoundHalfAway(x * scale)
                                                                       : std::floor(x * scale);
    (*at)[i] = static_cast<int32_t>(position);
  }
}

/// INTER_NEAREST (modules/imgproc/src/resize.cpp).
void OpencvPositions(const Axis& axis, std::vector<int32_t>* at) {
  const double step = OpencvStep(axis);
  for (int i = 0; i < axis.outputs; ++i)
    (*at)[i] = static_cast<int32_t>(std::floor(static_cast<double>(axis.begin + i) * step));
}

class NearestResampler : public Resampler {
 public:
  NearestResampler(const Resampling& resampling, const kernels::KernelTable& table)
      : resampling_(resampling), kernels_(table.pixels->resize) {}

  int64_t Bytes(const ResizeTask& task) const override {
    return (int64_t{task.width} + task.height) * 4;
  }

  void Prepare(const ResizeTask& task) override {
    task_ = task;
    Find(Columns(task), &columns_);
    Find(Rows(task), &rows_);
  }

  int64_t ScratchBytes() const override {
    return resampling_.to_float ? int64_t{task_.width} * task_.channels : 0;
  }

  void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const override {
    const int64_t n = int64_t{task_.width} * task_.channels;
    for (int y = begin; y < end; ++y) {
      uint8_t* to = resampling_.to_float ? scratch : static_cast<uint8_t*>(out) + (y - begin) * n;
      kernels_.pick_row(rows->Row(rows_[y]), columns_.data(), task_.width, task_.channels, to);
      if (resampling_.to_float) std::copy_n(scratch, n, static_cast<float*>(out) + (y - begin) * n);
    }
  }

 private:
  void Find(const Axis& axis, std::vector<int32_t>* at) const {
    at->resize(axis.outputs);
    switch (resampling_.framework) {
      case Framework::kPillow:
        PillowPositions(axis, at);
        break;
      case Framework::kTensorflow:
        TensorflowPositions(axis, resampling_.coordinates, at);
        break;
      case Framework::kOpencv:
        OpencvPositions(axis, at);
        break;
    }
    for (int32_t& x : *at) x = std::clamp(x, 0, axis.in_size - 1);
  }

  const Resampling resampling_;
  const kernels::ResizeKernels& kernels_;
  ResizeTask task_;
  std::vector<int32_t> columns_, rows_;
};

}  // namespace

std::unique_ptr<Resampler> MakeNearestResampler(const Resampling& resampling,
                                                const kernels::KernelTable& table) {
  return std::make_unique<NearestResampler>(resampling, table);
}

}  // namespace octet
