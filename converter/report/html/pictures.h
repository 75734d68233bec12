// What a network sees of photos.
#ifndef OCTET_CONVERTER_REPORT_HTML_PICTURES_H_
#define OCTET_CONVERTER_REPORT_HTML_PICTURES_H_

#include <span>
#include <string>
#include <vector>

#include "converter/report/html/page.h"
#include "engine/src/preprocess.h"
#include "formats/data/image.h"
#include "formats/model/graph.h"

namespace octet {

/// As an image: RGB as it was before normalization, whatever the network's order of channels is.
DecodedImage Seen(const ResizedImage& resized, ChannelOrder order, int height, int width,
                  int channels);

/// The same of an input of `g`, which TakesPhotos; nearly, as the numbers are rounded back.
DecodedImage SeenInput(const Graph& g, std::span<const float> input);

/// Pixels [begin, end) of an axis that become the input.
struct Part {
  int begin, end;
};
struct PhotoPart {
  Part x, y;
};
PhotoPart UsedPart(const ResizeGeometry& geometry);

/// The photo with what is left out dark, and a frame around the rest.
void DrawPart(const PhotoPart& part, DecodedImage* photo);

/// At most `most` pixels wide and high, by means over areas; the same where it is.
DecodedImage Shrunk(const DecodedImage& image, int most);

/// Shows the first photo of `data` on its way to the input of `g`; nothing where that are arrays.
Status ShowPreparation(const std::vector<std::string>& data, const Graph& g, ReportPage* page);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_PICTURES_H_
