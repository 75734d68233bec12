// InputReader opens arrays when they are added and reads sample n from the file that holds it,
// photos when they are asked for. Output keeps an array's values until all are there, or of each
// sample the largest ones, to be printed.
#include "engine/tools/tensor_files.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <span>

#include "engine/src/model_impl.h"
#include "engine/src/preprocess.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/closest.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

using Dims = std::vector<int64_t>;
using Json = nlohmann::ordered_json;

constexpr int kTop = 5;
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

}  // namespace

std::string NameList(const std::vector<TensorDescription>& tensors) {
  std::string s;
  for (const TensorDescription& t : tensors) s += StrCat(s.empty() ? "'" : ", '", t.name, "'");
  return s;
}

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
      std::vector<std::string> names;
      for (const TensorDescription& t : tensors) names.push_back(t.name);
      return InvalidArgument(StrCat(option, " ", argument, ": expected NAME=FILE with the name ",
                                    tensors.size() == 1 ? "" : "one of ", NameList(tensors),
                                    DidYouMean(argument.substr(0, argument.find('=')), names)));
    } else {
      files[0].push_back(argument);
    }
  }
  return files;
}

InputReader::InputReader(const ModelDescription& model, size_t index, bool raw)
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
  source_.int16 = input_.dtype == DType::kI16;
  source_.scale = input_.scale;
  source_.zero_point = input_.zero_point;
  source_.by_channel = input_.by_channel;
  raw_pixels_ = raw && !source_.codes;
  if (raw_pixels_) source_.photos = false;  // uint8 arrays are numbers.
}

Status InputReader::Add(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  std::vector<uint8_t> start(static_cast<size_t>(std::min<int64_t>(file.size(), 8)));
  OCTET_RETURN_IF_ERROR(file.ReadAt(0, start));
  Part part{path, std::nullopt};
  if (LooksLikeNpy(start)) {
    OCTET_ASSIGN_OR_RETURN(part.array, SourceArray::Open(path, source_));
    const NpyType type = part.array->type();
    if (source_.codes && (type == NpyType::kI8 || type == NpyType::kI16 || type == NpyType::kI32 ||
                          type == NpyType::kI64)) {
      return InvalidArgument(StrCat(path, ": found an array of ", NpyTypeName(type),
                                    ", expected uint8 codes or floating-point numbers for input '",
                                    input_.name, "'"));
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

bool InputReader::reads_pixels() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& p) { return !p.array || p.array->has_pixels(); });
}

std::string InputReader::Name(int64_t n) const {
  const Part& part = parts_[PartOf(&n)];
  return part.array ? part.array->Name(n) : part.path;
}

Status InputReader::Read(int64_t n, const Session& session, uint8_t* to) {
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

size_t InputReader::PartOf(int64_t* n) const {
  size_t i = 0;
  for (; *n >= parts_[i].size(); ++i) *n -= parts_[i].size();
  return i;
}

Status Output::Open(const std::string& path, int64_t samples) {
  path_ = path;
  samples_ = samples;
  if (path.empty()) return OkStatus();
  std::error_code error;
  std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (!std::filesystem::is_directory(folder, error))
    return NotFound(StrCat(path, ": folder ", folder.string(), " does not exist"));
  if (!IsWritableFolder(folder.string()))
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
  (codes_ ? array_codes_.reserve(static_cast<size_t>(bytes) / element_bytes())
          : array_.reserve(static_cast<size_t>(bytes) / sizeof(float)));
  return OkStatus();
}

void Output::Add(const uint8_t* bytes) {
  row_.resize(output_.num_elements());
  if (codes_) {
    for (size_t i = 0; i < row_.size(); ++i)
      row_[i] = static_cast<float>(CodeAt(output_.dtype, bytes, i));
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
    Transpose(row_.data(), static_cast<int64_t>(row_.size()) / channels, channels, ordered.data());
    row_.swap(ordered);
  }
  if (codes_) {
    for (float v : row_) array_codes_.push_back(static_cast<int16_t>(v));
  } else {
    array_.insert(array_.end(), row_.begin(), row_.end());
  }
}

Status Output::Write() const {
  if (path_.empty()) return OkStatus();
  if (!codes_) return WriteNpy(path_, shape(), std::span(array_));
  if (output_.dtype == DType::kI16) return WriteNpy(path_, shape(), std::span(array_codes_));
  const std::vector<uint8_t> bytes(array_codes_.begin(), array_codes_.end());
  return WriteNpy(path_, shape(), std::span(bytes));
}

void Output::Print(const InputReader& names) const {
  std::printf("%s %s %s, min %g, max %g", output_.name.c_str(), type(), ShapeText(shape()).c_str(),
              static_cast<double>(min_), static_cast<double>(max_));
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

Json Output::ToJson(const InputReader& names) const {
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

std::vector<int64_t> Output::shape() const {
  return ArrayShape(output_, samples_, output_.channels_first);
}

size_t Output::top_count() const { return std::min<size_t>(kTop, output_.num_elements()); }

std::string Output::Label(int index) const {
  return model_.labels.size() == output_.num_elements() ? model_.labels[static_cast<size_t>(index)]
                                                        : "";
}

void Output::AddTop() {
  std::vector<int> order(row_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int i) {  // Nothing compares with a NaN.
    const float v = row_[static_cast<size_t>(i)];
    return std::isnan(v) ? -std::numeric_limits<float>::infinity() : v;
  };
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(top_count());
  std::partial_sort(order.begin(), end, order.end(),
                    [&](int a, int b) { return key(a) != key(b) ? key(a) > key(b) : a < b; });
  for (auto i = order.begin(); i != end; ++i) top_.emplace_back(*i, row_[static_cast<size_t>(*i)]);
}

}  // namespace octet
