// Texts that people write, told by the first byte: preprocessing, a calibration table, labels, a
// graph description (from which a network is built and run).
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "converter/calibrate/table_file.h"
#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/resnet_builder.h"
#include "converter/import/checkpoints/synthetic_tensors.h"
#include "converter/import/preprocessing_json.h"
#include "formats/data/labels.h"
#include "formats/data/preprocessing_json.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/fuzz/targets/network.h"
#include "tests/fuzz/tiny_checkpoint.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

namespace {

void Preprocess(std::string_view text) {
  const auto p = ParsePreprocessing(text, "fuzz");
  if (!p.ok()) return;
  // What is written is read as the same.
  const std::string json = PreprocessingToJson(*p, 4);
  const auto again = ParsePreprocessing(json, "again");
  FUZZ_CHECK(again.ok(), json + again.status().message());
  FUZZ_CHECK(again->mean == p->mean && again->stddev == p->stddev && again->scale == p->scale &&
                 again->resize == p->resize && again->resampling == p->resampling &&
                 again->decoding == p->decoding && again->pad_color == p->pad_color &&
                 again->resize_shorter == p->resize_shorter && again->order == p->order,
             json);
  ++deep_inputs;
}

void Calibration(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  const auto given = ReadCalibrationFile(file.path());
  if (!given.ok()) return;
  const auto* table = std::get_if<CalibrationTable>(&*given);
  const std::string path =
      std::filesystem::temp_directory_path() / ("fuzz_table_" + std::to_string(getpid()));
  const Status written = table != nullptr
                             ? WriteCalibrationTable(path, *table)
                             : WriteCalibrationPart(path, std::get<CalibrationPart>(*given));
  FUZZ_CHECK(written.ok(), written.message());
  const auto read = ReadCalibrationFile(path);
  std::remove(path.c_str());
  FUZZ_CHECK(read.ok(), read.status().message());
  if (table == nullptr) {
    const auto& part = std::get<CalibrationPart>(*given);
    const auto* again = std::get_if<CalibrationPart>(&*read);
    FUZZ_CHECK(again != nullptr, "a part became a table");
    CalibrationStatistics both = part.statistics;
    if (both.Merge(again->statistics).ok()) {
      for (const auto& [name, tensor] : part.statistics.tensors) {
        const ActivationStatistics& others = again->statistics.tensors.at(name);
        for (size_t i = 0; i < tensor.halves.size(); ++i)
          FUZZ_CHECK(tensor.halves[i].min == others.halves[i].min &&
                         tensor.halves[i].max == others.halves[i].max,
                     name);
        if (tensor.histogram)
          FUZZ_CHECK(both.tensors.at(name).histogram->total() == 2 * tensor.histogram->total(),
                     name);
      }
    }
    ++deep_inputs;
    return;
  }
  const auto* again = std::get_if<CalibrationTable>(&*read);
  FUZZ_CHECK(again != nullptr, "a table became a part");
  FUZZ_CHECK(again->ranges.size() == table->ranges.size(), "number of ranges");
  for (const auto& [name, range] : table->ranges) {
    FUZZ_CHECK(std::isfinite(range.min) && std::isfinite(range.max),
               "a range that is not finite: " + name);
    FUZZ_CHECK(again->ranges.at(name).min == range.min && again->ranges.at(name).max == range.max,
               name);
  }
  ++deep_inputs;
}

void Labels(std::string_view text) {
  const auto labels = ParseLabels(text, "fuzz");
  if (!labels.ok()) return;
  for (const std::string& label : *labels) {
    FUZZ_CHECK(!label.empty() && label.find('\n') == std::string::npos, "label '" + label + "'");
  }
  ++deep_inputs;
}

void Description(const uint8_t* data, size_t size) {
  const auto d = ParseGraphDescription(Text(data, size), "fuzz");
  if (!d.ok()) return;
  // Weights of so many are made up.
  constexpr double kMostWeights = 300e3;
  double weights =
      static_cast<double>(d->stem.channels) * d->stem.kernel * d->stem.kernel * d->channels;
  double before = d->stem.channels;
  for (const auto& stage : d->stages) {
    const double channels =
        stage.channels * (d->block == GraphDescription::Block::kBottleneck ? 4.0 : 1.0);
    weights += stage.blocks * (18.0 * channels * channels + before * channels);
    before = channels;
  }
  for (const auto& layer : d->head) weights += layer.units * before, before = layer.units;
  if (!(weights < kMostWeights)) return;
  SyntheticTensorSource source(1);
  auto graph = BuildResnet(*d, source);
  if (graph.ok()) deep_inputs += ConvertAndRun(*std::move(graph), HashOf(data, size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  const uint8_t kind = data[0] % 4;
  ++data, --size;
  if (kind == 0) Preprocess(Text(data, size));
  if (kind == 1) Calibration(data, size);
  if (kind == 2) Labels(Text(data, size));
  if (kind == 3) Description(data, size);
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  const auto add = [&](char kind, const std::string& text) {
    seeds.push_back(BytesOf(kind + text));
  };
  add(0,
      R"({"resize":"center-crop","resize_shorter":256,"filter":"bicubic","order":"bgr","scale":0.5,"mean":[1,2,3],"std":[0.1,0.2,0.3]})");
  add(0, R"({"resize":"stretch","filter":"bilinear","order":"rgb","scale":1,"mean":0,"std":1})");
  add(0,
      R"({"framework":"tensorflow","decode":{"framework":"opencv","dct":"fast","upsampling":"plain","orientation":"exif"},)"
      R"("resize":"letterbox","pad_color":[1,2,3],"filter":"bicubic","antialias":true,"result":"uint8"})");
  add(0,
      R"([{"type":"Resize","size":256},{"CenterCrop":{"size":[224]}},"ToTensor",{"type":"Normalize","mean":0.5,"std":[1]}])");
  add(0,
      R"({"input_size":[3,224,224],"interpolation":"bicubic","crop_pct":0.9,"mean":[0,0,0],"std":[1,1,1]})");
  add(1,
      R"({"version":1,"method":"minmax","samples":3,"ranges":{"image":[-1,2.5],"conv1":[0,6]}})");
  add(1,
      R"({"version":1,"shard":"1/2","whole_samples":3,"network":"0123456789abcdef","data":"fedcba9876543210",)"
      R"("method":"percentile","percentile":99.9,"fast_decode":false,"samples":1,"input":[-1,2.5],"hashes":[7],)"
      R"("tensors":{"image":{"halves":[[0,0],[-1,2.5]],"log2_limit":2,"counts":[-3072,1,-2000,3,1]}}})");
  add(2, "\xef\xbb\xbfroses\r\nsunflowers\n daisy \ndandelion\ntulips\n\n");
  add(3, kTinyDescription);
  return seeds;
}
