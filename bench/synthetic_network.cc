// A description is built with SyntheticTensorSource and optimized once; Convert quantizes it, for
// int8 with ranges measured on smooth images, and serializes it into aligned memory.
#include "bench/synthetic_network.h"

#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "converter/passes/passes.h"
#include "converter/quantize/quantize.h"
#include "formats/base/macros.h"
#include "formats/base/random.h"
#include "formats/model/octet_file.h"

namespace octet::bench {
namespace {

constexpr uint64_t kWeightSeed = 1;
constexpr int kCalibrationImages = 2;

// MLPerf Tiny's ResNet-8 for CIFAR-10. Not among the descriptions that ship: its checkpoints come
// with their graph.
constexpr std::string_view kResnet8 = R"({
  "name": "resnet8", "title": "ResNet-8 for CIFAR-10",
  "input": {"name": "image", "shape": [32, 32, 3]}, "output": "probabilities",
  "architecture": {
    "family": "resnet", "version": 1, "block": "basic", "shortcut": "projection", "epsilon": 1e-3,
    "stem": {"channels": 16, "kernel": 3, "stride": 1, "max_pool": false},
    "stages": [{"blocks": 1, "channels": 16, "stride": 1}, {"blocks": 1, "channels": 32, "stride": 2},
               {"blocks": 1, "channels": 64, "stride": 2}],
    "head": [{"dense": 10}, "softmax"]
  },
  "names": ["torchvision"]
})";

/// In [-1, 1).
float Uniform(SplitMix64* random) {
  return static_cast<float>(random->Next() >> 40) * (2.0f / (1 << 24)) - 1.0f;
}

}  // namespace

void SmoothImage(uint64_t seed, int height, int width, int channels, std::span<float> out) {
  constexpr int kWaves = 4;
  struct Wave {
    float amplitude, y, x, phase;
  };
  SplitMix64 random(seed);
  std::vector<Wave> waves(static_cast<size_t>(channels) * kWaves);
  for (Wave& w : waves) {
    w = {0.5f + 0.4f * Uniform(&random), 6.0f * Uniform(&random) / static_cast<float>(height),
         6.0f * Uniform(&random) / static_cast<float>(width), 3.14159265f * Uniform(&random)};
  }
  size_t at = 0;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        float v = 0.2f * Uniform(&random);
        for (int k = 0; k < kWaves; ++k) {
          const Wave& w = waves[static_cast<size_t>(c) * kWaves + static_cast<size_t>(k)];
          v += w.amplitude *
               std::sin(6.2831853f * (w.y * static_cast<float>(y) + w.x * static_cast<float>(x)) +
                        w.phase);
        }
        out[at++] = v;
      }
    }
  }
}

Result<SyntheticNetwork> SyntheticNetwork::Build(const std::string& name) {
  OCTET_ASSIGN_OR_RETURN(
      const GraphDescription description,
      name == "resnet8" ? ParseGraphDescription(kResnet8, name) : LoadGraphDescription(name));
  SyntheticTensorSource source(kWeightSeed);
  OCTET_ASSIGN_OR_RETURN(Graph graph, BuildResnet(description, source));
  OCTET_RETURN_IF_ERROR(Optimize(&graph));
  return SyntheticNetwork(std::move(graph));
}

Result<SerializedModel> SyntheticNetwork::Convert(Precision precision) const {
  QuantizeOptions options;
  options.precision = precision;
  CalibrationTable table;
  if (precision == Precision::kInt8 || precision == Precision::kInt16x8) {
    const Shape& shape = graph_.tensor(graph_.inputs[0]).shape;
    int next = 0;
    const SampleSource samples = [&](float* input) -> Result<bool> {
      if (next == kCalibrationImages) return false;
      SmoothImage(static_cast<uint64_t>(++next), static_cast<int>(shape[1]),
                  static_cast<int>(shape[2]), static_cast<int>(shape[3]),
                  {input, static_cast<size_t>(shape.num_elements())});
      return true;
    };
    OCTET_ASSIGN_OR_RETURN(table, Calibrate(graph_, samples, {}, nullptr));
  }
  OCTET_ASSIGN_OR_RETURN(const Graph quantized, QuantizeGraph(graph_, options, &table));
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(quantized, Golden{}));
  std::byte* data = nullptr;
  SerializedModel model{MakeAlignedBuffer(bytes.size(), &data), bytes.size()};
  std::memcpy(data, bytes.data(), bytes.size());
  return model;
}

}  // namespace octet::bench
