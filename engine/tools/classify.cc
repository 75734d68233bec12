// `octet classify` and `octet verify`. Photos are decoded and classified by as many workers as
// there are cores, each with a session of its own, and reported in the order of the command line.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/data/read_ahead.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {

int Classify(const ClassifyOptions& options) {
  const Result<std::shared_ptr<const Model>> model = LoadModel(options.model);
  if (!model.ok()) return Fail(model.status());
  SessionOptions session_options;
  session_options.isa = options.isa;
  // Several photos are better shared by the cores than one photo's network.
  session_options.num_threads = options.images.size() > 1 ? 1 : options.threads;
  // One for each worker. The first one's errors are those of all.
  std::vector<std::unique_ptr<Session>> sessions(
      std::min<size_t>(options.images.size(), static_cast<size_t>(ReadAheadWorkers())));
  for (std::unique_ptr<Session>& session : sessions) {
    Result<std::unique_ptr<Session>> created = Session::Create(*model, session_options);
    if (!created.ok()) return Fail(created.status());
    session = std::move(created).value();
  }
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput((*model)->impl().file.graph);
  if (!meaning.doubt.empty()) warnings.Add(meaning.doubt);
  (void)warnings.Report("octet", /*strict=*/false);

  const Preprocessing& preprocessing = (*model)->Describe().preprocessing;
  const Wanted wanted = WantedBy((*model)->Describe(), options.fast_decode);
  struct Photo : Sample {
    std::vector<Prediction> top;
  };
  size_t next = 0;
  ReadAhead<Photo> photos(
      [&](Photo* photo) -> Result<bool> {
        if (next == options.images.size()) return false;
        photo->origin = options.images[next++];
        OCTET_ASSIGN_OR_RETURN(photo->encoded, ReadFileBytes(photo->origin, kMaxImageFileBytes));
        return true;
      },
      [&](Photo* photo, int worker) -> Status {
        OCTET_RETURN_IF_ERROR(DecodeSample(preprocessing.decoding, wanted, photo));
        Result<std::vector<Prediction>> top =
            sessions[static_cast<size_t>(worker)]->Classify(ViewOf(photo->image), options.top);
        if (!top.ok()) return Status(top.status()).WithContext(photo->origin);
        photo->top = std::move(top).value();
        return OkStatus();
      });
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int exit_code = 0;
  for (;;) {
    Photo photo;
    const Result<bool> more = photos.Next(&photo);
    if (!more.ok()) {
      exit_code = Fail(more.status());
      continue;
    }
    if (!*more) break;
    const std::string& path = photo.origin;
    if (options.json) {
      nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
      for (const Prediction& p : photo.top) {
        predictions.push_back(
            {{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
      results.push_back({{"image", path}, {"predictions", std::move(predictions)}});
      continue;
    }
    std::printf("%s\n", path.c_str());
    for (const Prediction& p : photo.top) {
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
    Result<std::shared_ptr<const Model>> model = LoadModel(path);
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
