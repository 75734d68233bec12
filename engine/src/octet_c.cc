#include "engine/include/octet/octet_c.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "engine/include/octet/octet.h"

struct octet_model {
  std::shared_ptr<const octet::Model> model;
};
struct octet_session {
  std::unique_ptr<octet::Session> session;
};

namespace {

static_assert(OCTET_INVALID_ARGUMENT == static_cast<int>(octet::StatusCode::kInvalidArgument));
static_assert(OCTET_INTERNAL == static_cast<int>(octet::StatusCode::kInternal));
static_assert(OCTET_UINT8 == static_cast<int>(octet::DType::kU8));

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
  return Report(octet::InvalidArgument(std::string(name) + " is null"), error);
}

octet_status Finish(octet::Result<std::shared_ptr<const octet::Model>> result, octet_model** model,
                    char** error) {
  if (result.ok()) *model = new octet_model{std::move(result).value()};
  return Report(result.status(), error);
}

octet_status Describe(const std::vector<octet::TensorDescription>& all, int index,
                      octet_tensor* out) {
  if (out == nullptr || index < 0 || index >= static_cast<int>(all.size()))
    return OCTET_INVALID_ARGUMENT;
  const octet::TensorDescription& t = all[index];
  *out = {};
  out->name = t.name.c_str();
  out->dtype = static_cast<octet_dtype>(t.dtype);
  out->rank = static_cast<int>(t.shape.size());
  for (int i = 0; i < out->rank; ++i) out->shape[i] = t.shape[i];
  out->scale = t.scale;
  out->zero_point = t.zero_point;
  return OCTET_OK;
}

}  // namespace

octet_status octet_model_load(const char* path, octet_model** model, char** error) {
  if (path == nullptr) return NullArgument("path", error);
  if (model == nullptr) return NullArgument("model", error);
  *model = nullptr;
  return Finish(octet::Model::Load(path), model, error);
}

octet_status octet_model_from_memory(const void* data, size_t size, octet_model** model,
                                     char** error) {
  if (data == nullptr) return NullArgument("data", error);
  if (model == nullptr) return NullArgument("model", error);
  *model = nullptr;
  return Finish(octet::Model::FromMemory(data, size), model, error);
}

void octet_model_destroy(octet_model* model) { delete model; }

const char* octet_model_name(const octet_model* model) {
  return model->model->Describe().name.c_str();
}
int octet_model_num_inputs(const octet_model* model) {
  return static_cast<int>(model->model->Describe().inputs.size());
}
int octet_model_num_outputs(const octet_model* model) {
  return static_cast<int>(model->model->Describe().outputs.size());
}
octet_status octet_model_input(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(model->model->Describe().inputs, index, tensor);
}
octet_status octet_model_output(const octet_model* model, int index, octet_tensor* tensor) {
  return Describe(model->model->Describe().outputs, index, tensor);
}
int octet_model_num_labels(const octet_model* model) {
  return static_cast<int>(model->model->Describe().labels.size());
}
const char* octet_model_label(const octet_model* model, int index) {
  const std::vector<std::string>& labels = model->model->Describe().labels;
  return index >= 0 && index < static_cast<int>(labels.size()) ? labels[index].c_str() : nullptr;
}

octet_status octet_session_create(const octet_model* model, int num_threads, int max_batch,
                                  octet_session** session, char** error) {
  if (model == nullptr) return NullArgument("model", error);
  if (session == nullptr) return NullArgument("session", error);
  *session = nullptr;
  octet::SessionOptions options;
  options.num_threads = num_threads;
  options.max_batch = max_batch;
  octet::Result<std::unique_ptr<octet::Session>> result =
      octet::Session::Create(model->model, options);
  if (result.ok()) *session = new octet_session{std::move(result).value()};
  return Report(result.status(), error);
}

void octet_session_destroy(octet_session* session) { delete session; }

octet_status octet_session_run(octet_session* session, const void* const* inputs,
                               void* const* outputs, int batch, char** error) {
  if (session == nullptr) return NullArgument("session", error);
  return Report(session->session->Run(inputs, outputs, batch), error);
}

octet_status octet_session_classify(octet_session* session, const uint8_t* pixels, int width,
                                    int height, int channels, int64_t row_stride, int count,
                                    int* indices, float* probabilities, int* written,
                                    char** error) {
  if (session == nullptr) return NullArgument("session", error);
  if (indices == nullptr || probabilities == nullptr || written == nullptr) {
    return NullArgument("indices, probabilities or written", error);
  }
  *written = 0;
  octet::Result<std::vector<octet::Prediction>> top =
      session->session->Classify({pixels, width, height, channels, row_stride}, count);
  if (top.ok()) {
    for (const octet::Prediction& p : *top) {
      indices[*written] = p.index;
      probabilities[(*written)++] = p.probability;
    }
  }
  return Report(top.status(), error);
}

void octet_free(char* message) { std::free(message); }
