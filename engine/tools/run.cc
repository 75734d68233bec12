// `octet run`. InputReader gives sample n of one input in the model's type, Output takes one
// output's results, and RunAll moves batches from the former to the latter. Files, names and shapes
// are checked before anything is computed; arrays are written when all samples were.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "engine/src/model_impl.h"
#include "engine/src/preprocess.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/file.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"
#include "formats/data/progress.h"
#include "formats/data/source_array.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

using Dims = std::vector<int64_t>;
using Json = nlohmann::ordered_json;

constexpr int kTop = 5;
// Of inputs and outputs that are computed at once.
constexpr int64_t kBatchBytes = int64_t{16} << 20;
// Of an array to write, which is kept until all are computed.
constexpr int64_t kMaxArrayBytes = int64_t{4} << 30;

/// "[n,8,8,3]" for a batch of -1.
std::string ShapeText(const Dims& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    s += StrCat(i == 0 ? "" : ",", shape[i] < 0 ? "n" : std::to_string(shape[i]));
  return s + "]";
}

/// The tensor's shape with a batch, in octet's order or with the channels first.
Dims ArrayShape(const TensorDescription& t, int64_t batch, bool channels_first) {
  Dims shape = t.shape;
  shape[0] = batch;
  if (channels_first) shape = {batch, shape[3], shape[1], shape[2]};
  return shape;
}

/// A matrix of `rows` x `columns` by columns.
template <typename T>
void Transpose(const T* in, int64_t rows, int64_t columns, T* out) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) out[c * rows + r] = in[r * columns + c];
  }
}

std::string NameList(const std::vector<TensorDescription>& tensors) {
  std::string s;
  for (const TensorDescription& t : tensors) s += StrCat(s.empty() ? "'" : ", '", t.name, "'");
  return s;
}

/// Sorts arguments NAME=FILE, or FILE where there is one tensor, by tensor.
Result<std::vector<std::vector<std::string>>> FilesByTensor(
    const std::string& option, const std::vector<std::string>& arguments,
    const std::vector<TensorDescription>& tensors) {
  std::vector<std::vector<std::string>> files(tensors.size());
  for (const std::string& argument : arguments) {
    std::optional<size_t> found;
    for (size_t i = 0; i < tensors.size(); ++i) {
      // Names may hold a '=', so that one may begin like another.
      const bool longer = !found || tensors[i].name.size() > tensors[*found].name.size();
      if (longer && argument.starts_with(tensors[i].name + "=")) found = i;
    }
    if (found) {
      files[*found].push_back(argument.substr(tensors[*found].name.size() + 1));
    } else if (argument.find('=') != std::string::npos || tensors.size() != 1) {
      return InvalidArgument(StrCat(option, " ", argument, ": expected NAME=FILE with the name ",
                                    tensors.size() == 1 ? "" : "one of ", NameList(tensors)));
    } else {
      files[0].push_back(argument);
    }
  }
  return files;
}

/// The samples of one input, from the files that were given for it, one after the other.
class InputReader {
 public:
  InputReader(const ModelDescription& model, size_t index, bool raw)
      : decoding_(model.preprocessing.decoding),
        wanted_(WantedBy(model, false)),
        input_(model.inputs[index]) {
    source_.name = input_.name;
    source_.shape = input_.shape;
    source_.channels_first = input_.channels_first;
    source_.photos =
        index == 0 && input_.shape.size() == 4 && (input_.shape[3] == 1 || input_.shape[3] == 3);
    // Nothing else can be meant by bytes for an input of codes that takes no photos.
    source_.codes = input_.dtype == DType::kU8 && (raw || !source_.photos);
    source_.scale = input_.scale;
    source_.zero_point = input_.zero_point;
    raw_pixels_ = raw && !source_.codes;
    if (raw_pixels_) source_.photos = false;  // uint8 arrays are numbers.
  }

  Status Add(const std::string& path) {
    OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
    std::vector<uint8_t> start(static_cast<size_t>(std::min<int64_t>(file.size(), 8)));
    OCTET_RETURN_IF_ERROR(file.ReadAt(0, start));
    Part part{path, std::nullopt};
    if (LooksLikeNpy(start)) {
      OCTET_ASSIGN_OR_RETURN(part.array, SourceArray::Open(path, source_));
      const NpyType type = part.array->type();
      if (source_.codes &&
          (type == NpyType::kI8 || type == NpyType::kI32 || type == NpyType::kI64)) {
        return InvalidArgument(StrCat(
            path, ": found an array of ", NpyTypeName(type),
            ", expected uint8 codes or floating-point numbers for input '", input_.name, "'"));
      }
    } else if (DetectImageFormat(start) == ImageFormat::kUnknown) {
      return Unsupported(
          StrCat(path, ": found neither an .npy array nor a JPEG, PNG, BMP or PNM image"));
    } else if (!source_.photos && !raw_pixels_) {
      return InvalidArgument(StrCat(path, ": found an image, which input '", input_.name,
                                    "' of shape ", ShapeText(input_.shape), " does not take"));
    }
    samples_ += part.size();
    parts_.push_back(std::move(part));
    return OkStatus();
  }

  int64_t samples() const { return samples_; }
  bool reads_pixels() const {
    return std::any_of(parts_.begin(), parts_.end(),
                       [](const Part& p) { return !p.array || p.array->has_pixels(); });
  }
  const TensorDescription& input() const { return input_; }

  /// Of sample n, for people.
  std::string Name(int64_t n) const {
    const Part& part = parts_[PartOf(&n)];
    return part.array ? part.array->Name(n) : part.path;
  }

  /// Fills `to`, one image in the model's type and order.
  Status Read(int64_t n, const Session& session, uint8_t* to) {
    Part& part = parts_[PartOf(&n)];
    if (!part.array) {
      OCTET_ASSIGN_OR_RETURN(const DecodedImage image, LoadImage(part.path, decoding_, wanted_));
      return session.Preprocess(ViewOf(image), to).WithContext(part.path);
    }
    SourceArray& array = *part.array;
    if (array.has_pixels()) {
      OCTET_RETURN_IF_ERROR(array.ReadPixels(n, &pixels_));
      const Image image{pixels_.data(), array.width(), array.height(),
                        FormatOfChannels(array.channels())};
      return session.Preprocess(image, to).WithContext(array.Name(n));
    }
    values_.resize(input_.num_elements());
    OCTET_RETURN_IF_ERROR(array.Read(n, values_.data()));
    input_.FromFloats(values_.data(), to);
    return OkStatus();
  }

 private:
  struct Part {
    std::string path;
    std::optional<SourceArray> array;  ///< None: a photo.
    int64_t size() const { return array ? array->size() : 1; }
  };

  /// Where sample n is, which becomes its number there.
  size_t PartOf(int64_t* n) const {
    size_t i = 0;
    for (; *n >= parts_[i].size(); ++i) *n -= parts_[i].size();
    return i;
  }

  const Decoding& decoding_;
  const Wanted wanted_;
  const TensorDescription& input_;
  SourceInput source_;
  bool raw_pixels_ = false;
  int64_t samples_ = 0;
  std::vector<Part> parts_;
  std::vector<uint8_t> pixels_;
  std::vector<float> values_;
};

/// What becomes of one output: an array to be written, or what is printed of it.
class Output {
 public:
  Output(const ModelDescription& model, size_t index, bool raw)
      : model_(model), output_(model.outputs[index]), codes_(raw && output_.dtype == DType::kU8) {}

  /// Before the long part; `path` may be empty.
  Status Open(const std::string& path, int64_t samples) {
    path_ = path;
    samples_ = samples;
    if (path.empty()) return OkStatus();
    std::error_code error;
    std::filesystem::path folder = std::filesystem::path(path).parent_path();
    if (folder.empty()) folder = ".";
    if (!std::filesystem::is_directory(folder, error))
      return NotFound(StrCat(path, ": folder ", folder.string(), " does not exist"));
    if (::access(folder.c_str(), W_OK) != 0)
      return IoError(StrCat(path, ": folder ", folder.string(), " cannot be written to"));
    if (std::filesystem::is_directory(path, error))
      return InvalidArgument(StrCat(path, ": is a folder, expected a file name"));
    int64_t bytes = 0;
    if (!CheckedMul(samples, static_cast<int64_t>(output_.num_elements() * element_bytes()),
                    &bytes) ||
        bytes > kMaxArrayBytes) {
      return InvalidArgument(StrCat(path, ": an array of shape ", ShapeText(shape()),
                                    " takes more than ", kMaxArrayBytes, " bytes"));
    }
    (codes_ ? array_codes_.reserve(static_cast<size_t>(bytes))
            : array_.reserve(static_cast<size_t>(bytes) / sizeof(float)));
    return OkStatus();
  }

  /// The next sample's.
  void Add(const uint8_t* bytes) {
    row_.resize(output_.num_elements());
    if (codes_) {
      std::copy(bytes, bytes + row_.size(), row_.begin());
    } else {
      output_.ToFloats(bytes, row_.data());
    }
    for (float v : row_) {
      if (std::isnan(v)) {
        ++nans_;
      } else {
        min_ = std::min(min_, v);
        max_ = std::max(max_, v);
      }
    }
    if (path_.empty()) {
      if (is_row()) AddTop();
      return;
    }
    if (output_.channels_first) {
      std::vector<float> ordered(row_.size());
      const int64_t channels = output_.shape[3];
      Transpose(row_.data(), static_cast<int64_t>(row_.size()) / channels, channels,
                ordered.data());
      row_.swap(ordered);
    }
    if (codes_) {
      for (float v : row_) array_codes_.push_back(static_cast<uint8_t>(v));
    } else {
      array_.insert(array_.end(), row_.begin(), row_.end());
    }
  }

  Status Write() const {
    if (path_.empty()) return OkStatus();
    return codes_ ? WriteNpy(path_, shape(), std::span(array_codes_))
                  : WriteNpy(path_, shape(), std::span(array_));
  }

  void Print(const InputReader& names) const {
    std::printf("%s %s %s, min %g, max %g", output_.name.c_str(), type(),
                ShapeText(shape()).c_str(), static_cast<double>(min_), static_cast<double>(max_));
    if (nans_ > 0) std::printf(", nan %lld", static_cast<long long>(nans_));
    std::printf("%s%s\n", path_.empty() ? "" : " -> ", path_.c_str());
    for (size_t i = 0; i < top_.size(); ++i) {
      if (i % top_count() == 0)
        std::printf("  %s\n", names.Name(static_cast<int64_t>(i / top_count())).c_str());
      const std::string label =
          Label(top_[i].first).empty() ? StrCat("class ", top_[i].first) : Label(top_[i].first);
      std::printf("    %12g  %s\n", static_cast<double>(top_[i].second), label.c_str());
    }
  }

  Json ToJson(const InputReader& names) const {
    Json j{{"name", output_.name}, {"dtype", type()}, {"shape", shape()},
           {"min", min_},          {"max", max_},     {"nan", nans_}};
    if (!path_.empty()) j["file"] = path_;
    for (size_t i = 0; i < top_.size(); ++i) {
      if (i % top_count() == 0) {
        j["top"].push_back({{"sample", names.Name(static_cast<int64_t>(i / top_count()))},
                            {"classes", Json::array()}});
      }
      const auto& [index, value] = top_[i];
      j["top"].back()["classes"].push_back(
          {{"index", index}, {"label", Label(index)}, {"value", value}});
    }
    return j;
  }

 private:
  const char* type() const { return DTypeName(codes_ ? DType::kU8 : DType::kF32); }
  size_t element_bytes() const { return codes_ ? 1 : sizeof(float); }
  Dims shape() const { return ArrayShape(output_, samples_, output_.channels_first); }
  bool is_row() const {
    return static_cast<int64_t>(output_.num_elements()) == output_.shape.back();
  }
  size_t top_count() const { return std::min<size_t>(kTop, output_.num_elements()); }

  std::string Label(int index) const {
    return model_.labels.size() == output_.num_elements()
               ? model_.labels[static_cast<size_t>(index)]
               : "";
  }

  void AddTop() {
    std::vector<int> order(row_.size());
    std::iota(order.begin(), order.end(), 0);
    const auto key = [&](int i) {  // Nothing compares with a NaN.
      const float v = row_[static_cast<size_t>(i)];
      return std::isnan(v) ? -std::numeric_limits<float>::infinity() : v;
    };
    const auto end = order.begin() + static_cast<std::ptrdiff_t>(top_count());
    std::partial_sort(order.begin(), end, order.end(),
                      [&](int a, int b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
    for (auto i = order.begin(); i != end; ++i)
      top_.emplace_back(*i, row_[static_cast<size_t>(*i)]);
  }

  const ModelDescription& model_;
  const TensorDescription& output_;
  bool codes_;  ///< As they are, not as the numbers they stand for.
  std::string path_;
  int64_t samples_ = 0, nans_ = 0;
  float min_ = std::numeric_limits<float>::infinity(), max_ = -min_;
  std::vector<float> row_, array_;
  std::vector<uint8_t> array_codes_;
  std::vector<std::pair<int, float>> top_;  ///< top_count() of each sample.
};

Result<std::vector<InputReader>> OpenInputs(const RunOptions& options,
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

Result<std::vector<Output>> OpenOutputs(const RunOptions& options, const ModelDescription& model,
                                        int64_t samples) {
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

Status RunAll(const RunOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, Model::Load(options.model));
  const ModelDescription& description = model->Describe();
  OCTET_ASSIGN_OR_RETURN(std::vector<InputReader> inputs, OpenInputs(options, description));
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput(model->impl().file.graph);
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
      std::min(samples, options.batch > 0 ? options.batch
                                          : std::clamp<int64_t>(kBatchBytes / sample_bytes, 1, 64));
  SessionOptions session_options;
  session_options.num_threads = options.threads;
  session_options.isa = options.isa;
  session_options.max_batch = static_cast<int>(batch);
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                         Session::Create(model, session_options));
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

int Run(const RunOptions& options) {
  const Status status = RunAll(options);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace octet
