// A layer over the C++ library. Handles own what they stand for; enumerations have the same numbers
// on both sides; what may throw is Guarded; messages are malloc'ed for octet_free. Options begin
// with their size, so that programs and libraries of different versions fit (ReadStruct).
#include "engine/include/octet/octet_c.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/include/octet/octet.h"
#include "engine/src/guarded.h"
#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

struct octet_model {
  std::shared_ptr<const octet::Model> model;
};
struct octet_session {
  std::unique_ptr<octet::Session> session;
};

namespace {

static_assert(OCTET_INVALID_ARGUMENT == static_cast<int>(octet::StatusCode::kInvalidArgument));
static_assert(OCTET_INTERNAL == static_cast<int>(octet::StatusCode::kInternal));
static_assert(OCTET_OUT_OF_MEMORY == static_cast<int>(octet::StatusCode::kOutOfMemory));
static_assert(OCTET_COPY_AND_LOCK == static_cast<int>(octet::Residency::kCopyAndLock));
static_assert(OCTET_UINT8 == static_cast<int>(octet::DType::kU8));
static_assert(OCTET_INT16 == static_cast<int>(octet::DType::kI16));
static_assert(OCTET_YUYV == static_cast<int>(octet::PixelFormat::kYuyv));
static_assert(OCTET_BT709 == static_cast<int>(octet::YuvMatrix::kBt709));
static_assert(OCTET_FULL_RANGE == static_cast<int>(octet::YuvRange::kFull));

octet_status Report(const octet::Status& status, char** error) {
  if (error != nullptr) {
    *error = nullptr;
    if (!status.ok()) {
      *error = static_cast<char*>(std::malloc(status.message().size() + 1));
      if (*error != nullptr)
        std::memcpy(*error, status.message().c_str(), status.message().size() + 1);
    }
  }
  return static_cast<octet_status>(status.code());
}

octet_status NullArgument(const char* name, char** error) {
  return Report(
      octet::Guarded([&] { return octet::InvalidArgument(octet::StrCat(name, " is null")); }),
      error);
}

/// Reads a caller's options, which may be those of an older or newer version; what it does not have
/// is 0.
template <typename Options>
octet::Status ReadStruct(const Options* from, const char* type, Options* to) {
  *to = {};
  if (from == nullptr) return octet::OkStatus();
  if (from->size < sizeof(from->size)) {
    return octet::InvalidArgument(
        octet::StrCat(type, ": size: found ", from->size, ", expected ", sizeof(Options)));
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(from);
  for (size_t i = sizeof(Options); i < from->size; ++i) {
    if (bytes[i] == 0) continue;
    return octet::Unsupported(octet::StrCat(type, ": byte ", i, ": found ", int{bytes[i]},
                                            ", expected 0: this version does not know the field"));
  }
  std::memcpy(static_cast<void*>(to), from, std::min(from->size, sizeof(Options)));
  return octet::OkStatus();
}

octet::Result<octet::ModelOptions> ToModelOptions(const octet_model_options* from) {
  octet_model_options o;
  OCTET_RETURN_IF_ERROR(ReadStruct(from, "octet_model_options", &o));
  octet::ModelOptions options;
  options.verify_checksum = o.skip_checksum == 0;
  if (o.residency < OCTET_MAP || o.residency > OCTET_COPY_AND_LOCK) {
    return octet::InvalidArgument(
        octet::StrCat("residency: found ", static_cast<int>(o.residency), ", expected 0 to 2"));
  }
  options.residency = static_cast<octet::Residency>(o.residency);
  if (o.max_memory != 0) options.max_memory = o.max_memory;
  if (o.max_nodes != 0) options.max_nodes = o.max_nodes;
  return options;
}

/// Sets *model to what `load` gives for the options.
template <typename Load>
octet_status LoadModel(const octet_model_options* c_options, octet_model** model, char** error,
                       Load load) {
  if (model == nullptr) return NullArgument("model", error);
  *model = nullptr;
  return Report(octet::Guarded([&]() -> octet::Status {
                  OCTET_ASSIGN_OR_RETURN(const octet::ModelOptions options,
                                         ToModelOptions(c_options));
                  OCTET_ASSIGN_OR_RETURN(std::shared_ptr<const octet::Model> loaded, load(options));
                  *model = new octet_model{std::move(loaded)};
                  return octet::OkStatus();
                }),
                error);
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
  return Report(octet::Guarded([&]() -> octet::Status {
                  OCTET_ASSIGN_OR_RETURN(std::unique_ptr<octet::Session> created,
                                         octet::Session::Create(model->model, options));
                  *session = new octet_session{std::move(created)};
                  return octet::OkStatus();
                }),
                error);
}

octet_status Describe(const octet_model* model,
                      std::vector<octet::TensorDescription> octet::ModelDescription::*list,
                      int index, octet_tensor* out) {
  if (model == nullptr || out == nullptr) return OCTET_INVALID_ARGUMENT;
  const std::vector<octet::TensorDescription>& all = model->model->Describe().*list;
  if (index < 0 || index >= static_cast<int>(all.size())) return OCTET_INVALID_ARGUMENT;
  const octet::TensorDescription& t = all[index];
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

octet_status octet_model_load(const char* path, octet_model** model, char** error) {
  return octet_model_load_with(path, nullptr, model, error);
}

octet_status octet_model_load_with(const char* path, const octet_model_options* options,
                                   octet_model** model, char** error) {
  if (path == nullptr) return NullArgument("path", error);
  return LoadModel(options, model, error,
                   [&](const octet::ModelOptions& o) { return octet::Model::Load(path, o); });
}

octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                     char** error) {
  return octet_model_from_memory_with(data, size, nullptr, model, error);
}

octet_status octet_model_from_memory_with(const void* data, size_t size,
                                          const octet_model_options* options, octet_model** model,
                                          char** error) {
  if (data == nullptr) return NullArgument("data", error);
  return LoadModel(options, model, error, [&](const octet::ModelOptions& o) {
    return octet::Model::FromMemory(data, size, o);
  });
}

void octet_model_destroy(octet_model* model) { delete model; }

const char* octet_model_name(const octet_model* model) {
  return model != nullptr ? model->model->Describe().name.c_str() : nullptr;
}
int octet_model_num_inputs(const octet_model* model) {
  return model != nullptr ? static_cast<int>(model->model->Describe().inputs.size()) : 0;
}
int octet_model_num_outputs(const octet_model* model) {
  return model != nullptr ? static_cast<int>(model->model->Describe().outputs.size()) : 0;
}
octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(model, &octet::ModelDescription::inputs, index, tensor);
}
octet_status octet_model_output(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(model, &octet::ModelDescription::outputs, index, tensor);
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
const char* octet_model_precision(const octet_model* model) {
  return model != nullptr ? octet::PrecisionName(model->model->Describe().precision) : nullptr;
}
int octet_model_num_labels(const octet_model* model) {
  return model != nullptr ? static_cast<int>(model->model->Describe().labels.size()) : 0;
}
const char* octet_model_label(const octet_model* model, int index) {
  if (index < 0 || index >= octet_model_num_labels(model)) return nullptr;
  return model->model->Describe().labels[index].c_str();
}

octet_status octet_session_create(const octet_model* model, int num_threads, int max_batch,
                                  octet_session** session, char** error) {
  if (model == nullptr) return NullArgument("model", error);
  octet::SessionOptions options;
  options.num_threads = num_threads;
  options.max_batch = max_batch;
  return CreateSession(model, options, session, error);
}

octet_status octet_session_create_with(const octet_model* model,
                                       const octet_session_options* options,
                                       octet_session** session, char** error) {
  if (model == nullptr) return NullArgument("model", error);
  octet::SessionOptions read;
  const octet::Status status = octet::Guarded([&]() -> octet::Status {
    octet_session_options o;
    OCTET_RETURN_IF_ERROR(ReadStruct(options, "octet_session_options", &o));
    if (o.num_threads != 0) read.num_threads = o.num_threads;
    if (o.max_batch != 0) read.max_batch = o.max_batch;
    if (o.isa != nullptr) read.isa = o.isa;
    read.winograd = o.no_winograd == 0;
    read.check_finite = o.check_finite != 0;
    return octet::OkStatus();
  });
  if (!status.ok()) return Report(status, error);
  return CreateSession(model, read, session, error);
}

void octet_session_destroy(octet_session* session) { delete session; }

const char* octet_session_isa(const octet_session* session) {
  return session != nullptr ? session->session->Isa() : nullptr;
}

octet_status octet_session_run(octet_session* session, const void* const* inputs,
                               void* const* outputs, int batch, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  return Report(session->session->Run(inputs, outputs, batch), error);
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
