// Images and a way to scale them, for the tests of resamplers.
#ifndef OCTET_TESTS_UNIT_RESAMPLE_TEST_UTIL_H_
#define OCTET_TESTS_UNIT_RESAMPLE_TEST_UTIL_H_

#include <algorithm>
#include <memory>
#include <vector>

#include "engine/src/pixels/resampler.h"

namespace octet::testing {

/// Noise from a linear congruential generator, or two shades of it.
inline std::vector<uint8_t> Noise(int width, int height, int channels, bool shades) {
  std::vector<uint8_t> pixels(static_cast<size_t>(width) * height * channels);
  auto state = static_cast<uint32_t>((width * 31 + height) * 31 + channels);
  for (uint8_t& p : pixels) {
    state = state * 1664525u + 1013904223u;
    p = static_cast<uint8_t>(state >> 24);
    if (shades) p = p < 128 ? 37 : 216;
  }
  return pixels;
}

/// Rows of an image, in memory that each call overwrites; what lies behind a row changes.
class TestRows : public PixelRows {
 public:
  TestRows(const std::vector<uint8_t>& image, int width, int height, int channels)
      : image_(image), row_(static_cast<size_t>(width) * channels + kPixelOverread) {
    width_ = width;
    height_ = height;
    channels_ = channels;
  }
  const uint8_t* Row(int y) override {
    std::ranges::fill(row_, static_cast<uint8_t>(++calls_ * 77));
    const auto n = static_cast<size_t>(width_) * channels_;
    std::copy_n(image_.begin() + static_cast<int64_t>(n) * y, n, row_.begin());
    asked_.push_back(y);
    return row_.data();
  }
  const std::vector<int>& asked() const { return asked_; }

 private:
  const std::vector<uint8_t>& image_;
  std::vector<uint8_t> row_;
  std::vector<int> asked_;
  int calls_ = 0;
};

/// The task's rectangle; `part` rows at a time, 0 = all.
template <typename T>
std::vector<T> Resample(const Resampling& resampling, const kernels::KernelTable& table,
                        const ResizeTask& task, const std::vector<uint8_t>& image, int part = 0) {
  const std::unique_ptr<Resampler> resampler = Resampler::Create(resampling, table);
  resampler->Prepare(task);
  std::vector<uint8_t> scratch(static_cast<size_t>(resampler->ScratchBytes()) + 64);
  auto* aligned =
      reinterpret_cast<uint8_t*>((reinterpret_cast<uintptr_t>(scratch.data()) + 63) / 64 * 64);
  const int64_t n = int64_t{task.width} * task.channels;
  std::vector<T> out(static_cast<size_t>(n * task.height));
  if (part == 0) part = task.height;
  for (int y = 0; y < task.height; y += part) {
    TestRows rows(image, task.in_width, task.in_height, task.channels);
    std::ranges::fill(scratch, static_cast<uint8_t>(y * 31 + 99));
    resampler->Run(&rows, y, std::min(task.height, y + part), aligned, out.data() + n * y);
  }
  return out;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_RESAMPLE_TEST_UTIL_H_
