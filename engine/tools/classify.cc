#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/macros.h"
#include "formats/data/file.h"
#include "formats/data/read_ahead.h"
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
  Session::Impl& impl = (*session)->impl();
  if (const Status status = impl.PrepareClassify(); !status.ok()) return Fail(status);
  const ModelDescription& model = (*session)->GetModel().Describe();

  struct Photo : Sample {
    std::vector<uint8_t> input;
  };
  size_t next = 0;
  InputMaker maker(session->get(), options.fast_decode);
  ReadAhead<Photo> photos(
      [&](Photo* photo) -> Result<bool> {
        if (next == options.images.size()) return false;
        photo->name = photo->origin = options.images[next++];
        OCTET_ASSIGN_OR_RETURN(photo->encoded, ReadFileBytes(photo->name, kMaxImageFileBytes));
        return true;
      },
      [&](Photo* photo, int worker) -> Status {
        OCTET_RETURN_IF_ERROR(DecodeSample(maker.decoding(), maker.smallest(), photo));
        photo->input.resize(model.inputs[0].num_bytes());
        OCTET_RETURN_IF_ERROR(maker.Make(*photo, /*raw=*/false, worker, photo->input.data())
                                  .WithContext(photo->name));
        photo->image = {};
        return OkStatus();
      });

  int exit_code = 0;
  std::vector<float> probabilities(model.outputs[0].num_elements());
  for (;;) {
    Photo photo;
    const Result<bool> more = photos.Next(&photo);
    if (more.ok() && !*more) break;
    const std::string& path = photo.name;
    const Status status =
        more.ok()
            ? impl.ClassifyInputs(photo.input.data(), 1, probabilities.data()).WithContext(path)
            : more.status();
    if (!status.ok()) {
      exit_code = Fail(status);
      continue;
    }
    const std::vector<Prediction> top = impl.Best(probabilities, options.top);
    if (options.json) {
      nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
      for (const Prediction& p : top) {
        predictions.push_back(
            {{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
      results.push_back({{"image", path}, {"predictions", std::move(predictions)}});
      continue;
    }
    std::printf("%s\n", path.c_str());
    for (const Prediction& p : top) {
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
