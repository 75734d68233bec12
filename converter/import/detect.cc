// Recognizes a model's format by its content.
#include "converter/import/detect.h"

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

constexpr std::pair<const char*, const char*> kTitles[] = {{"onnx", "ONNX"},
                                                           {"safetensors", "safetensors"},
                                                           {"savedmodel", "SavedModel"},
                                                           {"h5", "Keras"},
                                                           {"keras", "Keras"},
                                                           {"pytorch", "PyTorch"},
                                                           {"tflite", "TFLite"}};

const char* DetectBytes(std::string_view text) {
  if (text.starts_with("OCTET\0\x1a\n"sv)) return "octet";
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

const char* FormatTitle(const std::string& format) {
  for (const auto& [name, title] : kTitles)
    if (format == name) return title;
  return "known";
}

Status NameForeignModel(Status status, const std::string& path) {
  const Result<std::string> format = DetectFormat(path);
  if (status.ok() || !format.ok() || *format == "octet") return status;
  std::filesystem::path octet(path);
  if (!octet.has_filename()) octet = octet.parent_path();
  return InvalidArgument(StrCat(path, ": found a ", FormatTitle(*format),
                                " model, expected an .octet file: convert it first, octet_convert ",
                                path, " --output=", octet.replace_extension(".octet").string()));
}

}  // namespace octet
