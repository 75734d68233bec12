#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {

int Classify(const ClassifyOptions& options) {
  Result<std::unique_ptr<Session>> session =
      OpenSession(options.model, options.threads, options.isa);
  if (!session.ok()) return Fail(session.status());
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput((*session)->GetModel().impl().file.graph);
  if (!meaning.contradiction.empty()) warnings.Add(meaning.contradiction);
  (void)warnings.Report("octet", /*strict=*/false);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int exit_code = 0;
  for (const std::string& path : options.images) {
    Result<DecodedImage> image = LoadImage(path);
    if (!image.ok()) {
      exit_code = Fail(image.status());
      continue;
    }
    Result<std::vector<Prediction>> top = (*session)->Classify(ViewOf(*image), options.top);
    if (!top.ok()) {
      Status status = top.status();
      exit_code = Fail(std::move(status).WithContext(path));
      continue;
    }
    if (options.json) {
      nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
      for (const Prediction& p : *top) {
        predictions.push_back(
            {{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
      results.push_back({{"image", path}, {"predictions", std::move(predictions)}});
      continue;
    }
    std::printf("%s\n", path.c_str());
    for (const Prediction& p : *top) {
      const std::string name = p.label.empty() ? "class " + std::to_string(p.index) : p.label;
      std::printf("  %7.3f %%  %s\n", 100.0 * static_cast<double>(p.probability), name.c_str());
    }
  }
  if (options.json)
    std::printf(
        "%s\n",
        results.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  return exit_code;
}

int Verify(const std::vector<std::string>& models) {
  int exit_code = 0;
  for (const std::string& path : models) {
    Result<std::shared_ptr<const Model>> model = Model::Load(path);
    Status status = model.ok() ? (*model)->Verify().WithContext(path) : model.status();
    if (status.ok()) {
      std::printf("%s: ok, checksum and golden output match\n", path.c_str());
    } else {
      exit_code = Fail(status);
    }
  }
  return exit_code;
}

}  // namespace octet
