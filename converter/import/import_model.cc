// Hands a model to the importer of its format.
#include <filesystem>
#include <utility>

#include "converter/import/detect.h"
#include "converter/import/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"

namespace octet {
namespace {

/// What would change nothing was not meant for this file.
Status CheckOptions(const std::string& format, const std::string& path,
                    const ImportOptions& options) {
  const bool checkpoint = format == "safetensors" || format == "pytorch";
  const struct {
    const char* option;
    bool given, used;
    const char* with;
  } kOptions[] = {
      {"--graph", !options.graph.empty(), checkpoint, "files that hold only tensors"},
      {"--weights", options.weights != WeightsChoice::kDefault, checkpoint, "checkpoints"},
      {"--signature", !options.signature.empty(), format == "savedmodel", "a SavedModel"}};
  for (const auto& o : kOptions) {
    if (o.given && !o.used)
      return InvalidArgument(
          StrCat(path, ": found ", FormatTitle(format), ", ", o.option, " goes with ", o.with));
  }
  return OkStatus();
}

Result<Graph> Dispatch(const std::string& format, const std::string& path,
                       const ImportOptions& options) {
  OCTET_RETURN_IF_ERROR(CheckOptions(format, path, options));
  if (format == "onnx") return ImportOnnx(path);
  if (format == "safetensors") return ImportSafetensors(path, options);
  if (format == "savedmodel") return ImportSavedModel(path, options);
  if (format == "pytorch") return ImportPytorch(path, options);
  if (format == "tflite") return ImportTflite(path);
  if (format == "h5") return ImportKerasH5(path);
  if (format == "keras") return ImportKerasZip(path);
  return InternalError(StrCat(path, ": format '", format, "' has no importer"));
}

}  // namespace

Result<Graph> ImportModel(const std::string& path, const ImportOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const std::string format, DetectFormat(path));
  if (format == "octet")
    return InvalidArgument(StrCat(path, ": is an .octet file, converted already; octet inspect ",
                                  path, " shows what it holds"));
  // Of a SavedModel people also name the file inside, whose variables stand beside it.
  std::filesystem::path from(path);
  if (format == "savedmodel" && from.filename() == "saved_model.pb") {
    from = from.has_parent_path() ? from.parent_path() : std::filesystem::path(".");
  }
  Result<Graph> graph = Dispatch(format, from.string(), options);
  const Status status = graph.ok() ? CheckGraph(*graph).WithContext(path) : graph.status();
  if (status.ok()) return graph;
  // Messages quote names from the file, which may hold anything; they stay one line.
  std::string message = status.message();
  for (char& c : message) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return Status(status.code(), std::move(message));
}

}  // namespace octet
