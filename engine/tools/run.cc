// `octet run`: inputs and outputs are those of tensor_files.h, and RunAll moves batches from the
// former to the latter. Files, names and shapes are checked before anything is computed; arrays are
// written when all samples were.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/layer_dump.h"
#include "engine/tools/tensor_files.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/progress.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

using Json = nlohmann::ordered_json;

// Of inputs and outputs that are computed at once.
constexpr int64_t kBatchBytes = int64_t{16} << 20;

Result<std::vector<InputReader>> OpenInputs(const RunFilesOptions& options,
                                            const ModelDescription& model) {
  OCTET_ASSIGN_OR_RETURN(const auto files, FilesByTensor("--input", options.inputs, model.inputs));
  std::vector<InputReader> inputs;
  for (size_t i = 0; i < files.size(); ++i) {
    inputs.emplace_back(model, i, options.raw);
    InputReader& input = inputs.back();
    if (files[i].empty()) {
      return InvalidArgument(StrCat(options.model, ": input '", model.inputs[i].name,
                                    "' is missing, expected --input for each of ",
                                    NameList(model.inputs)));
    }
    for (const std::string& path : files[i]) OCTET_RETURN_IF_ERROR(input.Add(path));
    if (input.samples() != inputs[0].samples()) {
      return InvalidArgument(StrCat(files[i][0], ": found ", input.samples(),
                                    " samples for input '", model.inputs[i].name, "', expected ",
                                    inputs[0].samples(), " as for '", model.inputs[0].name, "'"));
    }
  }
  return inputs;
}

Result<std::vector<Output>> OpenOutputs(const RunFilesOptions& options,
                                        const ModelDescription& model, int64_t samples) {
  OCTET_ASSIGN_OR_RETURN(const auto files,
                         FilesByTensor("--output", options.outputs, model.outputs));
  std::vector<Output> outputs;
  std::vector<std::filesystem::path> paths;
  for (size_t i = 0; i < files.size(); ++i) {
    if (files[i].size() > 1) {
      return InvalidArgument(StrCat(files[i][1], ": output '", model.outputs[i].name,
                                    "' is written to ", files[i][0], " already"));
    }
    outputs.emplace_back(model, i, options.raw);
    OCTET_RETURN_IF_ERROR(outputs.back().Open(files[i].empty() ? "" : files[i][0], samples));
    if (files[i].empty()) continue;
    paths.push_back(std::filesystem::path(files[i][0]).lexically_normal());
    if (std::find(paths.begin(), paths.end() - 1, paths.back()) != paths.end() - 1)
      return InvalidArgument(StrCat(files[i][0], ": expected a file for each output"));
  }
  return outputs;
}

Status RunAll(const RunFilesOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, LoadModel(options.model));
  const ModelDescription& description = model->Describe();
  OCTET_ASSIGN_OR_RETURN(std::vector<InputReader> inputs, OpenInputs(options, description));
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput(GraphOf(*model));
  if (inputs[0].reads_pixels() && !meaning.doubt.empty())
    warnings.Add(StrCat(options.model, ": ", meaning.doubt));
  OCTET_RETURN_IF_ERROR(warnings.Report("octet", options.strict));
  const int64_t samples = inputs[0].samples();
  OCTET_ASSIGN_OR_RETURN(std::vector<Output> outputs, OpenOutputs(options, description, samples));

  int64_t sample_bytes = 0;
  for (const auto* list : {&description.inputs, &description.outputs}) {
    for (const TensorDescription& t : *list) sample_bytes += static_cast<int64_t>(t.num_bytes());
  }
  const int64_t batch =
      !options.dump_layers.empty()
          ? 1
          : std::min(samples, options.batch > 0
                                  ? options.batch
                                  : std::clamp<int64_t>(kBatchBytes / sample_bytes, 1, 64));
  SessionOptions session_options;
  session_options.num_threads = options.threads;
  session_options.isa = options.isa;
  session_options.max_batch = static_cast<int>(batch);
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                         Session::Create(model, session_options));
  std::optional<LayerDump> layers;
  if (!options.dump_layers.empty()) {
    layers.emplace(session.get(), options.raw);
    OCTET_RETURN_IF_ERROR(layers->CheckSize(samples));
  }
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<const void*> in;
  std::vector<void*> out;
  buffers.reserve(inputs.size() + outputs.size());
  for (const TensorDescription& t : description.inputs) {
    buffers.emplace_back(t.num_bytes() * static_cast<size_t>(batch));
    in.push_back(buffers.back().data());
  }
  for (const TensorDescription& t : description.outputs) {
    buffers.emplace_back(t.num_bytes() * static_cast<size_t>(batch));
    out.push_back(buffers.back().data());
  }
  {
    Progress progress("running", samples);
    for (int64_t first = 0; first < samples; first += batch) {
      const int64_t count = std::min(batch, samples - first);
      for (int64_t n = 0; n < count; ++n) {
        for (size_t i = 0; i < inputs.size(); ++i) {
          OCTET_RETURN_IF_ERROR(inputs[i].Read(
              first + n, *session,
              buffers[i].data() + static_cast<size_t>(n) * description.inputs[i].num_bytes()));
        }
      }
      OCTET_RETURN_IF_ERROR(session->Run(in.data(), out.data(), static_cast<int>(count)));
      for (int64_t n = 0; n < count; ++n) {
        for (size_t i = 0; i < outputs.size(); ++i) {
          outputs[i].Add(buffers[inputs.size() + i].data() +
                         static_cast<size_t>(n) * description.outputs[i].num_bytes());
        }
      }
      progress.Update(first + count);
    }
  }
  for (const Output& o : outputs) OCTET_RETURN_IF_ERROR(o.Write());
  if (layers) OCTET_RETURN_IF_ERROR(layers->Write(options.dump_layers));
  if (!options.json) {
    for (const Output& o : outputs) o.Print(inputs[0]);
    return OkStatus();
  }
  Json j{{"model", options.model},
         {"samples", samples},
         {"isa", session->Isa()},
         {"input_meaning", meaning.text},
         {"warnings", warnings.texts()}};
  for (const Output& o : outputs) j["outputs"].push_back(o.ToJson(inputs[0]));
  std::printf("%s\n", j.dump(1, ' ', false, Json::error_handler_t::replace).c_str());
  return OkStatus();
}

}  // namespace

int Run(const RunFilesOptions& options) {
  const Status status = RunAll(options);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace octet
