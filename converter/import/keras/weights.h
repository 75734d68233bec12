// Weights of a Keras model by layer and name, in the layouts of both file formats.
#ifndef OCTET_CONVERTER_IMPORT_KERAS_WEIGHTS_H_
#define OCTET_CONVERTER_IMPORT_KERAS_WEIGHTS_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/keras/hdf5_reader.h"
#include "formats/base/status.h"

namespace octet {

/// One level of the way from the model to a layer: a layer's name, and what Keras 3 calls it inside
/// the file, which is its class in snake case with a counter ("conv2d_3").
struct KerasStep {
  std::string name;
  std::string stored_name;
};

class KerasWeights {
 public:
  virtual ~KerasWeights() = default;
  /// Weight `name` of the layer at the end of `path`, which is the layer's `index`-th. Versions may
  /// name it differently: `name` is a list of words. Errors: kNotFound, kCorrupt.
  Result<const Hdf5Object*> Find(const std::vector<KerasStep>& path, std::string_view name,
                                 int index);
  /// Its values, also where h5py stored bfloat16 as bytes without a meaning.
  Result<std::vector<float>> Floats(const Hdf5Object& weight) const;
  /// Whether weights have names in the file, or only numbers.
  virtual bool by_name() const = 0;
  /// kUnsupported where a layer has a weight in the file that nobody asked for.
  Status CheckAllRead() const;

 protected:
  /// Both must outlive the result. `root` holds the layers.
  KerasWeights(const Hdf5File& file, const Hdf5Object& root) : file_(file), root_(root) {}
  virtual Result<const Hdf5Object*> Locate(const std::vector<KerasStep>& path,
                                           std::string_view name, int index) = 0;
  const Hdf5File& file_;
  const Hdf5Object& root_;

 private:
  std::set<const Hdf5Object*> read_;
};

/// A whole model in one .h5: groups by layer name, whose attribute weight_names lists the weights.
/// `group` is the file's "model_weights"; both arguments must outlive the result.
std::unique_ptr<KerasWeights> LegacyKerasWeights(const Hdf5File& file, const Hdf5Object& group);

/// A .weights.h5 as .keras files have it: layers/conv2d_3/vars/0. `root` is the file's; both
/// arguments must outlive the result.
std::unique_ptr<KerasWeights> NumberedKerasWeights(const Hdf5File& file, const Hdf5Object& root);

/// "DepthwiseConv2D" -> "depthwise_conv2d", as Keras does it.
std::string KerasSnakeCase(std::string_view name);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_KERAS_WEIGHTS_H_
