// What checkpoints of every format have in common: several sets of weights, weights that are stored
// as parts, and no network.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_CHECKPOINT_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_CHECKPOINT_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/checkpoints/tensor_source.h"
#include "converter/import/importer.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Whether one component of a tensor's name or path ("state_dict_ema") says that averages of
/// weights lie below.
bool IsAveragedName(std::string_view component);

/// A checkpoint's tensors as the network uses them: of one set of weights, without the components
/// that PyTorch's own wrappers put into names (torch.compile's "_orig_mod"), and with the weights
/// that are stored in parts put together:
///  - torch.nn.utils.prune: w = w_orig * w_mask;
///  - weight norm, both ways of naming: w = v * (g / |v|), the norm over all dimensions but the one
///    that g keeps, or over all where g is a scalar;
///  - spectral norm, both ways of naming: w = w_orig / (u^T W v).
/// A source without names, which makes up what it is asked for, is passed through.
class NetworkTensors : public TensorSource {
 public:
  /// `source` must outlive the result. Errors: kInvalidArgument when the weights that
  /// `options.weights` asks for are not there.
  static Result<NetworkTensors> Make(TensorSource& source, const ImportOptions& options);

  std::vector<std::string> Names() const override;
  std::optional<std::vector<int64_t>> FindShape(const TensorRequest& request) const override;
  Result<std::vector<float>> Read(const TensorRequest& request) override;

 private:
  struct Recipe {
    enum class Kind { kStored, kMasked, kWeightNorm, kSpectralNorm };
    Kind kind = Kind::kStored;
    /// Stored: the source's name. Else names of recipes: (w, mask), (v, g) or (w, u, v).
    std::vector<std::string> parts;
  };

  explicit NetworkTensors(TensorSource& source) : source_(&source) {}
  void FindParts();
  Result<std::vector<float>> Normalize(const std::string& name, const Recipe& recipe);

  TensorSource* source_;
  std::map<std::string, Recipe> recipes_;
  std::set<std::string> visible_;  ///< Recipes that are not parts of others.
};

/// The network that `options.graph` describes with the source's weights. `format` is what
/// metadata.source begins with; `path` goes in front of errors. Errors: as BuildResnet's; they name
/// a description that does fit, where one that ships does.
Result<Graph> ImportCheckpoint(const std::string& path, TensorSource& source,
                               const std::string& format, const ImportOptions& options);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_CHECKPOINT_H_
