// The safetensors format: an 8-byte length, a JSON header of that length, and raw little-endian
// tensors.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_SAFETENSORS_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/import/checkpoints/tensor_source.h"
#include "converter/import/file_bytes.h"
#include "formats/base/status.h"

namespace octet {

/// A checkpoint's tensors. The file stays mapped as long as this lives.
class SafetensorsSource : public TensorSource {
 public:
  /// Reads and checks the header: every tensor's type, shape and extent, which together must fill
  /// the file exactly, without a gap or an overlap. Errors: kNotFound, kIo, kCorrupt (names the
  /// tensor).
  static Result<SafetensorsSource> Open(const std::string& path);
  /// The same for bytes in memory; `origin` is the name used in errors.
  static Result<SafetensorsSource> Parse(FileBytes file, const std::string& origin);

  std::vector<std::string> Names() const override;
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& request) const override;
  /// F16, BF16, F32 and F64; other element types are kUnsupported.
  Result<std::vector<float>> Read(const TensorRequest& request) override;

  /// Element types in the file with their numbers of tensors, as in "F16 (102)", for people.
  std::string DescribeTypes() const;

 private:
  struct Entry {
    std::string dtype;  ///< As in the file: "F32".
    std::vector<int64_t> shape;
    std::span<const std::byte> data;
  };

  std::string origin_;
  FileBytes file_;
  std::map<std::string, Entry> entries_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_SAFETENSORS_H_
