#include "converter/report/html/pictures.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset.h"
#include "formats/data/image_writer.h"
#include "formats/model/input_meaning.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

/// Pixels [begin, end) of a resized axis that become the input, in the photo.
Part PartOf(int source_begin, int in_size, int64_t resized, int64_t begin, int size) {
  const double scale = static_cast<double>(in_size) / static_cast<double>(resized);
  const auto at = [&](int64_t x) {
    return source_begin + static_cast<int>(static_cast<double>(x) * scale + 0.5);
  };
  return {at(begin), std::max(at(begin) + 1, at(begin + size))};
}

/// Small ones with their own pixels.
Status AddPicture(const DecodedImage& image, std::string caption, ReportPage* page) {
  const DecodedImage small = Shrunk(image, 480);
  const bool exact = small.width <= 64 && small.height <= 64;
  OCTET_ASSIGN_OR_RETURN(std::string bytes, exact ? EncodePng(small) : EncodeJpeg(small, 85));
  page->prepared.push_back({std::move(caption), exact ? "image/png" : "image/jpeg",
                            std::move(bytes), small.width, small.height});
  return OkStatus();
}

}  // namespace

DecodedImage Seen(const ResizedImage& resized, ChannelOrder order, int height, int width,
                  int channels) {
  DecodedImage image{width, height, {}};
  image.rgb.resize(static_cast<size_t>(width) * height * 3);
  const bool reversed = order == ChannelOrder::kBgr && channels == 3;
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    const size_t c = i % 3, from = channels == 1 ? i / 3 : i - c + (reversed ? 2 - c : c);
    image.rgb[i] =
        resized.values.empty()
            ? resized.pixels[from]
            : static_cast<uint8_t>(std::clamp(resized.values[from] + 0.5f, 0.0f, 255.0f));
  }
  return image;
}

DecodedImage SeenInput(const Graph& g, std::span<const float> input) {
  const Shape& shape = g.tensor(g.inputs[0]).shape;
  const Preprocessing& p = g.metadata.preprocessing;
  const auto side = [&](int i) { return static_cast<int>(shape[i]); };
  std::vector<float> values(input.begin(), input.end());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t c = i % static_cast<size_t>(side(3));
    values[i] = (values[i] * p.stddev[c] + p.mean[c]) / p.scale;
  }
  return Seen({{}, values}, p.order, side(1), side(2), side(3));
}

PhotoPart UsedPart(const ResizeGeometry& g) {
  return {PartOf(g.source_x, g.task.in_width, g.task.resized_width, g.task.x, g.task.width),
          PartOf(g.source_y, g.task.in_height, g.task.resized_height, g.task.y, g.task.height)};
}

void DrawPart(const PhotoPart& part, DecodedImage* photo) {
  const auto& [x, y] = part;
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

DecodedImage Shrunk(const DecodedImage& image, int most) {
  const int larger = std::max(image.width, image.height);
  if (larger <= most) return image;
  const auto size = [&](int side) {
    return std::max(1, static_cast<int>(int64_t{side} * most / larger));
  };
  DecodedImage small{size(image.width), size(image.height), {}};
  for (int y = 0; y < small.height; ++y) {
    for (int x = 0; x < small.width; ++x) {
      const auto begin = [](int i, int n, int of) { return static_cast<int>(int64_t{i} * of / n); };
      const int x0 = begin(x, small.width, image.width),
                x1 = begin(x + 1, small.width, image.width),
                y0 = begin(y, small.height, image.height),
                y1 = begin(y + 1, small.height, image.height);
      for (int c = 0; c < 3; ++c) {
        int64_t sum = 0;
        for (int row = y0; row < y1; ++row)
          for (int column = x0; column < x1; ++column)
            sum += image.rgb[(static_cast<size_t>(row) * image.width + column) * 3 + c];
        const int64_t count = int64_t{x1 - x0} * (y1 - y0);
        small.rgb.push_back(static_cast<uint8_t>((sum + count / 2) / count));
      }
    }
  }
  return small;
}

Status ShowPreparation(const std::vector<std::string>& data, const Graph& g, ReportPage* page) {
  page->preprocessing = MeaningOfInput(g).preprocessing;
  const Shape& shape = g.tensor(g.inputs[0]).shape;
  if (data.empty() || !TakesPhotos(shape)) return OkStatus();
  DatasetOptions options;
  options.decoding = g.metadata.preprocessing.decoding;
  OCTET_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, OpenDataset(data, options));
  Sample sample;
  OCTET_ASSIGN_OR_RETURN(const bool any, dataset->Next(&sample));
  if (!any || sample.is_float()) return OkStatus();
  const auto side = [&](int i) { return static_cast<int>(shape[i]); };
  OCTET_ASSIGN_OR_RETURN(const kernels::KernelTable* table, kernels::SelectTable(""));
  Preprocessor preprocessor(g.metadata.preprocessing, side(1), side(2), side(3), *table);
  DecodedImage photo = std::move(sample.image);
  OCTET_ASSIGN_OR_RETURN(const ResizedImage resized,
                         preprocessor.Resize({photo.rgb.data(), photo.width, photo.height}));
  const PhotoPart part = UsedPart(preprocessor.geometry());
  OCTET_RETURN_IF_ERROR(AddPicture(
      photo, StrCat("As decoded: ", sample.name, ", ", photo.width, " × ", photo.height), page));
  DrawPart(part, &photo);
  OCTET_RETURN_IF_ERROR(
      AddPicture(photo,
                 StrCat("The part that is used: ", part.x.end - part.x.begin, " × ",
                        part.y.end - part.y.begin, " at ", part.x.begin, ", ", part.y.begin),
                 page));
  return AddPicture(
      Seen(resized, g.metadata.preprocessing.order, side(1), side(2), side(3)),
      StrCat("What the network sees: ", side(2), " × ", side(1), side(3) == 1 ? ", gray" : ""),
      page);
}

}  // namespace octet
