// TFLite files written in code.
#ifndef OCTET_TESTS_UNIT_TFLITE_BUILDER_H_
#define OCTET_TESTS_UNIT_TFLITE_BUILDER_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "converter/import/tflite/tflite_schema_generated.h"

namespace octet::testing {

/// BuiltinOperator of the public schema.
enum TfliteCode {
  kAddCode = 0,
  kAveragePoolCode = 1,
  kConcatenationCode = 2,
  kConvCode = 3,
  kDepthwiseCode = 4,
  kDequantizeCode = 6,
  kDenseCode = 9,
  kLogisticCode = 14,
  kMaxPoolCode = 17,
  kMulCode = 18,
  kReluCode = 19,
  kLeakyReluCode = 98,
  kReluN1To1Code = 20,
  kRelu6Code = 21,
  kReshapeCode = 22,
  kSoftmaxCode = 25,
  kTanhCode = 28,
  kCustomCode = 32,
  kPadCode = 34,
  kGatherCode = 36,
  kBatchToSpaceCode = 37,
  kSpaceToBatchCode = 38,
  kTransposeCode = 39,
  kMeanCode = 40,
  kSubCode = 41,
  kDivCode = 42,
  kSqueezeCode = 43,
  kStridedSliceCode = 45,
  kSplitCode = 49,
  kLogSoftmaxCode = 50,
  kCastCode = 53,
  kMaximumCode = 55,
  kMinimumCode = 57,
  kNegCode = 59,
  kPadV2Code = 60,
  kSliceCode = 65,
  kExpandDimsCode = 70,
  kSumCode = 74,
  kShapeCode = 77,
  kFakeQuantCode = 80,
  kReduceMaxCode = 82,
  kPackCode = 83,
  kUnpackCode = 88,
  kSplitVCode = 102,
  kReverseCode = 105,
  kAddNCode = 106,
  kEluCode = 111,
  kQuantizeCode = 114,
  kRelu0To1Code = 152,
};

struct TfliteQuant {
  std::vector<float> scale;
  std::vector<int64_t> zero;
  int dimension = 0;
};

/// Writes TFLite files, operator by operator.
class TfliteBuilder {
 public:
  template <typename T = float>
  int Tensor(const std::string& name, tflite::TensorType type, const std::vector<int>& shape,
             const std::vector<T>& data = {}, const TfliteQuant& quant = {},
             const std::vector<int>& signature = {}) {
    uint32_t buffer = 0;
    if (!data.empty()) {
      buffer = static_cast<uint32_t>(buffers_.size()) + 1;  // 0 is the empty one.
      buffers_.push_back(
          tflite::CreateBuffer(fb_, fb_.CreateVector(reinterpret_cast<const uint8_t*>(data.data()),
                                                     data.size() * sizeof(T))));
    }
    flatbuffers::Offset<tflite::QuantizationParameters> q;
    if (!quant.scale.empty()) {
      q = tflite::CreateQuantizationParameters(fb_, 0, 0, fb_.CreateVector(quant.scale),
                                               fb_.CreateVector(quant.zero), 0, 0, quant.dimension);
    }
    const auto dims = fb_.CreateVector(shape);
    const auto open = signature.empty() ? flatbuffers::Offset<flatbuffers::Vector<int>>()
                                        : fb_.CreateVector(signature);
    tensors_.push_back(
        tflite::CreateTensor(fb_, dims, type, buffer, fb_.CreateString(name), q, false, 0, open));
    return static_cast<int>(tensors_.size()) - 1;
  }
  int Floats(const std::string& name, const std::vector<int>& shape,
             const std::vector<float>& data = {}) {
    return Tensor(name, tflite::TensorType::FLOAT32, shape, data);
  }
  int Ints(const std::string& name, const std::vector<int>& data) {
    return Tensor(name, tflite::TensorType::INT32, {static_cast<int>(data.size())}, data);
  }
  int Int8(const std::string& name, const std::vector<int>& shape, float scale, int zero) {
    return Tensor(name, tflite::TensorType::INT8, shape, std::vector<int8_t>(), {{scale}, {zero}});
  }
  int Int16(const std::string& name, const std::vector<int>& shape, float scale, int zero = 0) {
    return Tensor(name, tflite::TensorType::INT16, shape, std::vector<int16_t>(),
                  {{scale}, {zero}});
  }

  void Op(int code, const std::vector<int>& inputs, const std::vector<int>& outputs,
          tflite::BuiltinOptions type = tflite::BuiltinOptions::NONE,
          flatbuffers::Offset<void> options = 0, const char* custom = nullptr) {
    const auto name =
        custom == nullptr ? flatbuffers::Offset<flatbuffers::String>() : fb_.CreateString(custom);
    codes_.push_back(
        tflite::CreateOperatorCode(fb_, static_cast<int8_t>(std::min(code, 127)), name, 1, code));
    ops_.push_back(tflite::CreateOperator(fb_, static_cast<uint32_t>(codes_.size()) - 1,
                                          fb_.CreateVector(inputs), fb_.CreateVector(outputs), type,
                                          options));
  }
  void Conv(const std::vector<int>& inputs, int output, tflite::Padding padding, int stride,
            tflite::ActivationFunctionType activation = tflite::ActivationFunctionType::NONE) {
    Op(kConvCode, inputs, {output}, tflite::BuiltinOptions::Conv2DOptions,
       tflite::CreateConv2DOptions(fb_, padding, stride, stride, activation).Union());
  }
  void Dense(const std::vector<int>& inputs, int output) {
    Op(kDenseCode, inputs, {output}, tflite::BuiltinOptions::FullyConnectedOptions,
       tflite::CreateFullyConnectedOptions(fb_).Union());
  }

  flatbuffers::FlatBufferBuilder& fb() { return fb_; }

  std::string Build(const std::vector<int>& inputs, const std::vector<int>& outputs,
                    uint32_t version = 3) {
    const auto graph =
        tflite::CreateSubGraph(fb_, fb_.CreateVector(tensors_), fb_.CreateVector(inputs),
                               fb_.CreateVector(outputs), fb_.CreateVector(ops_));
    std::vector<flatbuffers::Offset<tflite::Buffer>> buffers{tflite::CreateBuffer(fb_)};
    buffers.insert(buffers.end(), buffers_.begin(), buffers_.end());
    tflite::FinishModelBuffer(
        fb_, tflite::CreateModel(fb_, version, fb_.CreateVector(codes_),
                                 fb_.CreateVector(&graph, 1), 0, fb_.CreateVector(buffers)));
    return {reinterpret_cast<const char*>(fb_.GetBufferPointer()), fb_.GetSize()};
  }

 private:
  flatbuffers::FlatBufferBuilder fb_;
  std::vector<flatbuffers::Offset<tflite::Tensor>> tensors_;
  std::vector<flatbuffers::Offset<tflite::Buffer>> buffers_;
  std::vector<flatbuffers::Offset<tflite::OperatorCode>> codes_;
  std::vector<flatbuffers::Offset<tflite::Operator>> ops_;
};

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_TFLITE_BUILDER_H_
