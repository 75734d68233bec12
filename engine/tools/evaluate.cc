#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/tools/commands.h"
#include "formats/base/finite.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/progress.h"
#include "formats/model/octet_file.h"

namespace octet {
namespace {

/// One model and what it said so far.
struct Contender {
  std::string path;
  std::unique_ptr<Session> session;
  ModelDescription description;
  std::vector<int> predicted;
  std::vector<float> confidence;
  std::vector<double> milliseconds;
  std::vector<uint8_t> input;
  std::vector<std::vector<uint8_t>> outputs;
  int correct = 0;
  std::vector<std::vector<int>> confusion;  ///< [true][predicted]

  double top1(int labelled) const {
    return labelled > 0 ? static_cast<double>(correct) / labelled : 0.0;
  }
  double median_ms() const {
    std::vector<double> sorted = milliseconds;
    std::nth_element(sorted.begin(),
                     sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

Status PrepareInput(Contender* c, const Sample& sample) {
  const TensorDescription& in = c->description.inputs[0];
  if (!sample.is_float()) return c->session->Preprocess(ViewOf(sample.image), c->input.data());
  if (in.dtype != DType::kF32)
    return InvalidArgument(StrCat(c->path, ": float samples need a float32 input, it is uint8"));
  const std::vector<int64_t> shape{1, sample.float_height, sample.float_width,
                                   sample.float_channels};
  if (shape != in.shape)
    return InvalidArgument(StrCat(c->path, ": samples do not have the input's shape"));
  std::memcpy(c->input.data(), sample.float_data.data(), c->input.size());
  return OkStatus();
}

/// Runs one sample; the time is that of the network alone, without decoding and resizing.
Status RunSample(Contender* c, const Sample& sample) {
  OCTET_RETURN_IF_ERROR(PrepareInput(c, sample));
  const void* input = c->input.data();
  std::vector<void*> outputs;
  for (std::vector<uint8_t>& o : c->outputs) outputs.push_back(o.data());
  const auto start = std::chrono::steady_clock::now();
  OCTET_RETURN_IF_ERROR(c->session->Run(&input, outputs.data(), 1));
  c->milliseconds.push_back(
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  const TensorDescription& out = c->description.outputs[0];
  std::vector<float> scores(out.num_elements());
  out.ToFloats(c->outputs[0].data(), scores.data());
  // Nothing compares with a NaN: the first class would win.
  OCTET_RETURN_IF_ERROR(
      CheckFinite(scores).WithContext(StrCat(sample.name, ": output of ", c->path)));
  const auto best = std::max_element(scores.begin(), scores.begin() + out.shape.back());
  c->predicted.push_back(static_cast<int>(best - scores.begin()));
  c->confidence.push_back(*best);
  return OkStatus();
}

std::string LabelName(const Contender& c, int index) {
  if (index < 0) return "?";
  return index < static_cast<int>(c.description.labels.size())
             ? c.description.labels[static_cast<size_t>(index)]
             : std::to_string(index);
}

std::string CsvField(const std::string& s) {
  if (s.find_first_of(",\"\n\r") == std::string::npos) return s;
  std::string quoted = "\"";
  for (char ch : s) quoted += ch == '"' ? std::string("\"\"") : std::string(1, ch);
  return quoted + "\"";
}

Status WritePredictions(const std::string& path, const std::vector<Contender>& contenders,
                        const std::vector<std::string>& names, const std::vector<int>& labels) {
  std::string csv = "image,label";
  for (const Contender& c : contenders)
    csv += "," + CsvField(c.path) + "," + CsvField(c.path + " score");
  csv += "\n";
  for (size_t i = 0; i < names.size(); ++i) {
    csv += CsvField(names[i]) + "," + CsvField(LabelName(contenders[0], labels[i]));
    for (const Contender& c : contenders)
      csv += "," + CsvField(LabelName(c, c.predicted[i])) + "," + StrCat(c.confidence[i]);
    csv += "\n";
  }
  return WriteFileAtomically(path, std::as_bytes(std::span(csv.data(), csv.size())));
}

void PrintConfusion(const Contender& c) {
  size_t width = 6;
  for (size_t i = 0; i < c.confusion.size(); ++i)
    width = std::max(width, LabelName(c, static_cast<int>(i)).size());
  const int w = static_cast<int>(width);
  std::printf("\n%s: rows are true classes, columns what it said\n%*s", c.path.c_str(), w, "");
  for (size_t i = 0; i < c.confusion.size(); ++i)
    std::printf("  %*s", w, LabelName(c, static_cast<int>(i)).c_str());
  std::printf("\n");
  for (size_t i = 0; i < c.confusion.size(); ++i) {
    std::printf("%*s", w, LabelName(c, static_cast<int>(i)).c_str());
    for (int n : c.confusion[i]) std::printf("  %*d", w, n);
    std::printf("\n");
  }
}

int Agreement(const Contender& a, const Contender& b) {
  int same = 0;
  for (size_t i = 0; i < a.predicted.size(); ++i) same += a.predicted[i] == b.predicted[i];
  return same;
}

}  // namespace

int Evaluate(const EvaluateOptions& options) {
  std::vector<Contender> contenders;
  for (const std::string& path : options.models) {
    Result<std::unique_ptr<Session>> session = OpenSession(path, options.threads, options.isa);
    if (!session.ok()) return Fail(session.status());
    Contender c;
    c.path = path;
    c.session = std::move(session).value();
    c.description = c.session->GetModel().Describe();
    if (c.description.inputs.size() != 1) {
      return Fail(InvalidArgument(
          StrCat(path, ": has ", c.description.inputs.size(), " inputs, evaluation needs one")));
    }
    c.input.resize(c.description.inputs[0].num_bytes());
    for (const TensorDescription& t : c.description.outputs) c.outputs.emplace_back(t.num_bytes());
    const size_t classes = static_cast<size_t>(c.description.outputs[0].shape.back());
    c.confusion.assign(classes, std::vector<int>(classes, 0));
    contenders.push_back(std::move(c));
  }
  DatasetOptions dataset_options;
  dataset_options.labels = contenders[0].description.labels;
  dataset_options.npy_labels = options.npy_labels;
  Result<std::unique_ptr<Dataset>> dataset = OpenDataset(options.data, dataset_options);
  if (!dataset.ok()) return Fail(dataset.status());

  std::vector<std::string> names;
  std::vector<int> labels;
  int labelled = 0;
  {
    Progress progress("evaluating", (*dataset)->size());
    Sample sample;
    while (true) {
      const Result<bool> more = (*dataset)->Next(&sample);
      if (!more.ok()) return Fail(more.status());
      if (!*more) break;
      for (Contender& c : contenders) {
        const Status status = RunSample(&c, sample);
        if (!status.ok()) return Fail(status);
        if (sample.label < 0) continue;
        if (sample.label >= static_cast<int>(c.confusion.size())) {
          return Fail(InvalidArgument(StrCat(sample.name, ": label ", sample.label, ", but ",
                                             c.path, " knows ", c.confusion.size(), " classes")));
        }
        c.correct += c.predicted.back() == sample.label;
        ++c.confusion[static_cast<size_t>(sample.label)][static_cast<size_t>(c.predicted.back())];
      }
      labelled += sample.label >= 0;
      names.push_back(sample.name);
      labels.push_back(sample.label);
      progress.Update(static_cast<int64_t>(names.size()));
    }
  }
  if (names.empty()) return Fail(InvalidArgument(StrCat(options.data, ": holds no sample")));
  if (!options.predictions.empty()) {
    const Status status = WritePredictions(options.predictions, contenders, names, labels);
    if (!status.ok()) return Fail(status);
  }

  const int total = static_cast<int>(names.size());
  if (options.json) {
    nlohmann::ordered_json models = nlohmann::ordered_json::array();
    for (const Contender& c : contenders) {
      models.push_back({{"path", c.path},
                        {"precision", PrecisionName(c.description.precision)},
                        {"size_bytes", c.description.file_size},
                        {"correct", c.correct},
                        {"total", labelled},
                        {"top1", c.top1(labelled)},
                        {"agreement", static_cast<double>(Agreement(contenders[0], c)) / total},
                        {"median_ms", c.median_ms()},
                        {"confusion", c.confusion}});
    }
    std::printf("%s\n", nlohmann::ordered_json{{"models", std::move(models)}}
                            .dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                            .c_str());
    return 0;
  }
  size_t width = 5;
  for (const Contender& c : contenders) width = std::max(width, c.path.size());
  std::printf("%s: %d samples, %d labelled; %s, %d thread%s\n\n", options.data.c_str(), total,
              labelled, contenders[0].session->Isa(), options.threads,
              options.threads == 1 ? "" : "s");
  std::printf("%-*s  precision  %12s  %18s  %18s  %9s\n", static_cast<int>(width), "model", "bytes",
              "correct", "as the first", "median ms");
  for (const Contender& c : contenders) {
    const int same = Agreement(contenders[0], c);
    std::printf("%-*s  %-9s  %12lld  %5d/%-5d %5.2f %%  %5d/%-5d %5.1f %%  %9.3f\n",
                static_cast<int>(width), c.path.c_str(), PrecisionName(c.description.precision),
                static_cast<long long>(c.description.file_size), c.correct, labelled,
                100.0 * c.top1(labelled), same, total, 100.0 * same / total, c.median_ms());
  }
  if (labelled > 0) {
    for (const Contender& c : contenders) {
      if (c.confusion.size() <= 20) PrintConfusion(c);
    }
  }
  return 0;
}

}  // namespace octet
