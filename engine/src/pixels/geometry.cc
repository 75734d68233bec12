// Sizes and offsets are computed in the framework's own type (integers, Python's doubles,
// TensorFlow's and Keras' floats), as another one would round some of them to the next pixel.
#include "engine/src/pixels/geometry.h"

#include <algorithm>
#include <cmath>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

struct Size {
  int64_t width = 0, height = 0;
};

/// Half of it, rounded half to even.
int64_t Centre(int64_t surplus) { return surplus / 2 + (surplus % 4 == 3 ? 1 : 0); }

/// Half to even, as Python's round and numpy's.
int64_t Round(double v) {
  const double floor = std::floor(v);
  const bool up = v - floor > 0.5 || (v - floor == 0.5 && std::fmod(floor, 2.0) != 0.0);
  return static_cast<int64_t>(floor) + (up ? 1 : 0);
}

struct Letterbox {
  Size size;
  int64_t x = 0, y = 0;
};

Letterbox PillowLetterbox(Size image, Size to) {
  Letterbox box{to};
  const auto w = static_cast<double>(image.width), h = static_cast<double>(image.height);
  const double ratio = w / h,
               wanted = static_cast<double>(to.width) / static_cast<double>(to.height);
  if (ratio > wanted) box.size.height = Round(h / w * static_cast<double>(to.width));
  if (ratio < wanted) box.size.width = Round(w / h * static_cast<double>(to.height));
  box.x = Round(static_cast<double>(to.width - box.size.width) * 0.5);
  box.y = box.size.width != to.width
              ? 0
              : Round(static_cast<double>(to.height - box.size.height) * 0.5);
  return box;
}

Letterbox TensorflowLetterbox(Size image, Size to) {
  const auto w = static_cast<float>(image.width), h = static_cast<float>(image.height),
             to_w = static_cast<float>(to.width), to_h = static_cast<float>(to.height);
  const float ratio = std::max(w / to_w, h / to_h);
  const float new_w = w / ratio, new_h = h / ratio;
  const auto half = [](float free) {
    return std::max<int64_t>(0, static_cast<int64_t>(std::floor(free / 2.0f)));
  };
  return {{static_cast<int64_t>(std::floor(new_w)), static_cast<int64_t>(std::floor(new_h))},
          half(to_w - new_w),
          half(to_h - new_h)};
}

Letterbox OpencvLetterbox(Size image, Size to) {
  const auto w = static_cast<double>(image.width), h = static_cast<double>(image.height);
  const double ratio =
      std::min(static_cast<double>(to.height) / h, static_cast<double>(to.width) / w);
  Letterbox box{{Round(w * ratio), Round(h * ratio)}};
  const auto border = [](int64_t free) { return Round(static_cast<double>(free) / 2.0 - 0.1); };
  box.x = border(to.width - box.size.width);
  box.y = border(to.height - box.size.height);
  return box;
}

}  // namespace

Result<ResizeGeometry> FindGeometry(const Preprocessing& p, int image_width, int image_height,
                                    int channels, int width, int height) {
  ResizeGeometry g;
  ResizeTask& t = g.task;
  t = {image_width, image_height, channels, width, height, 0, 0, width, height};
  const int64_t w = image_width, h = image_height;
  switch (p.resize) {
    case ResizeRule::kNone:
      if (image_width != width || image_height != height) {
        return InvalidArgument(StrCat("image is ", w, "x", h,
                                      " and the model does not resize, expected ", width, "x",
                                      height));
      }
      break;
    case ResizeRule::kStretch:
      break;
    case ResizeRule::kCenterCrop: {
      const int64_t shorter = p.resize_shorter;
      if (shorter < std::max(width, height) || shorter > kMaxImageSide) {
        return InvalidArgument(StrCat("resize_shorter is ", shorter, ", expected ",
                                      std::max(width, height), " (the input size) to ",
                                      kMaxImageSide));
      }
      t.resized_width = w <= h ? shorter : shorter * w / h;
      t.resized_height = w <= h ? shorter * h / w : shorter;
      t.x = Centre(t.resized_width - width);
      t.y = Centre(t.resized_height - height);
      break;
    }
    case ResizeRule::kLetterbox: {
      const Size image{w, h}, to{width, height};
      const Letterbox box =
          p.resampling.framework == Framework::kPillow       ? PillowLetterbox(image, to)
          : p.resampling.framework == Framework::kTensorflow ? TensorflowLetterbox(image, to)
                                                             : OpencvLetterbox(image, to);
      if (box.size.width < 1 || box.size.height < 1) {
        return InvalidArgument(StrCat("image is ", w, "x", h, ", of which scaling into ", width,
                                      "x", height, " leaves no pixel"));
      }
      t.resized_width = t.width = static_cast<int>(box.size.width);
      t.resized_height = t.height = static_cast<int>(box.size.height);
      g.to_x = static_cast<int>(box.x);
      g.to_y = static_cast<int>(box.y);
      break;
    }
    case ResizeRule::kCropToAspect: {
      const auto part = [](int64_t other, int64_t to, int64_t to_other, int64_t limit) {
        // In floats, as Keras.
        const auto whole =
            static_cast<int64_t>(static_cast<float>(other * to) / static_cast<float>(to_other));
        return static_cast<int>(std::max<int64_t>(1, std::min(limit, whole)));
      };
      t.in_height = part(w, height, width, h);
      t.in_width = part(h, width, height, w);
      g.source_x = (image_width - t.in_width) / 2;
      g.source_y = (image_height - t.in_height) / 2;
      break;
    }
  }
  return g;
}

}  // namespace octet
