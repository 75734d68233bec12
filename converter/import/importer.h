// Importers: one per source format, all giving the same thing: a float32 Graph in NHWC, validated shapes, nothing folded.
#ifndef OCTET_CONVERTER_IMPORT_IMPORTER_H_
#define OCTET_CONVERTER_IMPORT_IMPORTER_H_

#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

struct ImportOptions {
  /// Graph description (models/*.json), by path or by the name of one that ships; for formats that carry only tensors.
  std::string graph;
};

/// Recognizes the format by content and imports it. Conventions of the result:
///  - activations NHWC or NC with batch 1; weights OHWI / OI float32, Layout::kPlain;
///  - batch norms are kScaleShift nodes (scale = gamma/sqrt(var+eps), shift = beta - mean*scale);
///  - ReLUs and residual additions are nodes of their own;
///  - metadata.source says format and version; metadata.preprocessing is what the file knows (identity otherwise);
///  - quantized sources give kU8 activations with their own scales (see DESIGN of the format's importer).
/// Errors: kUnsupported lists every unsupported operator at once with its node name; kCorrupt names the place.
Result<Graph> ImportModel(const std::string& path, const ImportOptions& options);

/// "onnx", "safetensors", "tflite", "savedmodel", "h5", "keras", "pytorch"; kUnsupported when the content is none of them.
Result<std::string> DetectFormat(const std::string& path);

Result<Graph> ImportOnnx(const std::string& path);
Result<Graph> ImportSafetensors(const std::string& path, const ImportOptions& options);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_IMPORTER_H_
