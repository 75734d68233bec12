#include "converter/report/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "converter/import/builder/graph_builder.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"

namespace octet {
namespace {

std::string ShapeText(const std::vector<int64_t>& shape) {
  std::string s = "[";
  for (size_t i = 0; i < shape.size(); ++i) s += StrCat(i == 0 ? "" : ",", shape[i]);
  return s + "]";
}

/// The model's input shape with `n` for the batch.
std::string WantedShape(std::vector<int64_t> shape) {
  std::string s = ShapeText(shape);
  return "[n" + s.substr(2);
}

enum class Order { kPixels, kAsModel, kChannelsFirst };

Result<Order> OrderOf(const NpyHeader& header, const TensorDescription& input) {
  const std::vector<int64_t>& want = input.shape;
  const bool image = want.size() == 4 && (want[3] == 1 || want[3] == 3);
  if (image && header.type == NpyType::kU8 && header.shape.size() == 4 &&
      header.shape[3] == want[3])
    return Order::kPixels;
  if (header.shape.size() == want.size()) {
    if (std::equal(want.begin() + 1, want.end(), header.shape.begin() + 1)) return Order::kAsModel;
    if (want.size() == 4 && header.shape[1] == want[3] && header.shape[2] == want[1] &&
        header.shape[3] == want[2]) {
      return Order::kChannelsFirst;
    }
  }
  // Gray images and vectors as some sources have them: dimensions of 1 more or less.
  const auto sizes = [](const std::vector<int64_t>& shape) {
    std::vector<int64_t> list;
    for (size_t i = 1; i < shape.size(); ++i) {
      if (shape[i] != 1) list.push_back(shape[i]);
    }
    return list;
  };
  if (header.shape.size() > 1 && sizes(header.shape) == sizes(want)) return Order::kAsModel;
  return InvalidArgument(StrCat("shape ", ShapeText(header.shape), " of ", NpyTypeName(header.type),
                                ", expected ", WantedShape(want),
                                want.size() == 4 ? ", channels last or first" : "",
                                image ? ", or uint8 images" : ""));
}

/// One image after the other from the file, as the model's first input.
class InputReader {
 public:
  static Result<InputReader> Open(const std::string& path, const TensorDescription& input,
                                  const Preprocessing& source) {
    OCTET_ASSIGN_OR_RETURN(NpyReader file, NpyReader::Open(path));
    Result<Order> order = OrderOf(file.header(), input);
    if (!order.ok()) return Status(order.status()).WithContext(path);
    if (file.header().shape[0] < 1)
      return InvalidArgument(
          StrCat(path, ": shape ", ShapeText(file.header().shape), " has no images"));
    return InputReader(std::move(file), *order, input, source);
  }

  int64_t images() const { return file_.header().shape[0]; }

  /// Fills `to`, one image in the model's type.
  Status Read(int64_t n, const Session& session, uint8_t* to) {
    const int64_t size = file_.header().elements / images();
    if (order_ == Order::kPixels) {
      pixels_.resize(static_cast<size_t>(size));
      OCTET_RETURN_IF_ERROR(file_.Read(n * size, size, pixels_.data()));
      const std::vector<int64_t>& shape = file_.header().shape;
      if (shape[1] > std::numeric_limits<int>::max() ||
          shape[2] > std::numeric_limits<int>::max()) {
        return InvalidArgument(StrCat("images of shape ", ShapeText(shape)));
      }
      Image image{pixels_.data(), static_cast<int>(shape[2]), static_cast<int>(shape[1]),
                  static_cast<int>(shape[3]), 0};
      return session.Preprocess(image, to);
    }
    values_.resize(static_cast<size_t>(size));
    OCTET_RETURN_IF_ERROR(file_.ReadFloats(n * size, size, values_.data()));
    OCTET_RETURN_IF_ERROR(CheckFinite(values_));
    const int64_t channels = input_.shape.back(), pixels = size / channels;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t c = i % channels;
      const int64_t at = source_.order == ChannelOrder::kBgr && channels == 3 ? 2 - c : c;
      const int64_t from =
          order_ == Order::kChannelsFirst ? at * pixels + i / channels : i - c + at;
      float v = values_[static_cast<size_t>(from)];
      // A preprocessing speaks of images; others have none.
      if (c < 3)
        v = (v * source_.scale - source_.mean[static_cast<size_t>(c)]) /
            source_.stddev[static_cast<size_t>(c)];
      if (input_.dtype == DType::kU8) {
        const float q = std::nearbyint(v / input_.scale) + static_cast<float>(input_.zero_point);
        to[i] = static_cast<uint8_t>(std::clamp(q, 0.0f, 255.0f));
      } else {
        reinterpret_cast<float*>(to)[i] = v;
      }
    }
    return OkStatus();
  }

 private:
  InputReader(NpyReader file, Order order, TensorDescription input, Preprocessing source)
      : file_(std::move(file)),
        order_(order),
        input_(std::move(input)),
        source_(std::move(source)) {}

  NpyReader file_;
  Order order_;
  TensorDescription input_;
  Preprocessing source_;
  std::vector<uint8_t> pixels_;
  std::vector<float> values_;
};

/// How the answers of an output of codes are written: as codes, when they are whole numbers that a
/// code may be and beyond what codes stand for; else as numbers.
struct AnswerForm {
  bool codes = false;
  double offset = 0.0;  ///< Of int8 codes, which are 128 lower.
};

Result<AnswerForm> FormOf(const NpyReader& reference, const TensorDescription& out) {
  AnswerForm form;
  if (out.dtype != DType::kU8) return form;
  double low = 0.0, high = 0.0;
  std::vector<float> values;
  constexpr int64_t kAtOnce = 1 << 16;
  for (int64_t at = 0; at < reference.header().elements; at += kAtOnce) {
    values.resize(static_cast<size_t>(std::min(kAtOnce, reference.header().elements - at)));
    OCTET_RETURN_IF_ERROR(
        reference.ReadFloats(at, static_cast<int64_t>(values.size()), values.data()));
    for (float v : values) {
      if (!(v == std::nearbyint(v))) return form;
      low = std::min(low, static_cast<double>(v)), high = std::max(high, static_cast<double>(v));
    }
  }
  const double lowest = -static_cast<double>(out.scale) * out.zero_point,
               highest = static_cast<double>(out.scale) * (255 - out.zero_point);
  const bool fits = low >= 0.0 ? high <= 255.0 : low >= -128.0 && high <= 127.0;
  form.codes = fits && (low < lowest - 0.5 * out.scale || high > highest + 0.5 * out.scale);
  form.offset = low < 0.0 ? 128.0 : 0.0;
  return form;
}

/// `a` unless `b` is larger or not a number.
double LargerOrNan(double a, double b) { return b <= a || std::isnan(a) ? a : b; }

}  // namespace

Result<Comparison> CompareWithReference(const std::shared_ptr<const Model>& model,
                                        const Preprocessing& source, const std::string& input_path,
                                        const std::string& reference_path) {
  const ModelDescription& description = model->Describe();
  if (description.inputs.size() != 1) {
    return Unsupported(
        StrCat("the network has ", description.inputs.size(), " inputs, a comparison takes 1"));
  }
  OCTET_ASSIGN_OR_RETURN(InputReader inputs,
                         InputReader::Open(input_path, description.inputs[0], source));
  OCTET_ASSIGN_OR_RETURN(const NpyReader reference, NpyReader::Open(reference_path));
  const TensorDescription& out = description.outputs[0];
  const int64_t size = static_cast<int64_t>(out.num_elements());
  const NpyHeader& header = reference.header();
  if (header.shape.empty() || header.shape[0] != inputs.images() ||
      header.elements != inputs.images() * size) {
    std::vector<int64_t> want = out.shape;
    want[0] = inputs.images();
    return InvalidArgument(StrCat(reference_path, ": shape ", ShapeText(header.shape),
                                  ", expected ", ShapeText(want), " for the ", inputs.images(),
                                  " inputs of ", input_path));
  }

  // Feature maps may be written as the source has them.
  const std::vector<int64_t>& shape = out.shape;
  const bool maps = shape.size() == 4 && header.shape.size() == 4;
  const bool channels_first =
      maps && !std::equal(shape.begin() + 1, shape.end(), header.shape.begin() + 1) &&
      header.shape[1] == shape[3] && header.shape[2] == shape[1] && header.shape[3] == shape[2];
  OCTET_ASSIGN_OR_RETURN(const AnswerForm form, FormOf(reference, out));
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Create(model));
  std::vector<uint8_t> input(description.inputs[0].num_bytes());
  std::vector<std::vector<uint8_t>> outputs;
  for (const TensorDescription& t : description.outputs) outputs.emplace_back(t.num_bytes());
  std::vector<void*> output_pointers;
  for (std::vector<uint8_t>& o : outputs) output_pointers.push_back(o.data());
  std::vector<float> got(static_cast<size_t>(size)), want(static_cast<size_t>(size));

  Comparison result;
  result.images = inputs.images();
  double largest = 0.0;
  for (int64_t n = 0; n < result.images; ++n) {
    OCTET_RETURN_IF_ERROR(
        inputs.Read(n, *session, input.data()).WithContext(StrCat(input_path, ": image ", n)));
    OCTET_RETURN_IF_ERROR(reference.ReadFloats(n * size, size, want.data()));
    OCTET_RETURN_IF_ERROR(CheckFinite(want).WithContext(StrCat(reference_path, ": image ", n)));
    if (channels_first) want = Permuted<float>(want, {shape[3], shape[1], shape[2]}, {1, 2, 0});
    const void* x = input.data();
    OCTET_RETURN_IF_ERROR(session->Run(&x, output_pointers.data()));
    out.ToFloats(outputs[0].data(), got.data());
    if (form.codes) {
      for (size_t i = 0; i < got.size(); ++i)
        got[i] = static_cast<float>(outputs[0][i] - form.offset);
    }
    for (size_t at = 0; at < got.size(); ++at) {
      const double difference = std::fabs(static_cast<double>(got[at]) - want[at]);
      result.absolute_error = LargerOrNan(result.absolute_error, difference);
      largest = LargerOrNan(largest, std::fabs(static_cast<double>(want[at])));
    }
    const auto top1 = [](const std::vector<float>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    result.equal_top1 += top1(got) == top1(want);
  }
  result.relative_error = result.absolute_error == 0.0 ? 0.0 : result.absolute_error / largest;
  return result;
}

}  // namespace octet
