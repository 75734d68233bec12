// Importers: one per source format, all giving the same thing: a float32 Graph in NHWC, validated
// shapes, nothing folded.
#ifndef OCTET_CONVERTER_IMPORT_IMPORTER_H_
#define OCTET_CONVERTER_IMPORT_IMPORTER_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/import/builder/operator_row.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Which weights of a checkpoint that holds more than one set.
enum class WeightsChoice {
  kDefault,   ///< The raw ones with a note, or the averaged ones where there are no others.
  kRaw,       ///< As the optimizer left them.
  kAveraged,  ///< Moving averages (EMA, SWA), which training scripts evaluate.
};

struct ImportOptions {
  /// Graph description (models/*.json), by path or by the name of one that ships; for formats that
  /// carry only tensors.
  std::string graph;
  /// A SavedModel's signature; empty for serving_default, or the only one.
  std::string signature{};
  WeightsChoice weights = WeightsChoice::kDefault;
  /// Where to put sentences on choices that were made for the user, who should see them. May be
  /// null. Not owned.
  std::vector<std::string>* notes = nullptr;
};

inline void AddNote(const ImportOptions& options, std::string note) {
  if (options.notes != nullptr) options.notes->push_back(std::move(note));
}

/// Imports a file, whose content tells its format; options without use are errors. Conventions:
///  - activations NHWC or NC with batch 1; weights OHWI / OI float32, Layout::kPlain;
///  - batch norms are kScaleShift nodes (scale = gamma/sqrt(var+eps), shift = beta - mean*scale);
///  - ReLUs and residual additions are nodes of their own;
///  - metadata.source says format and version; metadata.preprocessing is what the file knows
///  (identity otherwise);
///  - quantized sources give kU8 activations with their own scales.
/// Errors: kInvalidArgument for a weight that is NaN or infinite names tensor and element
/// (CheckGraph in formats/model/analysis.h); kUnsupported lists every unsupported operator at once
/// with its node name; kCorrupt names the place.
Result<Graph> ImportModel(const std::string& path, const ImportOptions& options);

/// "onnx", "safetensors", "tflite", "savedmodel", "h5", "keras", "pytorch", "octet"; kUnsupported
/// when the content is none of them.
Result<std::string> DetectFormat(const std::string& path);

Result<Graph> ImportOnnx(const std::string& path);
/// The same from memory. `path` is the name used in errors; its folder is where external data may
/// lie.
Result<Graph> ImportOnnxBytes(std::string_view bytes, const std::string& path);
/// The operators that are taken, with their limits, from the table that decides it.
std::vector<OperatorRow> OnnxOperators();
Result<Graph> ImportSafetensors(const std::string& path, const ImportOptions& options);
/// A folder with saved_model.pb and variables/. Errors: kInvalidArgument lists the signatures when
/// the one asked for is not there.
Result<Graph> ImportSavedModel(const std::string& path, const ImportOptions& options);
std::vector<OperatorRow> SavedModelOperators();
/// A state dict, zip or legacy format, with the graph description that `options.graph` names.
Result<Graph> ImportPytorch(const std::string& path, const ImportOptions& options);
/// Float, float16, hybrid and full-integer models. The first two and hybrid ones (whose weights are
/// dequantized, so that any precision can be made of them) give float graphs; integer layers keep
/// their weights, scales and zero points. metadata.precision says which.
Result<Graph> ImportTflite(const std::string& path);
/// The same from memory aligned to 16 bytes.
Result<Graph> ImportTfliteBytes(std::string_view bytes);
std::vector<OperatorRow> TfliteOperators();
/// A whole Keras model in HDF5 (.h5), of Keras 2 or 3. Lambda layers and others that carry code are
/// refused.
Result<Graph> ImportKerasH5(const std::string& path);
Result<Graph> ImportKerasH5Bytes(std::string_view bytes);
/// A .keras archive (config.json and model.weights.h5).
Result<Graph> ImportKerasZip(const std::string& path);
Result<Graph> ImportKerasZipBytes(std::string_view bytes);
/// Layers, and bare operations under the names of either version.
std::vector<OperatorRow> KerasOperators();

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_IMPORTER_H_
