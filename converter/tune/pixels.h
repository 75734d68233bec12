// Pixels as the codes of a network's input, so that none is rounded.
#ifndef OCTET_CONVERTER_TUNE_PIXELS_H_
#define OCTET_CONVERTER_TUNE_PIXELS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/quantize/quantize.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// A float network that turns its input back into pixels and has scale, mean and deviation in its
/// first convolution instead. Its padding would have to be what stands for 0 in each channel, which
/// the quantized network alone can say: float answers are wrong at the edges.
struct PixelGraph {
  Graph graph;
  CalibrationTable table;  ///< With the pixels' range.
  std::string convolution;
  std::vector<uint8_t> padding;  ///< Codes, by channel; empty where it has none.
};

/// Of a network whose only input is an image that nothing but a convolution reads, behind a
/// rescaling or not, and whose preprocessing makes numbers of pixels, by `table` the same as those
/// of the calibration. Nothing for others, and where the pixels are the codes anyway.
std::optional<PixelGraph> TakePixels(const Graph& graph, const CalibrationTable& table);

/// To int8, the padding included, by `options` of another input than int16. A uint8 input is of
/// the pixels themselves (Metadata::pixel_codes). Errors: those of QuantizeGraph.
Result<Graph> QuantizePixels(const PixelGraph& pixels, const QuantizeOptions& options);

}  // namespace octet

#endif  // OCTET_CONVERTER_TUNE_PIXELS_H_
