// PyTorch checkpoints: the zip format and the legacy stream.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_PYTORCH_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_PYTORCH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/checkpoints/pickle_reader.h"
#include "converter/import/checkpoints/tensor_source.h"
#include "converter/import/file_bytes.h"
#include "converter/import/zip_reader.h"
#include "formats/base/status.h"

namespace octet {

/// The tensors of a state dict, wherever training scripts put it: `{'state_dict': {...}, 'epoch':
/// 3}`, `[{...}]`. Averaged weights beside the raw ones are there too, by the names of where they
/// lie ("state_dict_ema.conv1.weight"). Views of shared storages, any strides and negative views
/// are followed. Nothing in the file is executed: whatever is not tensors, numbers and containers
/// is skipped, and refused by name where a tensor depends on it.
class PytorchSource : public TensorSource {
 public:
  static Result<PytorchSource> Open(const std::string& path);

  /// Of a file's bytes; `origin` goes in front of errors.
  static Result<PytorchSource> Parse(FileBytes file, const std::string& origin);

  std::vector<std::string> Names() const override;
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& request) const override;
  Result<std::vector<float>> Read(const TensorRequest& request) override;

  /// State dicts that are not taken, as "'teacher' (62 tensors)".
  const std::vector<std::string>& left_aside() const { return left_aside_; }

  /// "zip" or "legacy".
  const char* format() const { return zip_ ? "zip" : "legacy"; }

 private:
  struct StorageType {
    const char* name;
    int64_t size;  ///< Bytes of an element.
  };
  struct Storage {
    std::string key;
    int64_t bytes = 0;
    std::string_view data;  ///< Legacy: in the file.
  };
  struct Tensor {
    const StorageType* type = nullptr;
    size_t storage = 0;  ///< Index into storages_.
    int64_t byte_offset = 0;
    std::vector<int64_t> shape, strides;  ///< Strides in elements.
    bool negative = false;                ///< A view of the values with their signs turned.
    std::string problem;                  ///< Why it cannot be read; empty for most.
  };

  static const StorageType* FindType(std::string_view name);
  Status ParseZip(FileBytes file);
  Status ParseLegacy(FileBytes file);
  Status CollectTensors(const Pickle& pickle);
  Result<Tensor> ParseTensor(const Pickle& pickle, PickleId id);
  bool Fits(const Tensor& tensor) const;
  Result<size_t> ParseStorage(const Pickle& pickle, PickleId id, const StorageType** type,
                              int64_t* view_offset);

  std::string origin_;
  FileBytes file_;
  std::optional<ZipReader> zip_;
  std::string folder_;  ///< In the zip archive, with a slash behind.
  std::vector<Storage> storages_;
  std::map<std::string, size_t, std::less<>> storage_index_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::vector<std::string> left_aside_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_PYTORCH_H_
