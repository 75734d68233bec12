// What the numbers of a network's first input mean.
#ifndef OCTET_FORMATS_MODEL_INPUT_MEANING_H_
#define OCTET_FORMATS_MODEL_INPUT_MEANING_H_

#include <optional>
#include <string>

#include "formats/model/graph.h"

namespace octet {

struct ValueRange {
  float min = 0.0f, max = 0.0f;
};

/// Whether photos can be prepared for an input: an image of 1 or 3 channels.
inline bool TakesPhotos(const Shape& shape) {
  return shape.rank() == 4 && (shape[3] == 1 || shape[3] == 3);
}

/// What the codes of the first input stand for where they are pixels (Metadata::pixel_codes); empty
/// where its tensor says so by one scale and zero point, and where it is of floats.
ChannelQuantization ChannelsOfInput(const Graph& graph);
/// "[0.0171 0.0175 0.0174]*(q-[123.675 116.28 103.53])".
std::string Describe(const ChannelQuantization& quantization);

struct InputMeaning {
  /// Where the input is an image of 1 or 3 channels: the numbers that its preprocessing makes of
  /// pixels 0 to 255.
  std::optional<ValueRange> pixels;
  /// What the network was calibrated on, or quantized for; nothing for one of floats.
  std::optional<ValueRange> calibrated;

  /// "pixel * 1/255: 0..1; calibrated on 0..1".
  std::string text;
  /// "decoded as Pillow, stretched to 160x160 (bilinear), pixel * 1/255"; with numbers that are
  /// the pixels "none: the network gets pixels 0..255" behind the resizing; empty where no image
  /// fits.
  std::string preprocessing;
  /// Why photos may be read in another range than in training: the calibration's is another, mean
  /// or deviation are of another, or nobody named one. Empty where none is so.
  std::string doubt;
};

/// Whether a network as it was imported, before passes fold arithmetic into weights, takes photos
/// as floats and gets their pixels as they are, 0 to 255: nobody named a preprocessing, and it has
/// none at its head. The converter notes it among the options.
bool GetsRawPixels(const Graph& imported);
inline constexpr char kRawPixelsOption[] = "--preprocessing=none";
inline constexpr char kRawPixelsWarning[] =
    "photos reach the network as pixels of 0..255, as no preprocessing was named; if it was "
    "trained on anything else, say so by --preprocessing";

/// Of a converted graph, whose quantization tells what it was calibrated on, or with the range that
/// was measured.
InputMeaning MeaningOfInput(const Graph& graph, std::optional<ValueRange> measured = {});

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_INPUT_MEANING_H_
