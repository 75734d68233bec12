// Resize finds the geometry, then every thread makes a part of the rows: the photo's rows upright
// (ImageRows), of them the part that is scaled (PartOfRows), through the resampler. The rest is
// done on the small result: padding, gray made color, BGR. Normalization of bytes is a table of 256
// numbers a channel. Memory is in Buffers and the resampler, and is taken when the task changes.
#include "engine/src/preprocess.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "engine/src/float_environment.h"
#include "engine/src/model_impl.h"
#include "engine/src/pixels/pixel_rows.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

/// Scratch memory begins on lines of the cache.
constexpr std::align_val_t kLine{64};

struct AlignedFree {
  void operator()(uint8_t* p) const { ::operator delete(p, kLine); }
};

/// A part of the rows of an image.
class PartOfRows : public PixelRows {
 public:
  PartOfRows(PixelRows* rows, const ResizeGeometry& g)
      : rows_(rows), x_(g.source_x), y_(g.source_y) {
    width_ = g.task.in_width;
    height_ = g.task.in_height;
    channels_ = rows->channels();
  }
  const uint8_t* Row(int y) override { return rows_->Row(y_ + y) + x_ * channels_; }
  int lasting() const override { return rows_->lasting(); }

 private:
  PixelRows* rows_;
  int x_, y_;
};

/// Threads of an image: fewer than this many rows of the result are not worth one.
constexpr int kRowsPerThread = 16;

}  // namespace

struct Preprocessor::Buffers {
  std::unique_ptr<uint8_t[], AlignedFree> scratch;
  int64_t scratch_bytes = 0;
  std::vector<uint8_t> resized;  ///< What the resampler gives: uint8, or float.
  std::vector<uint8_t> result;   ///< The same where it was padded or made of one channel.
};

Preprocessor::Preprocessor(const Preprocessing& preprocessing, int height, int width, int channels,
                           const kernels::KernelTable& table, int64_t max_memory,
                           Workforce* workforce)
    : preprocessing_(preprocessing),
      height_(height),
      width_(width),
      channels_(channels),
      max_memory_(max_memory),
      workforce_(workforce),
      num_threads_(std::clamp(height / kRowsPerThread, 1,
                              workforce != nullptr ? workforce->num_threads() : 1)),
      kernels_(*table.pixels),
      resampler_(Resampler::Create(preprocessing.resampling, table)),
      buffers_(std::make_unique<Buffers>()) {
  if (num_threads_ == 1) return;
  sharing_ = std::make_shared<StepSharing>(this, 1, num_threads_, StepSharing::Options{});
  workforce->Add(sharing_);
}

Preprocessor::~Preprocessor() = default;

Status Preprocessor::Prepare(const ResizeTask& task, int64_t rows_scratch) {
  const int64_t element = preprocessing_.resampling.to_float ? 4 : 1;
  const int64_t resized = int64_t{task.height} * task.width * task.channels * element,
                results =
                    resized + (IsWhole(task) ? 0 : int64_t{height_} * width_ * channels_ * element);
  const auto check = [&](int64_t bytes) {
    if (bytes <= max_memory_) return OkStatus();
    return OutOfMemory(StrCat("image of ", task.in_width, "x", task.in_height, " pixels: needs ",
                              bytes, " bytes to be resized, max_memory is ", max_memory_));
  };
  const int64_t taps = resampler_->Bytes(task);
  OCTET_RETURN_IF_ERROR(check(taps + results));
  task_ = {};  // Until all is there: an allocation may fail.
  resampler_->Prepare(task);
  const int64_t scratch = num_threads_ * (RoundUp(resampler_->ScratchBytes(), 64) + rows_scratch);
  OCTET_RETURN_IF_ERROR(check(taps + results + scratch));
  if (scratch > buffers_->scratch_bytes) {
    buffers_->scratch.reset(
        static_cast<uint8_t*>(::operator new(static_cast<size_t>(scratch), kLine)));
    buffers_->scratch_bytes = scratch;
  }
  buffers_->resized.resize(static_cast<size_t>(resized));
  buffers_->result.resize(static_cast<size_t>(results - resized));
  task_ = task;
  rows_scratch_ = rows_scratch;
  return OkStatus();
}

namespace {

/// Puts `in`, of the task's size, into `out`, of width x channels, and around it the color.
template <typename T>
void PadAndSpread(const T* in, const ResizeGeometry& g, const std::array<uint8_t, 3>& color,
                  kernels::PixelRowFn gray_from_rgb, int width, int height, int channels, T* out) {
  const ResizeTask& t = g.task;
  if (t.width != width || t.height != height) {
    std::array<uint8_t, 3> pad = color;
    if (channels == 1) gray_from_rgb(color.data(), 1, pad.data());
    for (int64_t i = 0; i < int64_t{width} * height; ++i)
      for (int c = 0; c < channels; ++c) out[i * channels + c] = static_cast<T>(pad[c]);
  }
  for (int y = 0; y < t.height; ++y) {
    T* to = out + (int64_t{g.to_y + y} * width + g.to_x) * channels;
    const T* from = in + int64_t{y} * t.width * t.channels;
    for (int x = 0; x < t.width; ++x)
      for (int c = 0; c < channels; ++c)
        to[x * channels + c] = from[t.channels == 1 ? x : x * t.channels + c];
  }
}

template <typename T>
void SwapRedAndBlue(T* pixels, int64_t count) {
  for (int64_t i = 0; i < count; ++i) std::swap(pixels[3 * i], pixels[3 * i + 2]);
}

}  // namespace

void Preprocessor::ResizePart(const StepPart& part) {
  const ResizeTask& t = task_;
  const int64_t row_bytes =
      int64_t{t.width} * t.channels * (preprocessing_.resampling.to_float ? 4 : 1);
  const int64_t resampler_scratch = RoundUp(resampler_->ScratchBytes(), 64);
  uint8_t* scratch = buffers_->scratch.get() + part.index * (resampler_scratch + rows_scratch_);
  ImageRows all(*image_, work_channels_, preprocessing_.resampling.framework, kernels_.rows,
                scratch);
  PartOfRows rows(&all, geometry_);
  int64_t begin, end;
  SplitRange(t.height, 1, part, &begin, &end);
  if (begin == end) return;
  resampler_->Run(&rows, begin, end, scratch + rows_scratch_,
                  buffers_->resized.data() + begin * row_bytes);
}

Result<ResizedImage> Preprocessor::Resize(const Image& image) {
  OCTET_RETURN_IF_ERROR(CheckImage(image));
  if (channels_ != 1 && channels_ != 3) {
    return InvalidArgument(
        StrCat("the model's input has ", channels_, " channels; images need 1 or 3"));
  }
  // Scaling works on one channel when either side is gray: gray becomes color only at the end.
  const int work_channels = std::min(image.format == PixelFormat::kGray ? 1 : 3, channels_);
  const ImageSize size = UprightSize(image);
  OCTET_ASSIGN_OR_RETURN(geometry_, FindGeometry(preprocessing_, size.width, size.height,
                                                 work_channels, width_, height_));
  const ResizeGeometry& g = geometry_;
  const ResizeTask& t = g.task;
  const int64_t rows_scratch = ImageRows::ScratchBytes(image);
  if (!(t == task_) || rows_scratch > rows_scratch_)
    OCTET_RETURN_IF_ERROR(Prepare(t, rows_scratch));
  const Framework framework = preprocessing_.resampling.framework;
  const bool to_float = preprocessing_.resampling.to_float;
  image_ = &image;
  work_channels_ = work_channels;
  if (sharing_ != nullptr && !workforce_->is_alone()) {
    workforce_->Do(sharing_.get(), 1);
  } else {
    for (int i = 0; i < num_threads_; ++i) ResizePart(StepPart::Of(i, num_threads_));
  }

  uint8_t* all = buffers_->resized.data();
  if (!IsWhole(t)) {
    all = buffers_->result.data();
    const auto to_gray = kernels_.rows.gray_from_rgb[static_cast<int>(framework)];
    if (to_float) {
      PadAndSpread(reinterpret_cast<const float*>(buffers_->resized.data()), g,
                   preprocessing_.pad_color, to_gray, width_, height_, channels_,
                   reinterpret_cast<float*>(all));
    } else {
      PadAndSpread(buffers_->resized.data(), g, preprocessing_.pad_color, to_gray, width_, height_,
                   channels_, all);
    }
  }
  const int64_t pixels = int64_t{height_} * width_;
  if (channels_ == 3 && preprocessing_.order == ChannelOrder::kBgr) {
    if (to_float) {
      SwapRedAndBlue(reinterpret_cast<float*>(all), pixels);
    } else {
      SwapRedAndBlue(all, pixels);
    }
  }
  const auto count = static_cast<size_t>(pixels * channels_);
  resized_ = to_float ? ResizedImage{{}, {reinterpret_cast<const float*>(all), count}}
                      : ResizedImage{{all, count}, {}};
  return resized_;
}

Status Preprocessor::ToFloat(const Image& image, float* out) {
  OCTET_ASSIGN_OR_RETURN(const ResizedImage resized, Resize(image));
  NormalizeToFloat(preprocessing_, resized, channels_, out);
  return OkStatus();
}

Status Preprocessor::ToU8(const Image& image, const Quantization& q, uint8_t* out) {
  OCTET_ASSIGN_OR_RETURN(const ResizedImage resized, Resize(image));
  if (codes_ == nullptr || !(codes_->quantization == q))
    codes_ = std::make_unique<PixelCodes>(preprocessing_, q, channels_);
  NormalizeToU8(preprocessing_, *codes_, resized, channels_, out);
  return OkStatus();
}

Status Preprocessor::ToI16(const Image& image, const Quantization& q, uint8_t* out) {
  floats_.resize(static_cast<size_t>(height_) * static_cast<size_t>(width_) *
                 static_cast<size_t>(channels_));
  OCTET_RETURN_IF_ERROR(ToFloat(image, floats_.data()));
  Quantize(q, DType::kI16, floats_.data(), floats_.size(), out);
  return OkStatus();
}

Status PreprocessInput(const Image& image, const ModelDescription& model,
                       const kernels::KernelTable& table, int64_t max_memory, Workforce* workforce,
                       std::unique_ptr<Preprocessor>* preprocessor, void* input) {
  const TensorDescription& in = model.inputs[0];
  if (in.shape.size() != 4) {
    return InvalidArgument(
        StrCat("input ", in.name, " has ", in.shape.size(), " dimensions, images need 4 (NHWC)"));
  }
  if (*preprocessor == nullptr) {
    const auto side = [&](size_t i) { return static_cast<int>(in.shape[i]); };
    *preprocessor = std::make_unique<Preprocessor>(
        in.by_channel.empty() ? model.preprocessing : UpToPixels(model.preprocessing), side(1),
        side(2), side(3), table, max_memory, workforce);
  }
  if (!in.by_channel.empty())
    return (*preprocessor)->ToU8(image, {1.0f, 0}, static_cast<uint8_t*>(input));
  if (in.dtype == DType::kU8)
    return (*preprocessor)->ToU8(image, {in.scale, in.zero_point}, static_cast<uint8_t*>(input));
  if (in.dtype == DType::kI16)
    return (*preprocessor)->ToI16(image, {in.scale, in.zero_point}, static_cast<uint8_t*>(input));
  return (*preprocessor)->ToFloat(image, static_cast<float*>(input));
}

namespace {

float Normalized(const Preprocessing& p, int channel, float v) {
  return (v * p.scale - p.mean[channel]) / p.stddev[channel];
}

uint8_t Quantized(const Quantization& q, float v) {
  const float code = std::nearbyint(v * (1.0f / q.scale)) + static_cast<float>(q.zero_point);
  return static_cast<uint8_t>(std::clamp(code, 0.0f, 255.0f));
}

/// out[i] = table[c][in[i]]; `table` is [channels][256].
template <typename T>
void LookUp(std::span<const uint8_t> in, const T* table, int channels, T* out) {
  if (channels == 3) {
    for (size_t i = 0; i + 2 < in.size(); i += 3) {
      out[i] = table[in[i]];
      out[i + 1] = table[256 + in[i + 1]];
      out[i + 2] = table[512 + in[i + 2]];
    }
  } else {
    for (size_t i = 0; i < in.size(); ++i) out[i] = table[in[i]];
  }
}

/// In blocks of whole pixels, with each channel's numbers repeated, which compilers turn into
/// vector code: a division for each value by itself takes as long as scaling.
void NormalizeValues(const Preprocessing& p, std::span<const float> in, int channels, float* out) {
  constexpr int kBlock = 48;
  float mean[kBlock], stddev[kBlock];
  for (int i = 0; i < kBlock; ++i) {
    mean[i] = p.mean[i % channels];
    stddev[i] = p.stddev[i % channels];
  }
  size_t at = 0;
  for (; at + kBlock <= in.size(); at += kBlock) {
    for (int i = 0; i < kBlock; ++i) out[at + i] = (in[at + i] * p.scale - mean[i]) / stddev[i];
  }
  for (size_t i = 0; at + i < in.size(); ++i)
    out[at + i] = (in[at + i] * p.scale - mean[i]) / stddev[i];
}

}  // namespace

void NormalizeToFloat(const Preprocessing& p, const ResizedImage& image, int channels, float* out) {
  NormalizeValues(p, image.values, channels, out);
  if (image.pixels.empty()) return;
  float table[3 * 256];
  for (int i = 0; i < channels * 256; ++i)
    table[i] = Normalized(p, i / 256, static_cast<float>(i % 256));
  LookUp(image.pixels, table, channels, out);
}

PixelCodes::PixelCodes(const Preprocessing& p, const Quantization& q, int channels)
    : quantization(q) {
  for (int i = 0; i < channels * 256; ++i) {
    codes[static_cast<size_t>(i)] =
        Quantized(q, Normalized(p, i / 256, static_cast<float>(i % 256)));
    same = same && codes[static_cast<size_t>(i)] == i % 256;
  }
}

void NormalizeToU8(const Preprocessing& p, const PixelCodes& codes, const ResizedImage& image,
                   int channels, uint8_t* out) {
  for (size_t i = 0; i < image.values.size(); ++i) {
    const int c = static_cast<int>(i % static_cast<size_t>(channels));
    out[i] = Quantized(codes.quantization, Normalized(p, c, image.values[i]));
  }
  if (codes.same) {
    std::copy(image.pixels.begin(), image.pixels.end(), out);
  } else {
    LookUp(image.pixels, codes.codes.data(), channels, out);
  }
}

}  // namespace octet
