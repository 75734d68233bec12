// `octet preprocess`: what a network gets of a photo, as an image or array, and which part of the
// photo that is.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/src/model_impl.h"
#include "engine/tools/commands.h"
#include "engine/tools/prepare_input.h"
#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/npy.h"
#include "formats/data/png_writer.h"
#include "formats/model/input_meaning.h"

namespace octet {
namespace {

/// What the network sees, as an image: RGB as it was before normalization, whatever the network's
/// order of channels is.
DecodedImage Seen(const ResizedImage& resized, const Preprocessing& p, int height, int width,
                  int channels) {
  DecodedImage image{width, height, {}};
  image.rgb.resize(static_cast<size_t>(width) * height * 3);
  const bool reversed = p.order == ChannelOrder::kBgr && channels == 3;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const size_t c = i % 3, from = channels == 1 ? i / 3 : i - c + (reversed ? 2 - c : c);
    image.rgb[i] =
        resized.values.empty()
            ? resized.pixels[from]
            : static_cast<uint8_t>(std::clamp(resized.values[from] + 0.5f, 0.0f, 255.0f));
  }
  return image;
}

/// Pixels [begin, end) of an axis that become the input.
struct Part {
  int begin, end;
};

Part PartOf(int source_begin, int in_size, int64_t resized, int64_t begin, int size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(resized);
  const auto at = [&](int64_t x) {
    return source_begin + static_cast<int>(static_cast<double>(x) * scale + 0.5);
  };
  return {at(begin), std::max(at(begin) + 1, at(begin + size))};
}

/// The photo with what is left out dark, and a frame around the rest.
void DrawPart(const Part& x, const Part& y, DecodedImage* photo) {
  const int frame = std::max(1, std::min(photo->width, photo->height) / 150);
  for (int row = 0; row < photo->height; ++row) {
    for (int column = 0; column < photo->width; ++column) {
      uint8_t* p = &photo->rgb[(static_cast<size_t>(row) * photo->width + column) * 3];
      const bool inside = column >= x.begin && column < x.end && row >= y.begin && row < y.end;
      const bool deep = column >= x.begin + frame && column < x.end - frame &&
                        row >= y.begin + frame && row < y.end - frame;
      if (!inside) {
        for (int c = 0; c < 3; ++c) p[c] = static_cast<uint8_t>(p[c] / 3);
      } else if (!deep) {
        p[0] = 255;
        p[1] = p[2] = 0;
      }
    }
  }
}

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
  const InputMeaning meaning = MeaningOfInput(model.impl().file.graph);
  if (!TakesPhotos(model.impl().file.graph.tensor(model.impl().file.graph.inputs[0]).shape))
    return InvalidArgument(StrCat(options.model, ": input ", in.name, " takes no photos"));
  const int height = static_cast<int>(in.shape[1]), width = static_cast<int>(in.shape[2]),
            channels = static_cast<int>(in.shape[3]);
  std::unique_ptr<Preprocessor> preprocessor;
  std::vector<uint8_t> input(in.num_bytes());
  OCTET_RETURN_IF_ERROR(PreprocessInput(ViewOf(photo), model.Describe(), *session->impl().table,
                                        model.impl().max_memory, 1, &preprocessor, input.data())
                            .WithContext(options.photo));
  for (const std::string& path : options.outputs) {
    OCTET_RETURN_IF_ERROR(
        LowerCase(path).ends_with(".npy")
            ? WriteInput(path, in, input)
            : WritePng(path, Seen(preprocessor->resized(), p, height, width, channels)));
  }
  const ResizeGeometry& g = preprocessor->geometry();
  const Part x = PartOf(g.source_x, g.task.in_width, g.task.resized_width, g.task.x, g.task.width),
             y = PartOf(g.source_y, g.task.in_height, g.task.resized_height, g.task.y,
                        g.task.height);
  const std::string size = StrCat(photo.width, "x", photo.height);
  if (!options.crop.empty()) {
    DrawPart(x, y, &photo);
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
