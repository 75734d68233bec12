// `octet preprocess`: what a network gets of a photo, as an image or array, and which part of the
// photo that is.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "converter/report/html/pictures.h"
#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/image_writer.h"
#include "formats/data/npy.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

Status WriteInput(const std::string& path, const TensorDescription& in,
                  const std::vector<uint8_t>& bytes) {
  if (in.dtype == DType::kU8) return WriteNpy(path, in.shape, std::span(bytes));
  std::vector<float> values(in.num_elements());
  in.ToFloats(bytes.data(), values.data());
  return WriteNpy(path, in.shape, std::span<const float>(values));
}

Status TryPreprocess(const PreprocessOptions& options) {
  for (const std::string& path : options.outputs) {
    const std::string name = LowerCase(path);
    if (!name.ends_with(".png") && !name.ends_with(".npy"))
      return InvalidArgument(StrCat(path, ": expected a name that ends in .png or .npy"));
  }
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                         OpenSession(LoadModel(options.model), 1, ""));
  const Model& model = session->GetModel();
  const TensorDescription& in = model.Describe().inputs[0];
  const Preprocessing& p = model.Describe().preprocessing;
  OCTET_ASSIGN_OR_RETURN(DecodedImage photo,
                         LoadImage(options.photo, p.decoding, WantedBy(model.Describe(), false)));
  const InputMeaning meaning = MeaningOfInput(GraphOf(model));
  if (!TakesPhotos(GraphOf(model).tensor(GraphOf(model).inputs[0]).shape))
    return InvalidArgument(StrCat(options.model, ": input ", in.name, " takes no photos"));
  const int height = static_cast<int>(in.shape[1]), width = static_cast<int>(in.shape[2]),
            channels = static_cast<int>(in.shape[3]);
  std::unique_ptr<Preprocessor> preprocessor;
  std::vector<uint8_t> input(in.num_bytes());
  OCTET_RETURN_IF_ERROR(
      PreprocessInput(ViewOf(photo), model.Describe(), *Internals::Of(*session).table,
                      Internals::Of(model).max_memory, nullptr, &preprocessor, input.data())
          .WithContext(options.photo));
  for (const std::string& path : options.outputs) {
    OCTET_RETURN_IF_ERROR(
        LowerCase(path).ends_with(".npy")
            ? WriteInput(path, in, input)
            : WritePng(path, Seen(preprocessor->resized(), p.order, height, width, channels)));
  }
  const auto [x, y] = UsedPart(preprocessor->geometry());
  const std::string size = StrCat(photo.width, "x", photo.height);
  if (!options.crop.empty()) {
    DrawPart({x, y}, &photo);
    OCTET_RETURN_IF_ERROR(WritePng(options.crop, photo));
  }
  if (options.json) {
    const nlohmann::ordered_json json{
        {"photo", options.photo},
        {"size", {photo.width, photo.height}},
        {"part", {x.begin, y.begin, x.end - x.begin, y.end - y.begin}},
        {"preprocessing", meaning.preprocessing},
        {"input", in.shape}};
    std::printf("%s\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return OkStatus();
  }
  std::printf("photo:   %s, %s\npart:    %dx%d at %d, %d\npixels:  %s\n", options.photo.c_str(),
              size.c_str(), x.end - x.begin, y.end - y.begin, x.begin, y.begin,
              meaning.preprocessing.c_str());
  return OkStatus();
}

}  // namespace

int Preprocess(const PreprocessOptions& options) {
  const Status status = TryPreprocess(options);
  return status.ok() ? 0 : Fail(status);
}

}  // namespace octet
