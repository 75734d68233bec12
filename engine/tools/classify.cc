// `octet classify` and `octet verify`. Photos are decoded and classified by as many workers as
// there are cores, each with a session of its own, and reported in the order of the command line.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "engine/tools/scorer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/in_order.h"
#include "formats/data/read_ahead.h"
#include "formats/data/warnings.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

Result<std::vector<uint8_t>> ReadStandardInput() {
  std::vector<uint8_t> bytes;
  for (size_t size = 0;;) {
    bytes.resize(size + (size_t{1} << 16));
    const size_t read = std::fread(bytes.data() + size, 1, bytes.size() - size, stdin);
    bytes.resize(size += read);
    if (read == 0) break;
    if (static_cast<int64_t>(size) > kMaxImageFileBytes) {
      return InvalidArgument(
          StrCat("standard input: at most ", kMaxImageFileBytes, " bytes are read"));
    }
  }
  if (std::ferror(stdin) != 0) return IoError("standard input: cannot read");
  if (bytes.empty()) return InvalidArgument("standard input: is empty, expected an image");
  return bytes;
}

/// The photos of a command line, one after the other: those of each data set, and "-".
class Photos {
 public:
  explicit Photos(const std::vector<std::string>& paths) : paths_(paths) {}

  /// As Dataset's, but names are paths where photos are files.
  Result<bool> Read(Sample* photo) {
    while (true) {
      if (dataset_ == nullptr) {
        if (next_ == paths_.size()) return false;
        const std::string& path = paths_[next_++];
        if (path == "-") {
          photo->name = path;
          photo->origin = "standard input";
          OCTET_ASSIGN_OR_RETURN(photo->encoded, ReadStandardInput());
          return true;
        }
        OCTET_ASSIGN_OR_RETURN(dataset_, OpenDataset(path));
      }
      OCTET_ASSIGN_OR_RETURN(const bool more, dataset_->Read(photo));
      if (more && photo->is_float()) {
        dataset_.reset();
        return InvalidArgument(
            StrCat(paths_[next_ - 1], ": holds numbers, no photos; octet run computes with them"));
      }
      if (more) {
        photo->name = KeyOf(*photo);
        return true;
      }
      dataset_.reset();
    }
  }

 private:
  const std::vector<std::string>& paths_;
  size_t next_ = 0;
  std::unique_ptr<Dataset> dataset_;  ///< Of the path before.
};

bool IsOnePhoto(const std::vector<std::string>& paths) {
  if (paths.size() > 1 || paths[0] == "-") return paths.size() == 1;
  const Result<std::unique_ptr<Dataset>> dataset = OpenDataset(paths[0]);
  return dataset.ok() && (*dataset)->size() == 1;
}

}  // namespace

int Classify(const ClassifyOptions& options) {
  const Result<std::shared_ptr<const Model>> model = LoadModel(options.model);
  if (!model.ok()) return Fail(model.status());
  SessionOptions session_options;
  session_options.isa = options.isa;
  // Several photos are better shared by the cores than one photo's network.
  const bool one_photo = IsOnePhoto(options.images);
  session_options.num_threads = one_photo ? options.threads : 1;
  // One for each worker that there is work for. The first one's errors are those of all.
  std::vector<std::unique_ptr<Session>> sessions(
      one_photo ? 1 : static_cast<size_t>(ReadAheadWorkers()));
  Result<std::unique_ptr<Session>> first = Session::Create(*model, session_options);
  if (!first.ok()) return Fail(first.status());
  sessions[0] = std::move(first).value();
  Warnings warnings;
  const InputMeaning meaning = MeaningOfInput(GraphOf(**model));
  if (!meaning.doubt.empty()) warnings.Add(meaning.doubt);
  (void)warnings.Report("octet", /*strict=*/false);

  const Preprocessing& preprocessing = (*model)->Describe().preprocessing;
  const Wanted wanted = WantedBy((*model)->Describe(), options.fast_decode);
  struct Photo : Sample {
    Status status;
    std::vector<Prediction> top;
  };
  const auto classify = [&](Photo* photo, int worker) -> Status {
    OCTET_RETURN_IF_ERROR(DecodeSample(preprocessing.decoding, wanted, photo));
    std::unique_ptr<Session>& session = sessions[static_cast<size_t>(worker)];
    if (session == nullptr) {
      OCTET_ASSIGN_OR_RETURN(session, Session::Create(*model, session_options));
    }
    Result<std::vector<Prediction>> top = session->Classify(ViewOf(photo->image), options.top);
    if (!top.ok()) return Status(top.status()).WithContext(photo->name);
    photo->top = std::move(top).value();
    return OkStatus();
  };
  Photos source(options.images);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  int exit_code = 0;
  const auto read = [&](Photo* photo) {
    *photo = Photo();
    const Result<bool> more = source.Read(photo);
    photo->status = more.ok() ? OkStatus() : more.status();
    return !more.ok() || *more;
  };
  const auto work = [&](Photo* photo, int worker) {
    if (photo->status.ok()) photo->status = classify(photo, worker);
    photo->encoded.clear();
    photo->image = DecodedImage();
  };
  const auto write = [&](Photo* photo) {
    if (!photo->status.ok()) {
      exit_code = Fail(photo->status);
      results.push_back({{"error", photo->status.message()}});
      return true;
    }
    if (options.json) {
      nlohmann::ordered_json predictions = nlohmann::ordered_json::array();
      for (const Prediction& p : photo->top) {
        predictions.push_back(
            {{"index", p.index}, {"label", p.label}, {"probability", p.probability}});
      }
      results.push_back({{"image", photo->name}, {"predictions", std::move(predictions)}});
      return true;
    }
    std::printf("%s\n", photo->name.c_str());
    for (const Prediction& p : photo->top) {
      const std::string name = p.label.empty() ? "class " + std::to_string(p.index) : p.label;
      std::printf("  %7.3f %%  %s\n", 100.0 * static_cast<double>(p.probability), name.c_str());
    }
    return true;
  };
  InOrder<Photo>::Run(static_cast<int>(sessions.size()),
                      {.read = read, .work = work, .write = write});
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
