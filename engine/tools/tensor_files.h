// Files of tensors: arrays and photos that a network is given, and arrays of what it answers.
#ifndef OCTET_ENGINE_TOOLS_TENSOR_FILES_H_
#define OCTET_ENGINE_TOOLS_TENSOR_FILES_H_

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "formats/base/dtype.h"
#include "formats/data/image.h"
#include "formats/data/source_array.h"

namespace octet {

/// "'a', 'b'".
std::string NameList(const std::vector<TensorDescription>& tensors);

/// Sorts arguments NAME=FILE, or FILE where there is one tensor, by tensor.
Result<std::vector<std::vector<std::string>>> FilesByTensor(
    const std::string& option, const std::vector<std::string>& arguments,
    const std::vector<TensorDescription>& tensors);

/// The samples of one input, from the files that were given for it, one after the other. `model`
/// outlives it.
class InputReader {
 public:
  InputReader(const ModelDescription& model, size_t index, bool raw);

  Status Add(const std::string& path);

  int64_t samples() const { return samples_; }
  bool reads_pixels() const;
  const TensorDescription& input() const { return input_; }

  /// Of sample n, for people.
  std::string Name(int64_t n) const;

  /// Fills `to`, one image in the model's type and order.
  Status Read(int64_t n, const Session& session, uint8_t* to);

 private:
  struct Part {
    std::string path;
    std::optional<SourceArray> array;  ///< None: a photo.
    int64_t size() const { return array ? array->size() : 1; }
  };

  /// Where sample n is, which becomes its number there.
  size_t PartOf(int64_t* n) const;

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

/// What becomes of one output: an array to be written, in the order of the source's, or what is
/// printed of it. `model` outlives it.
class Output {
 public:
  Output(const ModelDescription& model, size_t index, bool raw)
      : model_(model), output_(model.outputs[index]), codes_(raw && IsCodes(output_.dtype)) {}

  /// Before the long part; `path` may be empty.
  Status Open(const std::string& path, int64_t samples);

  /// The next sample's.
  void Add(const uint8_t* bytes);

  Status Write() const;
  void Print(const InputReader& names) const;
  nlohmann::ordered_json ToJson(const InputReader& names) const;

 private:
  const char* type() const { return DTypeName(codes_ ? output_.dtype : DType::kF32); }
  size_t element_bytes() const { return codes_ ? DTypeSize(output_.dtype) : sizeof(float); }
  std::vector<int64_t> shape() const;
  bool is_row() const {
    return static_cast<int64_t>(output_.num_elements()) == output_.shape.back();
  }
  size_t top_count() const;
  std::string Label(int index) const;
  void AddTop();

  const ModelDescription& model_;
  const TensorDescription& output_;
  bool codes_;  ///< As they are, not as the numbers they stand for.
  std::string path_;
  int64_t samples_ = 0, nans_ = 0;
  float min_ = std::numeric_limits<float>::infinity(), max_ = -min_;
  std::vector<float> row_, array_;
  std::vector<int16_t> array_codes_;
  std::vector<std::pair<int, float>> top_;  ///< top_count() of each sample.
};

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_TENSOR_FILES_H_
