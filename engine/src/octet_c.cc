// A layer over the C++ library. Handles own what they stand for; enumerations have the same numbers
// on both sides; what may throw is Guarded; messages are malloc'ed for octet_free. Structs that the
// library fills and that may grow begin with their size, so that programs and libraries of
// different versions fit (FillStruct).
#include "engine/include/octet/octet_c.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/guarded.h"
#include "engine/src/model_impl.h"
#include "engine/src/octet_c_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

struct octet_model_options {
  octet::ModelOptions options;
};
struct octet_thread_pool {
  std::shared_ptr<octet::ThreadPool> pool;
};
struct octet_arena {
  std::shared_ptr<octet::Arena> arena;
};
struct octet_session_options {
  octet::SessionOptions options;
};
struct octet_run_options {
  int batch = 1;
  double timeout_ms = std::numeric_limits<double>::infinity();
};

namespace {

using octet::Report;

static_assert(OCTET_INVALID_ARGUMENT == static_cast<int>(octet::StatusCode::kInvalidArgument));
static_assert(OCTET_INTERNAL == static_cast<int>(octet::StatusCode::kInternal));
static_assert(OCTET_OUT_OF_MEMORY == static_cast<int>(octet::StatusCode::kOutOfMemory));
static_assert(OCTET_CANCELLED == static_cast<int>(octet::StatusCode::kCancelled));
static_assert(OCTET_COPY_AND_LOCK == static_cast<int>(octet::Residency::kCopyAndLock));
static_assert(OCTET_UINT8 == static_cast<int>(octet::DType::kU8));
static_assert(OCTET_INT16 == static_cast<int>(octet::DType::kI16));
static_assert(OCTET_YUYV == static_cast<int>(octet::PixelFormat::kYuyv));
static_assert(OCTET_BT709 == static_cast<int>(octet::YuvMatrix::kBt709));
static_assert(OCTET_FULL_RANGE == static_cast<int>(octet::YuvRange::kFull));
static_assert(OCTET_OPENCV == static_cast<int>(octet::Framework::kOpencv));
static_assert(OCTET_DCT_FAST == static_cast<int>(octet::Dct::kFast));
static_assert(OCTET_UPSAMPLING_PLAIN == static_cast<int>(octet::Upsampling::kPlain));
static_assert(OCTET_RESIZE_CROP_TO_ASPECT == static_cast<int>(octet::ResizeRule::kCropToAspect));
static_assert(OCTET_FILTER_LANCZOS5 == static_cast<int>(octet::ResizeFilter::kLanczos5));
static_assert(OCTET_COORDINATES_ALIGN_CORNERS ==
              static_cast<int>(octet::Coordinates::kAlignCorners));
static_assert(OCTET_PASSES_CHEAPER_FIRST == static_cast<int>(octet::Passes::kCheaperFirst));
static_assert(OCTET_ORDER_BGR == static_cast<int>(octet::ChannelOrder::kBgr));

octet_status NullArgument(const char* name, char** error) {
  return Report(
      octet::Guarded([&] { return octet::InvalidArgument(octet::StrCat(name, " is null")); }),
      error);
}

/// Gives a caller as much of `from` as his version of the struct has, and 0 in what it has beyond.
template <typename Struct>
octet_status FillStruct(Struct from, Struct* to) {
  from.size = to->size;
  if (from.size < sizeof(from.size)) return OCTET_INVALID_ARGUMENT;
  const size_t known = std::min(from.size, sizeof(Struct));
  std::memcpy(static_cast<void*>(to), &from, known);
  std::memset(reinterpret_cast<unsigned char*>(to) + known, 0, from.size - known);
  return OCTET_OK;
}

/// Sets *handle to a new one of what `make`, which is Guarded, returns a Result of.
template <typename Handle, typename Make>
octet_status MakeHandle(const char* name, Handle** handle, char** error, Make make) {
  if (handle == nullptr) return NullArgument(name, error);
  *handle = nullptr;
  return Report(octet::Guarded([&]() -> octet::Status {
                  OCTET_ASSIGN_OR_RETURN(auto made, make());
                  *handle = new Handle{std::move(made)};
                  return octet::OkStatus();
                }),
                error);
}

/// Sets *model to what `load` gives for the options.
template <typename Load>
octet_status LoadModel(const octet_model_options* options, octet_model** model, char** error,
                       Load load) {
  return MakeHandle(
      "model", model, error, [&]() -> octet::Result<std::shared_ptr<const octet::Model>> {
        const octet::ModelOptions o = options != nullptr ? options->options : octet::ModelOptions();
        if (o.residency < octet::Residency::kMap || o.residency > octet::Residency::kCopyAndLock) {
          return octet::InvalidArgument(octet::StrCat(
              "residency: found ", static_cast<int>(o.residency), ", expected 0 to 2"));
        }
        return load(o);
      });
}

/// For setters: changes what `options` holds, unless they are null.
template <typename Options, typename Change>
octet_status Set(Options* options, Change change) {
  if (options == nullptr) return OCTET_INVALID_ARGUMENT;
  return static_cast<octet_status>(octet::Guarded([&] {
                                     change(options->options);
                                     return octet::OkStatus();
                                   }).code());
}

/// A model's description; of null nothing.
const octet::ModelDescription* Description(const octet_model* model) {
  return model != nullptr ? &model->model->Describe() : nullptr;
}

/// A string or a number of a description; null or 0 of nothing.
const char* Text(const octet_model* model, std::string octet::ModelDescription::*field) {
  return model != nullptr ? (Description(model)->*field).c_str() : nullptr;
}
template <typename Number>
Number NumberOf(const octet_model* model, Number octet::ModelDescription::*field) {
  return model != nullptr ? Description(model)->*field : 0;
}

octet::Image ToImage(const octet_image& from) {
  return {.pixels = from.pixels,
          .width = from.width,
          .height = from.height,
          .format = static_cast<octet::PixelFormat>(from.format),
          .row_stride = from.row_stride,
          .chroma = {from.chroma[0], from.chroma[1]},
          .chroma_stride = from.chroma_stride,
          .roi = {from.roi.x, from.roi.y, from.roi.width, from.roi.height},
          .rotation = from.rotation,
          .mirror = from.mirror != 0,
          .matrix = static_cast<octet::YuvMatrix>(from.matrix),
          .range = static_cast<octet::YuvRange>(from.range)};
}

octet_status CreateSession(const octet_model* model, const octet::SessionOptions& options,
                           octet_session** session, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  *session = nullptr;
  if (model == nullptr) return NullArgument("model", error);
  return Report(octet::Guarded([&]() -> octet::Status {
                  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<octet::Session> created,
                                         octet::Session::Create(model->model, options));
                  *session = new octet_session{model->model, std::move(created), {}};
                  return octet::OkStatus();
                }),
                error);
}

/// A model's inputs or outputs.
using Tensors = std::vector<octet::TensorDescription> octet::ModelDescription::*;
constexpr Tensors kInputs = &octet::ModelDescription::inputs,
                  kOutputs = &octet::ModelDescription::outputs;

int Count(const octet_model* model, Tensors list) {
  return model != nullptr ? static_cast<int>((Description(model)->*list).size()) : 0;
}

/// Null when there is none of that index.
const octet::TensorDescription* Find(const octet_model* model, Tensors list, int index) {
  if (index < 0 || index >= Count(model, list)) return nullptr;
  return &(Description(model)->*list)[static_cast<size_t>(index)];
}

size_t Bytes(const octet::TensorDescription* tensor) {
  return tensor != nullptr ? tensor->num_bytes() : 0;
}

int ChannelsFirst(const octet::TensorDescription* tensor) {
  return tensor != nullptr && tensor->channels_first ? 1 : 0;
}

octet_status Describe(const octet::TensorDescription* tensor, octet_tensor* out) {
  if (tensor == nullptr || out == nullptr) return OCTET_INVALID_ARGUMENT;
  const octet::TensorDescription& t = *tensor;
  *out = {};
  out->name = t.name.c_str();
  out->dtype = static_cast<octet_dtype>(t.dtype);
  out->rank = static_cast<int>(t.shape.size());
  for (int i = 0; i < out->rank; ++i) out->shape[i] = t.shape[i];
  out->scale = t.scale;
  out->zero_point = t.zero_point;
  std::ranges::copy(t.by_channel.scales, out->channel_scale);
  std::ranges::copy(t.by_channel.zero_points, out->channel_zero_point);
  return OCTET_OK;
}

/// Now + `milliseconds`, at least 0; never when that is beyond what the clock can say.
octet::Result<std::chrono::steady_clock::time_point> DeadlineIn(double milliseconds) {
  using Clock = std::chrono::steady_clock;
  if (!(milliseconds >= 0.0)) {
    return octet::InvalidArgument(
        octet::StrCat("timeout: found ", milliseconds, " ms, expected at least 0"));
  }
  constexpr double kYear = 365.0 * 86400e3;
  if (milliseconds >= 100.0 * kYear) return Clock::time_point::max();
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(
                            std::chrono::duration<double, std::milli>(milliseconds));
}

/// The C++ views of a caller's buffers, whose layout is theirs.
template <typename View, typename Buffer>
octet::Span<const View> Views(const Buffer* buffers, size_t count) {
  static_assert(sizeof(View) == sizeof(Buffer) && offsetof(View, bytes) == offsetof(Buffer, bytes));
  return {reinterpret_cast<const View*>(buffers), count};
}

/// Between bytes and numbers; allocates nothing.
template <auto kConvert, auto kConvertChannels, typename From, typename To>
octet_status Convert(const octet_tensor* tensor, const From* from, To* to) {
  if (tensor == nullptr || from == nullptr || to == nullptr) return OCTET_INVALID_ARGUMENT;
  const auto type = static_cast<octet::DType>(tensor->dtype);
  if (type != octet::DType::kF32 && !octet::IsCodes(type)) return OCTET_INVALID_ARGUMENT;
  if (tensor->rank < 0 || tensor->rank > 4) return OCTET_INVALID_ARGUMENT;
  int64_t count = 1;
  for (int i = 0; i < tensor->rank; ++i) {
    const int64_t d = tensor->shape[i];
    if (d < 1 || !octet::CheckedMul(count, d, &count)) return OCTET_INVALID_ARGUMENT;
  }
  if (octet::IsCodes(type) && tensor->scale == 0.0f) {
    const int64_t channels = tensor->rank == 4 ? tensor->shape[3] : 0;
    if (type != octet::DType::kU8 || channels < 1 || channels > 4) return OCTET_INVALID_ARGUMENT;
    const auto is_scale = [](float v) { return v > 0.0f; };
    if (!std::all_of(tensor->channel_scale, tensor->channel_scale + channels, is_scale))
      return OCTET_INVALID_ARGUMENT;
    kConvertChannels(tensor->channel_scale, tensor->channel_zero_point,
                     static_cast<size_t>(channels), from, static_cast<size_t>(count), to);
  } else if (octet::IsCodes(type)) {
    kConvert({tensor->scale, tensor->zero_point}, type, from, static_cast<size_t>(count), to);
  } else {
    std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
  }
  return OCTET_OK;
}

}  // namespace

octet_model_options* octet_model_options_create(void) {
  return new (std::nothrow) octet_model_options;
}
void octet_model_options_destroy(octet_model_options* options) { delete options; }
octet_status octet_model_options_set_verify_checksum(octet_model_options* options, int verify) {
  return Set(options, [&](octet::ModelOptions& o) { o.verify_checksum = verify != 0; });
}
octet_status octet_model_options_set_residency(octet_model_options* options,
                                               octet_residency residency) {
  return Set(options, [&](octet::ModelOptions& o) {
    o.residency = static_cast<octet::Residency>(residency);
  });
}
octet_status octet_model_options_set_max_memory(octet_model_options* options, int64_t bytes) {
  return Set(options, [&](octet::ModelOptions& o) { o.max_memory = bytes; });
}
octet_status octet_model_options_set_max_nodes(octet_model_options* options, int64_t nodes) {
  return Set(options, [&](octet::ModelOptions& o) { o.max_nodes = nodes; });
}

octet_status octet_model_load(const char* path, octet_model** model, char** error) {
  return octet_model_load_with_options(path, nullptr, model, error);
}

octet_status octet_model_load_with_options(const char* path, const octet_model_options* options,
                                           octet_model** model, char** error) {
  return LoadModel(
      options, model, error,
      [&](const octet::ModelOptions& o) -> octet::Result<std::shared_ptr<const octet::Model>> {
        if (path == nullptr) return octet::InvalidArgument("path is null");
        return octet::Model::Load(path, o);
      });
}

octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                     char** error) {
  return octet_model_from_memory_with_options(data, size, nullptr, model, error);
}

octet_status octet_model_from_memory_with_options(const void* data, size_t size,
                                                  const octet_model_options* options,
                                                  octet_model** model, char** error) {
  return LoadModel(
      options, model, error,
      [&](const octet::ModelOptions& o) -> octet::Result<std::shared_ptr<const octet::Model>> {
        if (data == nullptr) return octet::InvalidArgument("data is null");
        return octet::Model::FromMemory(data, size, o);
      });
}

octet_status octet_model_from_descriptor(int descriptor, int64_t offset, int64_t length,
                                         const octet_model_options* options, octet_model** model,
                                         char** error) {
  return LoadModel(options, model, error, [&](const octet::ModelOptions& o) {
    return octet::Model::FromDescriptor(descriptor, offset, length, o);
  });
}

octet_status octet_model_from_reader(int64_t size, octet_read read, void* context,
                                     const octet_model_options* options, octet_model** model,
                                     char** error) {
  struct Caller {
    octet_read read;
    void* context;
  } caller{read, context};
  octet::ModelReader reader;
  reader.size = size;
  reader.context = &caller;
  if (read != nullptr) {
    reader.read = [](void* c, int64_t offset, void* buffer, size_t bytes) {
      const auto* asked = static_cast<Caller*>(c);
      return asked->read(asked->context, offset, buffer, bytes) != 0;
    };
  }
  return LoadModel(options, model, error, [&](const octet::ModelOptions& o) {
    return octet::Model::FromReader(reader, o);
  });
}

void octet_model_destroy(octet_model* model) { delete model; }

const char* octet_model_name(const octet_model* model) {
  return Text(model, &octet::ModelDescription::name);
}
const char* octet_model_source(const octet_model* model) {
  return Text(model, &octet::ModelDescription::source);
}
const char* octet_model_conversion_options(const octet_model* model) {
  return Text(model, &octet::ModelDescription::options);
}
const char* octet_model_precision(const octet_model* model) {
  return model != nullptr ? octet::PrecisionName(Description(model)->precision) : nullptr;
}
int octet_model_num_labels(const octet_model* model) {
  return model != nullptr ? static_cast<int>(Description(model)->labels.size()) : 0;
}
const char* octet_model_label(const octet_model* model, int index) {
  if (index < 0 || index >= octet_model_num_labels(model)) return nullptr;
  return Description(model)->labels[static_cast<size_t>(index)].c_str();
}
int64_t octet_model_file_size(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::file_size);
}
int64_t octet_model_weight_bytes(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::weight_bytes);
}
int64_t octet_model_parameters(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::parameters);
}
int64_t octet_model_macs(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::macs);
}
int octet_model_operators(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::operators);
}
int64_t octet_model_copied_bytes(const octet_model* model) {
  return NumberOf(model, &octet::ModelDescription::copied_bytes);
}

int octet_model_num_inputs(const octet_model* model) { return Count(model, kInputs); }
int octet_model_num_outputs(const octet_model* model) { return Count(model, kOutputs); }
octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(Find(model, kInputs, index), tensor);
}
octet_status octet_model_output(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(Find(model, kOutputs, index), tensor);
}
size_t octet_model_input_bytes(const octet_model* model, int index) {
  return Bytes(Find(model, kInputs, index));
}
size_t octet_model_output_bytes(const octet_model* model, int index) {
  return Bytes(Find(model, kOutputs, index));
}
int octet_model_input_channels_first(const octet_model* model, int index) {
  return ChannelsFirst(Find(model, kInputs, index));
}
int octet_model_output_channels_first(const octet_model* model, int index) {
  return ChannelsFirst(Find(model, kOutputs, index));
}
octet_status octet_tensor_to_floats(const octet_tensor* tensor, const void* bytes, float* values) {
  return Convert<octet::Dequantize, octet::DequantizeChannels>(
      tensor, static_cast<const uint8_t*>(bytes), values);
}
octet_status octet_tensor_from_floats(const octet_tensor* tensor, const float* values,
                                      void* bytes) {
  return Convert<octet::Quantize, octet::QuantizeChannels>(tensor, values,
                                                           static_cast<uint8_t*>(bytes));
}
octet_status octet_model_preprocessing(const octet_model* model,
                                       octet_preprocessing* preprocessing) {
  if (model == nullptr || preprocessing == nullptr) return OCTET_INVALID_ARGUMENT;
  const octet::Preprocessing& p = Description(model)->preprocessing;
  octet_preprocessing c = {};
  c.decoding_framework = static_cast<int>(p.decoding.framework);
  c.dct = static_cast<int>(p.decoding.dct);
  c.upsampling = static_cast<int>(p.decoding.upsampling);
  c.exif_orientation = p.decoding.exif_orientation ? 1 : 0;
  c.resize = static_cast<int>(p.resize);
  c.framework = static_cast<int>(p.resampling.framework);
  c.filter = static_cast<int>(p.resampling.filter);
  c.antialias = p.resampling.antialias ? 1 : 0;
  c.coordinates = static_cast<int>(p.resampling.coordinates);
  c.passes = static_cast<int>(p.resampling.passes);
  c.reducing_gap = p.resampling.reducing_gap;
  c.to_float = p.resampling.to_float ? 1 : 0;
  c.order = static_cast<int>(p.order);
  c.resize_shorter = p.resize_shorter;
  std::ranges::copy(p.pad_color, c.pad_color);
  c.scale = p.scale;
  std::ranges::copy(p.mean, c.mean);
  std::ranges::copy(p.stddev, c.stddev);
  return FillStruct(c, preprocessing);
}

octet_status octet_model_verify(const octet_model* model, char** error) {
  if (model == nullptr) return NullArgument("model", error);
  return Report(model->model->Verify(), error);
}

octet_status octet_thread_pool_create(int num_threads, octet_thread_pool** pool, char** error) {
  return MakeHandle("pool", pool, error, [&] { return octet::ThreadPool::Create(num_threads); });
}
void octet_thread_pool_destroy(octet_thread_pool* pool) { delete pool; }
int octet_thread_pool_num_threads(const octet_thread_pool* pool) {
  return pool != nullptr ? pool->pool->num_threads() : 0;
}

octet_status octet_arena_create(octet_arena** arena, char** error) {
  return MakeHandle("arena", arena, error, [] { return octet::Arena::Create(); });
}
void octet_arena_destroy(octet_arena* arena) { delete arena; }
int64_t octet_arena_bytes(const octet_arena* arena) {
  return arena != nullptr ? arena->arena->bytes() : 0;
}

octet_session_options* octet_session_options_create(void) {
  return new (std::nothrow) octet_session_options;
}
void octet_session_options_destroy(octet_session_options* options) { delete options; }
octet_status octet_session_options_set_num_threads(octet_session_options* options,
                                                   int num_threads) {
  return Set(options, [&](octet::SessionOptions& o) { o.num_threads = num_threads; });
}
octet_status octet_session_options_set_max_batch(octet_session_options* options, int max_batch) {
  return Set(options, [&](octet::SessionOptions& o) { o.max_batch = max_batch; });
}
octet_status octet_session_options_set_isa(octet_session_options* options, const char* isa) {
  return Set(options, [&](octet::SessionOptions& o) { o.isa = isa != nullptr ? isa : ""; });
}
octet_status octet_session_options_set_winograd(octet_session_options* options, int winograd) {
  return Set(options, [&](octet::SessionOptions& o) { o.winograd = winograd != 0; });
}
octet_status octet_session_options_set_profile(octet_session_options* options, int profile) {
  return Set(options, [&](octet::SessionOptions& o) { o.profile = profile != 0; });
}
octet_status octet_session_options_set_check_finite(octet_session_options* options,
                                                    int check_finite) {
  return Set(options, [&](octet::SessionOptions& o) { o.check_finite = check_finite != 0; });
}
octet_status octet_session_options_set_pool(octet_session_options* options,
                                            octet_thread_pool* pool) {
  return Set(options,
             [&](octet::SessionOptions& o) { o.pool = pool != nullptr ? pool->pool : nullptr; });
}
octet_status octet_session_options_set_arena(octet_session_options* options, octet_arena* arena) {
  return Set(options, [&](octet::SessionOptions& o) {
    o.arena = arena != nullptr ? arena->arena : nullptr;
  });
}
octet_status octet_session_options_set_executor(octet_session_options* options,
                                                octet_parallel_for parallel_for, void* context) {
  return Set(options, [&](octet::SessionOptions& o) { o.executor = {parallel_for, context}; });
}

octet_status octet_session_create(const octet_model* model, int num_threads, int max_batch,
                                  octet_session** session, char** error) {
  octet::SessionOptions options;
  options.num_threads = num_threads;
  options.max_batch = max_batch;
  return CreateSession(model, options, session, error);
}

octet_status octet_session_create_with_options(const octet_model* model,
                                               const octet_session_options* options,
                                               octet_session** session, char** error) {
  return CreateSession(model, options != nullptr ? options->options : octet::SessionOptions(),
                       session, error);
}

void octet_session_destroy(octet_session* session) { delete session; }

const char* octet_session_isa(const octet_session* session) {
  return session != nullptr ? session->session->Isa() : nullptr;
}

int octet_session_num_threads(const octet_session* session) {
  return session != nullptr ? session->session->num_threads() : 0;
}

octet_status octet_session_model(const octet_session* session, octet_model** model, char** error) {
  return MakeHandle("model", model, error,
                    [&]() -> octet::Result<std::shared_ptr<const octet::Model>> {
                      if (session == nullptr) return octet::InvalidArgument("session is null");
                      return session->model;
                    });
}

octet_run_options* octet_run_options_create(void) { return new (std::nothrow) octet_run_options; }
void octet_run_options_destroy(octet_run_options* options) { delete options; }
octet_status octet_run_options_set_batch(octet_run_options* options, int batch) {
  if (options == nullptr) return OCTET_INVALID_ARGUMENT;
  options->batch = batch;
  return OCTET_OK;
}
octet_status octet_run_options_set_timeout_ms(octet_run_options* options, double milliseconds) {
  if (options == nullptr) return OCTET_INVALID_ARGUMENT;
  options->timeout_ms = milliseconds;
  return OCTET_OK;
}

octet_status octet_session_run_tensors(octet_session* session, const octet_const_buffer* inputs,
                                       size_t num_inputs, const octet_buffer* outputs,
                                       size_t num_outputs, const octet_run_options* options,
                                       char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (inputs == nullptr) return NullArgument("inputs", error);
  if (outputs == nullptr) return NullArgument("outputs", error);
  return Report(octet::Guarded([&]() -> octet::Status {
                  octet::RunOptions run;
                  if (options != nullptr) {
                    run.batch = options->batch;
                    OCTET_ASSIGN_OR_RETURN(run.deadline, DeadlineIn(options->timeout_ms));
                  }
                  return session->session->Run(Views<octet::ConstTensorView>(inputs, num_inputs),
                                               Views<octet::TensorView>(outputs, num_outputs), run);
                }),
                error);
}

octet_status octet_session_run(octet_session* session, const void* const* inputs,
                               void* const* outputs, int batch, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  return Report(session->session->Run(inputs, outputs, batch), error);
}

void octet_session_cancel(octet_session* session) {
  if (session != nullptr) session->session->Cancel();
}

octet_status octet_session_memory(const octet_session* session, octet_memory_report* report) {
  if (session == nullptr || report == nullptr) return OCTET_INVALID_ARGUMENT;
  const octet::MemoryReport m = session->session->Memory();
  octet_memory_report c = {};
  c.mapped_bytes = m.mapped_bytes;
  c.arena_bytes = m.arena_bytes;
  c.prepared_bytes = m.prepared_bytes;
  return FillStruct(c, report);
}

octet_status octet_session_profile(octet_session* session, int* num_layers, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (num_layers == nullptr) return NullArgument("num_layers", error);
  *num_layers = 0;
  octet::Result<std::vector<octet::LayerProfile>> layers = session->session->Profile();
  if (layers.ok()) {
    session->profile = std::move(layers).value();
    *num_layers = static_cast<int>(session->profile.size());
  }
  return Report(layers.status(), error);
}

octet_status octet_session_profile_layer(const octet_session* session, int index,
                                         octet_layer_profile* layer) {
  if (session == nullptr || layer == nullptr) return OCTET_INVALID_ARGUMENT;
  if (index < 0 || index >= std::ssize(session->profile)) return OCTET_INVALID_ARGUMENT;
  const octet::LayerProfile& l = session->profile[static_cast<size_t>(index)];
  octet_layer_profile c = {};
  c.name = l.name.c_str();
  c.type = l.type.c_str();
  c.kernel = l.kernel.c_str();
  c.shape = l.shape.c_str();
  c.macs = l.macs;
  c.milliseconds = l.milliseconds;
  return FillStruct(c, layer);
}

void octet_session_reset_profile(octet_session* session) {
  if (session != nullptr) session->session->ResetProfile();
}

octet_status octet_session_classify(octet_session* session, const octet_image* image, int count,
                                    int* indices, float* probabilities, int* written,
                                    char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (indices == nullptr || probabilities == nullptr || written == nullptr) {
    return NullArgument("indices, probabilities or written", error);
  }
  *written = 0;
  if (image == nullptr) return NullArgument("image", error);
  const octet::Result<std::vector<octet::Prediction>> top =
      session->session->Classify(ToImage(*image), count);
  if (top.ok()) {
    for (const octet::Prediction& p : *top) {
      indices[*written] = p.index;
      probabilities[(*written)++] = p.probability;
    }
  }
  return Report(top.status(), error);
}

octet_status octet_session_classify_batch(octet_session* session, const octet_image* images,
                                          int count, float* probabilities, size_t size,
                                          char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (images == nullptr || probabilities == nullptr)
    return NullArgument("images or probabilities", error);
  return Report(octet::Guarded([&]() -> octet::Status {
                  std::vector<octet::Image> all;
                  for (int i = 0; i < count; ++i) all.push_back(ToImage(images[i]));
                  const int64_t classes =
                      session->session->GetModel().Describe().outputs[0].shape.back();
                  if (all.size() > size / static_cast<size_t>(classes)) {
                    return octet::InvalidArgument(octet::StrCat("size is ", size, ", expected ",
                                                                all.size(), " rows of ", classes));
                  }
                  OCTET_ASSIGN_OR_RETURN(const std::vector<float> rows,
                                         session->session->ClassifyBatch(all.data(), count));
                  std::copy(rows.begin(), rows.end(), probabilities);
                  return octet::OkStatus();
                }),
                error);
}

octet_status octet_session_preprocess(const octet_session* session, const octet_image* image,
                                      void* input, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (image == nullptr) return NullArgument("image", error);
  return Report(session->session->Preprocess(ToImage(*image), input), error);
}

void octet_free(char* message) { std::free(message); }
