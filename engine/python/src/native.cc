// What the Python package has beside octet_c.h: photos as their files have them, decoded as the
// model says, any number of them shared by threads without Python in between; rows of `octet
// score`; and the programs. Errors and ownership are those of octet_c.h.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/octet_convert.h"
#include "engine/include/octet/octet_c.h"
#include "engine/src/guarded.h"
#include "engine/src/octet_c_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "engine/tools/scorer.h"
#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/image.h"
#include "formats/data/in_order.h"

#define OCTET_PYTHON_API extern "C" OCTET_API

namespace {

using octet::Status;

/// Whether a photo is to blame, and not the machine or the network.
bool IsOfPhoto(const Status& status) {
  return status.code() == octet::StatusCode::kInvalidArgument ||
         status.code() == octet::StatusCode::kCorrupt ||
         status.code() == octet::StatusCode::kUnsupported;
}

/// Whether the model takes photos and gives classes. What is left to go wrong is a photo's fault.
Status CheckClassifier(octet_session* session) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<float> none,
                         session->session->ClassifyBatch(nullptr, 0));
  const octet::TensorDescription& in = session->model->Describe().inputs[0];
  const int64_t channels = in.shape.size() == 4 ? in.shape[3] : 0;
  if (channels == 1 || channels == 3) return octet::OkStatus();
  return octet::InvalidArgument(octet::StrCat("input ", in.name, " has ", in.shape.size(),
                                              " dimensions and ", in.shape.back(),
                                              " channels, expected 4 and 1 or 3 for photos"));
}

/// The photos of one call. Threads take them one by one, in order.
class Photos {
 public:
  Photos(int64_t count, bool keep_going, int64_t classes, float* probabilities)
      : count_(count),
        keep_going_(keep_going),
        classes_(static_cast<size_t>(classes)),
        probabilities_(probabilities) {}
  virtual ~Photos() = default;
  Photos(const Photos&) = delete;
  Photos& operator=(const Photos&) = delete;

  /// A thread for each session, the calling one among them. Errors: that of the first photo that
  /// has one, whatever the number of threads; with `keep_going` only what is no photo's fault.
  Status Classify(octet_session* const* sessions, int num_sessions) {
    struct Item {
      int64_t index = 0;
      Status status;
    };
    const int workers = static_cast<int>(std::clamp<int64_t>(count_, 1, num_sessions));
    std::vector<octet::DecodedImage> memory(static_cast<size_t>(workers));
    int64_t next = 0;
    Status error;
    octet::InOrder<Item>::Run(workers,
                              {.read =
                                   [&](Item* item) {
                                     item->index = next;
                                     return next++ < count_;
                                   },
                               .work =
                                   [&](Item* item, int worker) {
                                     item->status = octet::Guarded([&] {
                                       return Classify(item->index, sessions[worker]->session.get(),
                                                       &memory[static_cast<size_t>(worker)]);
                                     });
                                   },
                               .write =
                                   [&](Item* item) {
                                     if (item->status.ok()) return true;
                                     if (keep_going_ && IsOfPhoto(item->status)) {
                                       std::fill_n(Row(item->index), classes_,
                                                   std::numeric_limits<float>::quiet_NaN());
                                       return true;
                                     }
                                     error = std::move(item->status);
                                     return false;
                                   }});
    return error;
  }

 protected:
  /// Photo `i`; `memory` is the thread's, for the pixels.
  virtual octet::Result<octet::Image> Get(int64_t i, octet::DecodedImage* memory) const = 0;

  static std::string Name(int64_t i) { return "image " + std::to_string(i); }

 private:
  Status Classify(int64_t i, octet::Session* session, octet::DecodedImage* memory) const {
    OCTET_ASSIGN_OR_RETURN(const octet::Image image, Get(i, memory));
    octet::Result<std::vector<float>> row = session->ClassifyBatch(&image, 1);
    if (!row.ok()) return Status(row.status()).WithContext(Name(i));
    std::ranges::copy(*row, Row(i));
    return octet::OkStatus();
  }

  float* Row(int64_t i) const { return probabilities_ + static_cast<size_t>(i) * classes_; }

  const int64_t count_;
  const bool keep_going_;
  const size_t classes_;
  float* const probabilities_;
};

class EncodedPhotos final : public Photos {
 public:
  EncodedPhotos(const octet::ModelDescription& model, const void* const* images,
                const size_t* sizes, int64_t count, bool keep_going, float* probabilities)
      : Photos(count, keep_going, model.outputs[0].shape.back(), probabilities),
        decoding_(model.preprocessing.decoding),
        wanted_(octet::WantedBy(model, /*fast_decode=*/false)),
        images_(images),
        sizes_(sizes) {}

 private:
  octet::Result<octet::Image> Get(int64_t i, octet::DecodedImage* memory) const override {
    const std::span bytes(static_cast<const uint8_t*>(images_[i]), sizes_[i]);
    OCTET_ASSIGN_OR_RETURN(*memory, octet::DecodeImage(bytes, Name(i), decoding_, wanted_,
                                                       std::exchange(memory->rgb, {})));
    return octet::ViewOf(*memory);
  }

  const octet::Decoding decoding_;
  const octet::Wanted wanted_;
  const void* const* const images_;
  const size_t* const sizes_;
};

class PixelPhotos final : public Photos {
 public:
  PixelPhotos(const octet::ModelDescription& model, const uint8_t* pixels, int64_t count,
              int height, int width, bool keep_going, float* probabilities)
      : Photos(count, keep_going, model.outputs[0].shape.back(), probabilities),
        pixels_(pixels),
        height_(height),
        width_(width) {}

 private:
  octet::Result<octet::Image> Get(int64_t i, octet::DecodedImage*) const override {
    return octet::Image{pixels_ + int64_t{3} * height_ * width_ * i, width_, height_};
  }

  const uint8_t* const pixels_;
  const int height_, width_;
};

/// What both kinds of batches have in common; `make` gives the Photos for a model.
template <typename Make>
octet_status ClassifyPhotos(octet_session* const* sessions, int num_sessions, int64_t count,
                            const float* probabilities, size_t size, char** error, Make make) {
  return Report(octet::Guarded([&]() -> Status {
                  if (sessions == nullptr || num_sessions < 1 || sessions[0] == nullptr ||
                      probabilities == nullptr || count < 0)
                    return octet::InvalidArgument("no sessions, probabilities or photos");
                  OCTET_RETURN_IF_ERROR(CheckClassifier(sessions[0]));
                  const octet::ModelDescription& model = sessions[0]->model->Describe();
                  const auto classes = static_cast<size_t>(model.outputs[0].shape.back());
                  if (static_cast<size_t>(count) > size / classes) {
                    return octet::InvalidArgument(octet::StrCat("size is ", size, ", expected ",
                                                                count, " rows of ", classes));
                  }
                  return make(model).Classify(sessions, num_sessions);
                }),
                error);
}

}  // namespace

/// octet_session_classify of a photo in a file's bytes or, where `bytes` is null, in the file
/// `path`. Errors: also those of LoadImage and DecodeImage.
OCTET_PYTHON_API octet_status octet_python_classify(octet_session* session, const char* path,
                                                    const void* bytes, size_t size, int count,
                                                    int* indices, float* probabilities,
                                                    int* written, char** error) {
  octet::DecodedImage image;
  const Status status = octet::Guarded([&]() -> Status {
    if (session == nullptr || (path == nullptr && bytes == nullptr))
      return octet::InvalidArgument("no session or photo");
    OCTET_RETURN_IF_ERROR(CheckClassifier(session));
    const octet::ModelDescription& model = session->model->Describe();
    const octet::Decoding& decoding = model.preprocessing.decoding;
    const octet::Wanted wanted = octet::WantedBy(model, /*fast_decode=*/false);
    octet::Result<octet::DecodedImage> decoded =
        bytes == nullptr ? octet::LoadImage(path, decoding, wanted)
                         : octet::DecodeImage({static_cast<const uint8_t*>(bytes), size}, "image",
                                              decoding, wanted);
    if (!decoded.ok()) return decoded.status();
    image = std::move(decoded).value();
    return octet::OkStatus();
  });
  if (!status.ok()) return Report(status, error);
  octet_image view = {};
  view.pixels = image.rgb.data();
  view.width = image.width;
  view.height = image.height;
  return octet_session_classify(session, &view, count, indices, probabilities, written, error);
}

/// The probabilities of `count` photos, images[i] of sizes[i] bytes, row after row; `size` floats
/// are there. A thread for each of the sessions, which are of the same model and are used by nobody
/// else meanwhile. With `keep_going` rows of photos that cannot be had are NaN; without, the first
/// of them is the error.
OCTET_PYTHON_API octet_status octet_python_classify_encoded(octet_session* const* sessions,
                                                            int num_sessions,
                                                            const void* const* images,
                                                            const size_t* sizes, int64_t count,
                                                            int keep_going, float* probabilities,
                                                            size_t size, char** error) {
  return ClassifyPhotos(sessions, num_sessions, count, probabilities, size, error,
                        [&](const octet::ModelDescription& model) {
                          return EncodedPhotos(model, images, sizes, count, keep_going != 0,
                                               probabilities);
                        });
}

/// The same of pixels, [count, height, width, 3] without gaps.
OCTET_PYTHON_API octet_status octet_python_classify_pixels(octet_session* const* sessions,
                                                           int num_sessions, const uint8_t* pixels,
                                                           int64_t count, int height, int width,
                                                           int keep_going, float* probabilities,
                                                           size_t size, char** error) {
  return ClassifyPhotos(sessions, num_sessions, count, probabilities, size, error,
                        [&](const octet::ModelDescription& model) {
                          return PixelPhotos(model, pixels, count, height, width, keep_going != 0,
                                             probabilities);
                        });
}

/// Makes rows of photos by `threads` threads, each with a session of its own.
struct octet_python_scorer {
  octet::Scorer scorer;
  int threads;
};

/// For rows as `octet score --top=TOP` has them. `model_hash` stands in each. Errors: those of
/// Scorer::Create.
OCTET_PYTHON_API octet_status octet_python_scorer_create(const octet_model* model,
                                                         const char* model_hash, int top,
                                                         int threads, const char* isa,
                                                         octet_python_scorer** scorer,
                                                         char** error) {
  return Report(octet::Guarded([&]() -> Status {
                  octet::ScorerOptions options;
                  options.top = top;
                  options.workers = std::max(1, threads);
                  if (isa != nullptr) options.isa = isa;
                  OCTET_ASSIGN_OR_RETURN(octet::Scorer made,
                                         octet::Scorer::Create(model->model, model_hash, options));
                  *scorer = new octet_python_scorer{std::move(made), options.workers};
                  return octet::OkStatus();
                }),
                error);
}

OCTET_PYTHON_API void octet_python_scorer_destroy(octet_python_scorer* scorer) { delete scorer; }

/// The rows of `count` photos in order, images[i] of sizes[i] bytes by the name keys[i], each with
/// a line break: *size bytes at *rows, for octet_free. Where `images` is null, keys are the paths
/// of files. A photo that cannot be had is a row with an error. For one thread at a time.
OCTET_PYTHON_API octet_status octet_python_score(octet_python_scorer* scorer,
                                                 const char* const* keys, const void* const* images,
                                                 const size_t* sizes, int64_t count, char** rows,
                                                 size_t* size, char** error) {
  struct Item {
    int64_t index = 0;
    octet::Sample sample;
    std::string row;
  };
  const auto read = [&](const Item& item) -> octet::Result<std::vector<uint8_t>> {
    if (images == nullptr) return octet::ReadFileBytes(item.sample.name, octet::kMaxImageFileBytes);
    const auto* bytes = static_cast<const uint8_t*>(images[item.index]);
    return std::vector<uint8_t>(bytes, bytes + sizes[item.index]);
  };
  return Report(octet::Guarded([&]() -> Status {
                  std::string text;
                  int64_t next = 0;
                  octet::InOrder<Item>::Run(
                      static_cast<int>(std::clamp<int64_t>(count, 1, scorer->threads)),
                      {.read =
                           [&](Item* item) {
                             if (next == count) return false;
                             item->index = next++;
                             return true;
                           },
                       .work =
                           [&](Item* item, int worker) {
                             item->sample = octet::Sample();
                             item->sample.name = item->sample.origin = keys[item->index];
                             octet::Result<std::vector<uint8_t>> bytes = read(*item);
                             if (!bytes.ok()) {
                               item->row = scorer->scorer.Failed(item->sample, bytes.status()).text;
                               return;
                             }
                             item->sample.encoded = std::move(bytes).value();
                             item->row = scorer->scorer.Score(&item->sample, worker).text;
                           },
                       .write =
                           [&](Item* item) {
                             text += item->row;
                             return true;
                           }});
                  *rows = static_cast<char*>(std::malloc(text.size() + 1));
                  if (*rows == nullptr) throw std::bad_alloc();
                  std::memcpy(*rows, text.data(), text.size());
                  *size = text.size();
                  return octet::OkStatus();
                }),
                error);
}

/// The programs, by name; the exit code. Once in a process, at its end.
OCTET_PYTHON_API int octet_python_program(const char* name, int argc, char** argv) {
  return std::string_view(name) == "octet_convert" ? octet::OctetConvertProgram(argc, argv)
                                                   : octet::OctetProgram(argc, argv);
}
