// Recognizes a model's format by its content and hands it to the importer.
#include <cstring>
#include <filesystem>
#include <protozero/pbf_message.hpp>
#include <protozero/pbf_reader.hpp>
#include <string_view>
#include <system_error>
#include <utility>

#include "converter/import/file_bytes.h"
#include "converter/import/importer.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/analysis.h"

namespace octet {
namespace {

using namespace std::string_view_literals;

bool IsSafetensors(std::string_view text) {
  if (text.size() < 10) return false;
  uint64_t header = 0;
  std::memcpy(&header, text.data(), sizeof(header));
  return header >= 2 && header <= text.size() - 8 && text[8] == '{';
}

/// Both formats are protocol buffers without a magic number, so their top-level fields decide:
/// ONNX's ModelProto has its graph in field 7, TensorFlow's SavedModel a version in field 1 and
/// meta graphs in field 2.
const char* DetectProtobuf(std::string_view text) {
  bool graph = false, version = false, meta_graph = false;
  try {
    protozero::pbf_reader reader(text.data(), text.size());
    while (reader.next()) {
      using protozero::pbf_wire_type;
      if (reader.tag() > 100) return nullptr;
      switch (reader.tag_and_type()) {
        case protozero::tag_and_type(1, pbf_wire_type::varint):
          version = true;
          break;
        case protozero::tag_and_type(2, pbf_wire_type::length_delimited):
          meta_graph = true;
          break;
        case protozero::tag_and_type(7, pbf_wire_type::length_delimited):
          graph = true;
          break;
        default:
          break;
      }
      reader.skip();
    }
  } catch (const protozero::exception&) {
    // A truncated file is still recognized by what came before, so that its importer can say what
    // is wrong with it.
  }
  if (graph) return "onnx";
  return version && meta_graph ? "savedmodel" : nullptr;
}

const char* DetectZip(std::string_view text) {
  // The central directory with all names is at the end.
  const std::string_view tail = text.substr(text.size() - std::min<size_t>(text.size(), 1 << 20));
  if (tail.find("model.weights.h5"sv) != std::string_view::npos) return "keras";
  if (tail.find("data.pkl"sv) != std::string_view::npos) return "pytorch";
  return nullptr;
}

const char* DetectBytes(std::string_view text) {
  if (text.starts_with("\x89HDF\r\n\x1a\n"sv)) return "h5";
  if (text.starts_with("PK\x03\x04"sv)) return DetectZip(text);
  // A pickle of PyTorch's magic number, 0x1950a86a20f9469cfc6c; newer protocols put a frame in
  // front.
  if (text.starts_with('\x80') &&
      text.substr(0, 32).find("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv) !=
          std::string_view::npos)
    return "pytorch";
  if (text.size() >= 8 && text.substr(4, 4) == "TFL3"sv) return "tflite";
  if (IsSafetensors(text)) return "safetensors";
  return DetectProtobuf(text);
}

}  // namespace

Result<std::string> DetectFormat(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    if (std::filesystem::exists(std::filesystem::path(path) / "saved_model.pb", error))
      return std::string("savedmodel");
    return Unsupported(StrCat(path, ": a folder without a saved_model.pb"));
  }
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  const char* format = DetectBytes(file.text());
  if (format == nullptr) {
    return Unsupported(StrCat(path,
                              ": the content is no known model format (ONNX, safetensors, TFLite, "
                              "SavedModel, Keras, PyTorch)"));
  }
  return std::string(format);
}

namespace {

Result<Graph> Dispatch(const std::string& format, const std::string& path,
                       const ImportOptions& options) {
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
