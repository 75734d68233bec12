// The description of a network of 15,000 multiply-accumulates, and checkpoints for it.
#ifndef OCTET_TESTS_FUZZ_TINY_CHECKPOINT_H_
#define OCTET_TESTS_FUZZ_TINY_CHECKPOINT_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "formats/base/dtype.h"
#include "tests/unit/pytorch_builder.h"
#include "tests/unit/safetensors_builder.h"

namespace octet::testing {

inline constexpr char kTinyDescription[] =
    R"({"name":"tiny","input":{"name":"image","shape":[8,8,3]},"output":"p",)"
    R"("preprocessing":{"resize":"center-crop","resize_shorter":9,"filter":"bicubic","order":"bgr","scale":0.5,"mean":[1,2,3],"std":2},)"
    R"("architecture":{"family":"resnet","version":1,"block":"basic","shortcut":"projection","epsilon":1e-5,)"
    R"("stem":{"channels":2,"kernel":3,"stride":1,"max_pool":false},)"
    R"("stages":[{"blocks":1,"channels":2,"stride":1},{"blocks":1,"channels":3,"stride":2}],)"
    R"("head":[{"dense":4,"activation":"relu","tensor":"fc1"},{"dense":2},"softmax"]},"labels":["a","b"],"names":["torchvision"]})";

/// What the network reads from a checkpoint.
class TinyTensors : public TensorSource {
 public:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
    std::vector<float> values;
  };

  TinyTensors() {
    const auto description = ParseGraphDescription(kTinyDescription, "tiny");
    EXPECT_TRUE(description.ok()) << description.status().message();
    EXPECT_TRUE(BuildResnet(*description, *this).ok());
  }

  std::vector<std::string> Names() const override { return {}; }
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& r) const override {
    return r.shape;
  }
  Result<std::vector<float>> Read(const TensorRequest& r) override {
    auto values = synthetic_.Read(r);
    entries.push_back({r.name, r.shape, *values});
    return values;
  }

  std::vector<Entry> entries;

 private:
  SyntheticTensorSource synthetic_{1};
};

inline std::string TinySafetensors() {
  SafetensorsBuilder builder;
  for (const TinyTensors::Entry& e : TinyTensors().entries) {
    std::vector<uint16_t> halves;
    for (float v : e.values) halves.push_back(FloatToHalf(v));
    builder.Add(e.name, "F16", e.shape, halves);
  }
  return builder.Build();
}

/// The pickled state dict and its storages, for ZipCheckpoint and LegacyCheckpoint.
inline std::pair<std::string, StorageBytes> TinyStateDict() {
  std::vector<std::pair<std::string, std::string>> items;
  StorageBytes storages;
  for (const TinyTensors::Entry& e : TinyTensors().entries) {
    // In the order of the keys as strings, in which the legacy format has the storages.
    const std::string key = std::to_string(100 + items.size());
    std::vector<int64_t> strides(e.shape.size(), 1);
    for (size_t d = e.shape.size(); d-- > 1;) strides[d - 1] = strides[d] * e.shape[d];
    const auto count = static_cast<int64_t>(e.values.size());
    items.emplace_back(
        e.name, pickle::Tensor(pickle::Storage("FloatStorage", key, count), 0, e.shape, strides));
    storages[key] = FloatBytes(e.values);
  }
  return {pickle::Dict(items, pickle::OrderedDict()), storages};
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_TINY_CHECKPOINT_H_
