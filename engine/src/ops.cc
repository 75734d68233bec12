// How threads divide an operator: by output pixels, panels, tiles, rows or images. Every byte of an
// output is written by one thread, and the same whatever its share is, so that results do not
// depend on the number of threads. A hybrid layer's input is quantized by two operators: in
// MinMaxOp each thread leaves the range of its rows, in DynamicQuantizeOp each joins all ranges for
// itself.
#include "engine/src/ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "formats/base/dtype.h"
#include "formats/base/shape.h"

namespace octet {

void HaloFill::Run(int batch) const {
  if (halo.empty()) return;
  const auto fill = [&](int n, int y, int x, int64_t pixels) {
    const auto bytes = static_cast<size_t>(pixels * view.pixel_stride);
    std::memset(view.pixel(n, y, x), value, bytes);
    if (view.plane != 0) std::memset(view.pixel(n, y, x) + view.plane, 0, bytes);
    for (int64_t i = 0; codes != nullptr && i < pixels; ++i)
      std::memcpy(view.pixel(n, y, x + static_cast<int>(i)), codes, static_cast<size_t>(view.c));
  };
  const int64_t row = int64_t{halo.left} + view.w + halo.right;
  for (int n = 0; n < batch; ++n) {
    for (int y = -halo.top; y < 0; ++y) fill(n, y, -halo.left, row);
    for (int y = 0; y < view.h; ++y) {
      fill(n, y, -halo.left, halo.left);
      fill(n, y, view.w, halo.right);
    }
    for (int y = view.h; y < view.h + halo.bottom; ++y) fill(n, y, -halo.left, row);
  }
}

ConvOp::Share ConvOp::ShareOf(const StepPart& part, int images) const {
  int64_t pixel_begin = 0, pixel_end = static_cast<int64_t>(images) * args.out_h * args.out_w;
  int64_t panel_begin = 0, panel_end = panels;
  if (split_panels) {
    SplitRange(panels, panels >= 4 * part.count ? 4 : 1, part, &panel_begin, &panel_end);
  } else {
    SplitRange(pixel_end, 1, part, &pixel_begin, &pixel_end);
  }
  return {pixel_begin, pixel_end, static_cast<int>(panel_begin), static_cast<int>(panel_end)};
}

kernels::ConvArgs ConvOp::ArgsOf(int part) const {
  kernels::ConvArgs own = args;
  if (scratch != nullptr) own.scratch = scratch + part * scratch_bytes;
  return own;
}

void ConvOp::Run(const StepPart& part) const {
  const Share s = ShareOf(part, args.batch);
  if (s.empty()) return;
  fn(ArgsOf(part.index), s.pixel_begin, s.pixel_end, s.panel_begin, s.panel_end);
}

void WinogradOp::RunShare(const kernels::WinogradArgs& images, const StepPart& part) const {
  const int64_t tiles =
      images.conv.batch * CeilDiv(images.conv.out_h, edge) * CeilDiv(images.conv.out_w, edge);
  // Threads that share panels all transform the same input, those that share tiles all transform
  // the same weights, which takes a panel about six times as long as an input tile. Panels of a
  // grouped convolution share inputs with those of their group alone.
  const bool grouped = images.conv.group_outputs < images.conv.out_c;
  const bool split_panels = (grouped || tiles < 6 * panels) && panels >= 2 * part.count;
  int64_t tile_begin = 0, tile_end = tiles, panel_begin = 0, panel_end = panels;
  if (split_panels) {
    SplitRange(panels, 1, part, &panel_begin, &panel_end);
  } else {
    SplitRange(tiles, 1, part, &tile_begin, &tile_end);
  }
  if (tile_begin >= tile_end || panel_begin >= panel_end) return;
  fn(images, tile_begin, tile_end, static_cast<int>(panel_begin), static_cast<int>(panel_end),
     scratch + part.index * scratch_bytes);
}

void MinMaxOp::Run(const StepPart& part) const {
  for (int n = 0; n < args.batch; ++n) {
    int64_t begin, end;
    SplitRange(args.a.h, 1, part, &begin, &end);
    float min = 0.0f, max = 0.0f;
    if (begin < end) {
      fn(args, static_cast<int>(n * args.a.h + begin), static_cast<int>(n * args.a.h + end), &min,
         &max);
    }
    float* out = partial + (static_cast<int64_t>(n) * max_parts + part.index) * 2;
    out[0] = min;
    out[1] = max;
  }
}

void DynamicQuantizeOp::Run(const StepPart& part) const {
  for (int n = 0; n < args.batch; ++n) {
    float min = 0.0f, max = 0.0f;  // The range always contains 0.
    for (int t = 0; t < part.count; ++t) {
      const float* p = partial + (static_cast<int64_t>(n) * max_parts + t) * 2;
      min = std::min(min, p[0]);
      max = std::max(max, p[1]);
    }
    if (non_negative) min = 0.0f;
    DynamicRange range;
    range.scale = (max - min) / 255.0f;
    // An all-zero image: every q is the zero point.
    if (!(range.scale > 1e-30f)) range.scale = 1e-30f;
    range.zero_point =
        non_negative ? 0 : static_cast<int32_t>(std::lrint(std::min(255.0f, -min / range.scale)));

    kernels::EltwiseArgs image = args;
    image.a_multiplier = 1.0f / range.scale;
    image.out_zero = range.zero_point;
    image.low = static_cast<float>(-range.zero_point);
    image.high = static_cast<float>(255 - range.zero_point);
    int64_t begin, end;
    SplitRange(args.a.h, 1, part, &begin, &end);
    if (begin < end) {
      fn(image, static_cast<int>(n * args.a.h + begin), static_cast<int>(n * args.a.h + end));
    }
    if (part.is_last()) {
      float* m = multiplier + static_cast<int64_t>(n) * channels;
      int32_t* b = bias + static_cast<int64_t>(n) * channels;
      for (int c = 0; c < channels; ++c) m[c] = range.scale * weight_scale[c];
      for (int c = 0; c < channels; ++c) b[c] = -range.zero_point * weight_sum[c];
      HaloFill fill = range_halo;
      fill.value = static_cast<uint8_t>(range.zero_point);
      fill.view.data += n * fill.view.image_stride;
      fill.Run(1);
    }
  }
}

namespace {
/// Moves on to an image that was quantized with a range of its own.
void NextImage(int panels, kernels::ConvArgs* image) {
  image->input += image->in_image_stride;
  image->output += image->out_image_stride;
  if (image->residual != nullptr) image->residual += image->res_image_stride;
  image->multiplier += panels * 16;
  image->bias += panels * 16;
}
}  // namespace

void HybridConvOp::Run(const StepPart& part) const {
  const Share s = ShareOf(part, 1);
  if (s.empty()) return;
  kernels::ConvArgs image = ArgsOf(part.index);
  for (int n = 0; n < batch; ++n) {
    fn(image, s.pixel_begin, s.pixel_end, s.panel_begin, s.panel_end);
    NextImage(panels, &image);
  }
}

void HybridWinogradOp::Run(const StepPart& part) const {
  kernels::WinogradArgs image = args;
  for (int n = 0; n < batch; ++n) {
    RunShare(image, part);
    NextImage(panels, &image.conv);
  }
}

namespace {

/// A part of `items` (rows, images) of an operator whose function takes a range of them.
template <typename Op>
void RunPart(const Op& op, int64_t items, const StepPart& part) {
  int64_t begin, end;
  SplitRange(items, 1, part, &begin, &end);
  if (begin < end) op.fn(op.args, static_cast<int>(begin), static_cast<int>(end));
}

}  // namespace

void PoolOp::Run(const StepPart& part) const {
  RunPart(*this, int64_t{args.batch} * args.output.h, part);
}

void GlobalPoolOp::Run(const StepPart& part) const { RunPart(*this, args.batch, part); }

void EltwiseOp::Run(const StepPart& part) const {
  RunPart(*this, int64_t{args.batch} * args.output.h, part);
}

void RowOp::Run(const StepPart& part) const {
  const int pixels = input.h * input.w;
  int64_t begin, end;
  SplitRange(static_cast<int64_t>(batch) * pixels, 1, part, &begin, &end);
  for (int64_t i = begin; i < end; ++i) {
    const int n = static_cast<int>(i / pixels), p = static_cast<int>(i % pixels);
    const int y = p / input.w, x = p % input.w;
    const uint8_t* const in = input.pixel(n, y, x);
    uint8_t* const out = output.pixel(n, y, x);
    if (!bf16_in) {
      fn(reinterpret_cast<const float*>(in), reinterpret_cast<float*>(out), input.c);
      continue;
    }
    float* const row = scratch + int64_t{part.index} * input.c;
    for (int c = 0; c < input.c; ++c)
      row[c] = Bf16ToFloat(reinterpret_cast<const uint16_t*>(in)[c]);
    fn(row, bf16_out ? row : reinterpret_cast<float*>(out), input.c);
    for (int c = 0; bf16_out && c < input.c; ++c)
      reinterpret_cast<uint16_t*>(out)[c] = FloatToBf16(row[c]);
  }
}

void TfliteSoftmaxOp::Run(const StepPart& part) const {
  const int pixels = input.h * input.w;
  int16_t* const row = scratch + int64_t{part.index} * input.c;
  int64_t begin, end;
  SplitRange(static_cast<int64_t>(batch) * pixels, 1, part, &begin, &end);
  for (int64_t i = begin; i < end; ++i) {
    const int n = static_cast<int>(i / pixels), p = static_cast<int>(i % pixels);
    const uint8_t* const in = input.pixel(n, p / input.w, p % input.w);
    uint8_t* const out = output.pixel(n, p / input.w, p % input.w);
    for (int c = 0; c < input.c; ++c)
      row[c] = static_cast<int16_t>(256 * in[c] + in[c + input.plane] - 32768);
    softmax_.Row(row, input.c, row);
    for (int c = 0; c < input.c; ++c) {
      out[c] = static_cast<uint8_t>((row[c] + 32768) >> 8);
      out[c + output.plane] = static_cast<uint8_t>(row[c] & 255);
    }
  }
}

namespace {

void FillElements(uint8_t* out, int count, int element_size, uint32_t value) {
  if (element_size == 1) {
    std::memset(out, static_cast<int>(value), count);
  } else if (element_size == 2) {
    uint16_t* p = reinterpret_cast<uint16_t*>(out);
    for (int i = 0; i < count; ++i) p[i] = static_cast<uint16_t>(value);
  } else {
    uint32_t* p = reinterpret_cast<uint32_t*>(out);
    for (int i = 0; i < count; ++i) p[i] = value;
  }
}

/// Both planes of an int16 tensor are copied as tensors of their own.
int Planes(const kernels::ActivationView& view) { return view.plane == 0 ? 1 : 2; }

}  // namespace

void CopyOp::Run(const StepPart& part) const {
  // Rows of the output that there is something to do for.
  const int first = clear_channels > 0 ? 0 : out_y, rows = clear_channels > 0 ? output.h : h;
  const int planes = Planes(output);
  int64_t begin, end;
  SplitRange(static_cast<int64_t>(batch) * planes * rows, 1, part, &begin, &end);
  const bool whole_rows = step_x == 1 && step_c == 1 && in_c == 0 && out_c == 0 &&
                          clear_channels == 0 && input.pixel_stride == output.pixel_stride &&
                          c * element_size == input.pixel_stride;
  for (int64_t row = begin; row < end; ++row) {
    const int image = static_cast<int>(row / rows), oy = first + static_cast<int>(row % rows);
    const int n = image / planes, plane = image % planes;
    if (clear_channels > 0) {
      const uint32_t value = planes == 1  ? clear_value
                             : plane == 0 ? clear_value >> 8
                                          : clear_value & 255;
      for (int x = 0; x < output.w; ++x) {
        FillElements(output.pixel(n, oy, x) + plane * output.plane, clear_channels, element_size,
                     value);
      }
    }
    const int y = oy - out_y;
    if (y < 0 || y >= h) continue;
    const uint8_t* in = input.pixel(n, in_y + y * step_y, in_x) +
                        static_cast<int64_t>(in_c) * element_size + plane * input.plane;
    uint8_t* out = output.pixel(n, oy, out_x) + static_cast<int64_t>(out_c) * element_size +
                   plane * output.plane;
    if (whole_rows) {
      std::memcpy(out, in, w * input.pixel_stride);
      continue;
    }
    for (int x = 0; x < w; ++x) {
      if (step_c == 1) {
        std::memcpy(out, in, static_cast<size_t>(c) * element_size);
      } else {
        for (int i = 0; i < c; ++i) {
          std::memcpy(out + i * element_size, in + static_cast<int64_t>(i) * step_c * element_size,
                      element_size);
        }
      }
      in += step_x * input.pixel_stride;
      out += output.pixel_stride;
    }
  }
}

void Int16CopyOp::Run(const StepPart& part) const {
  int64_t begin, end;
  SplitRange(static_cast<int64_t>(batch) * output.h, 1, part, &begin, &end);
  for (int64_t row = begin; row < end; ++row) {
    const int n = static_cast<int>(row / output.h), y = static_cast<int>(row % output.h);
    for (int x = 0; x < output.w; ++x) {
      const uint8_t* in = input.pixel(n, y, x);
      uint8_t* out = output.pixel(n, y, x);
      for (int c = 0; c < output.c; ++c) {
        if (output.plane != 0) {
          int16_t v;
          std::memcpy(&v, in + 2 * c, sizeof(v));
          out[c] = static_cast<uint8_t>((v + 32768) >> 8);
          out[c + output.plane] = static_cast<uint8_t>(v & 255);
        } else {
          const auto v = static_cast<int16_t>(256 * in[c] + in[c + input.plane] - 32768);
          std::memcpy(out + 2 * c, &v, sizeof(v));
        }
      }
    }
  }
}

void ReshapeOp::Run(const StepPart& part) const {
  const int planes = Planes(output);
  int64_t begin, end;
  SplitRange(batch * planes, 1, part, &begin, &end);
  for (int image = static_cast<int>(begin); image < end; ++image) {
    const int n = image / planes, plane = image % planes;
    int iy = 0, ix = 0, ic = 0;
    for (int y = 0; y < output.h; ++y) {
      for (int x = 0; x < output.w; ++x) {
        uint8_t* out = output.pixel(n, y, x) + plane * output.plane;
        int oc = 0;
        while (oc < output.c) {
          const int run = std::min(output.c - oc, input.c - ic);
          const uint8_t* in = input.pixel(n, iy, ix) + plane * input.plane;
          std::memcpy(out + oc * element_size, in + ic * element_size,
                      static_cast<size_t>(run) * element_size);
          oc += run;
          ic += run;
          if (ic == input.c) {
            ic = 0;
            if (++ix == input.w) {
              ix = 0;
              ++iy;
            }
          }
        }
        std::memset(out + oc * element_size, 0,
                    static_cast<size_t>(out_padded_c - oc) * element_size);
      }
    }
  }
}

}  // namespace octet
