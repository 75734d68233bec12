// What travels with a network besides its operators: how to prepare an image (octet/types.h), what
// the classes are called, where the model came from.
#ifndef OCTET_FORMATS_MODEL_METADATA_H_
#define OCTET_FORMATS_MODEL_METADATA_H_

#include <cstdint>
#include <string>
#include <vector>

#include "octet/types.h"

namespace octet {

inline constexpr int kNumPrecisions = 6;

/// How integer results become uint8. Stored in files as a required feature: never renumber.
enum class Rounding : uint8_t {
  kNearestEven = 0,  ///< Once, to the nearest; octet's own.
  /// As TFLite's reference kernels, for networks that were quantized for them: fixed-point products
  /// are rounded twice, which moves the limit between two results by half a step of the first
  /// rounding (engine/src/tflite_rounding.h).
  kTflite = 1,
};

struct Metadata {
  std::string name;     ///< For people, e.g. "flowers_resnet".
  std::string source;   ///< Format it was imported from, e.g. "onnx opset 13".
  std::string options;  ///< The converter's options that shaped it, one line.
  Precision precision = Precision::kFp32;
  Rounding rounding = Rounding::kNearestEven;
  Preprocessing preprocessing;
  /// The codes of the only input, uint8 of scale 1 and zero point 0, are the pixels of which
  /// `preprocessing` would make the source's numbers. Stored in files as a required feature.
  bool pixel_codes = false;
  std::vector<std::string> labels;  ///< Empty, or one name per class.
};

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_METADATA_H_
