// A graph's answers against those that a framework gave, which lie as .npy files in a folder.
#ifndef OCTET_TESTS_GOLDEN_ANSWERS_H_
#define OCTET_TESTS_GOLDEN_ANSWERS_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/src/model_impl.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"

namespace octet::testing {

/// A .npy file as a whole.
struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;
  NpyType type = NpyType::kF32;
};

inline Result<Array> ReadArray(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const NpyReader file, NpyReader::Open(path));
  Array array{file.header().shape, std::vector<float>(static_cast<size_t>(file.header().elements)),
              file.header().type};
  OCTET_RETURN_IF_ERROR(file.ReadFloats(0, file.header().elements, array.values.data()));
  return array;
}

/// [n,channels,height,width] as channels last.
inline Array ChannelsLast(const Array& x) {
  const int64_t n = x.shape[0], channels = x.shape[1], pixels = x.shape[2] * x.shape[3];
  Array y{{n, x.shape[2], x.shape[3], channels}, {}, x.type};
  y.values.reserve(x.values.size());
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t p = 0; p < pixels; ++p) {
      for (int64_t c = 0; c < channels; ++c)
        y.values.push_back(x.values[static_cast<size_t>((i * channels + c) * pixels + p)]);
    }
  }
  return y;
}

/// One sample of `x` as the input's type has it; integers are the codes of an input of codes.
inline std::vector<uint8_t> Encode(const Array& x, size_t sample, const TensorDescription& input) {
  const size_t size = input.num_elements();
  std::vector<float> values(x.values.begin() + static_cast<std::ptrdiff_t>(sample * size),
                            x.values.begin() + static_cast<std::ptrdiff_t>((sample + 1) * size));
  if (input.dtype == DType::kU8 && (x.type == NpyType::kU8 || x.type == NpyType::kI8)) {
    for (float& v : values) {
      v = input.scale *
          (v + (x.type == NpyType::kI8 ? 128.0f : 0.0f) - static_cast<float>(input.zero_point));
    }
  }
  std::vector<uint8_t> bytes(input.num_bytes());
  input.FromFloats(values.data(), bytes.data());
  return bytes;
}

struct Error {
  double relative = 0.0;  ///< To the largest answer; NaN where a value is.
  double absolute = 0.0;
};

/// Runs the graph on a case's inputs. An error says what does not fit.
inline Result<Error> Measure(Graph graph, const std::string& folder, bool channels_first) {
  OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model,
                         ModelFromGraph(std::move(graph)));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  const ModelDescription& description = model->Describe();
  const TensorDescription& in = description.inputs[0];
  OCTET_ASSIGN_OR_RETURN(Array x, ReadArray(folder + "/input.npy"));
  if (channels_first && x.shape.size() == 4) x = ChannelsLast(x);
  const size_t n = static_cast<size_t>(x.shape[0]), size = in.num_elements();
  if (x.values.size() != n * size)
    return InternalError(StrCat("the input has ", size, " elements, not ", x.values.size() / n));
  std::vector<Array> expected;
  std::vector<std::vector<uint8_t>> got;
  std::vector<void*> out;
  for (const TensorDescription& t : description.outputs) {
    const std::string name = expected.empty() ? "expected" : StrCat("expected_", expected.size());
    OCTET_ASSIGN_OR_RETURN(expected.emplace_back(), ReadArray(StrCat(folder, "/", name, ".npy")));
    if (expected.back().values.size() != n * t.num_elements())
      return InternalError(StrCat(name, " has ", expected.back().values.size() / n,
                                  " elements, not ", t.num_elements()));
    out.push_back(got.emplace_back(t.num_bytes()).data());
  }
  if (std::filesystem::exists(StrCat(folder, "/expected_", expected.size(), ".npy")))
    return InternalError("an output is missing");
  std::vector<double> largest(expected.size()), worst(expected.size());
  for (size_t i = 0; i < n; ++i) {
    const std::vector<uint8_t> input = Encode(x, i, in);
    const void* const inputs[] = {input.data()};
    OCTET_RETURN_IF_ERROR(session->Run(inputs, out.data()));
    for (size_t o = 0; o < expected.size(); ++o) {
      std::vector<float> values(description.outputs[o].num_elements());
      description.outputs[o].ToFloats(got[o].data(), values.data());
      for (size_t k = 0; k < values.size(); ++k) {
        const double want = expected[o].values[i * values.size() + k],
                     difference = std::fabs(want - values[k]);
        if (!(difference <= worst[o])) worst[o] = difference;
        largest[o] = std::max(largest[o], std::fabs(want));
      }
    }
  }
  Error error;
  for (size_t o = 0; o < expected.size(); ++o) {
    const double relative = worst[o] == 0.0 ? 0.0 : worst[o] / largest[o];
    if (!(relative <= error.relative)) error = {relative, worst[o]};
  }
  return error;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_GOLDEN_ANSWERS_H_
