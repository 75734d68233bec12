// A network without its weights: what models/*.json say.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_GRAPH_DESCRIPTION_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_GRAPH_DESCRIPTION_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"
#include "formats/model/metadata.h"

namespace octet {

/// How one family of checkpoints names its tensors: from a role to a pattern without the
/// parameter's own name ("layer{S}.{b}.conv{K}", to which ".weight" or ".bias" is added). {s} is
/// the stage, {b} the block in it, {k} the convolution in the block, counted from 0; {S}, {B} and
/// {K} count from 1, {a} is the convolution as a letter, and {3k+1} is arithmetic.
/// Roles: stem.conv, stem.norm, block.conv, block.norm, shortcut.conv, shortcut.norm, final.norm,
/// dense. Each may have several patterns, of which the checkpoint has one.
struct NameScheme {
  std::string name;
  std::map<std::string, std::vector<std::string>> patterns;
  /// Beginnings of names that belong to modules which the network has but never runs.
  std::vector<std::string> unused;
};

/// A residual network for classification.
struct GraphDescription {
  enum class Block { kBasic, kBottleneck };
  enum class Shortcut {
    kProjection,  ///< A strided 1x1 convolution wherever the shape changes.
    kPad,  ///< Option A: every second pixel, new channels filled with zeros, half of them in front.
    kPadBehind,  ///< The same with all new channels behind.
  };
  struct Stem {
    int channels = 64;
    int kernel = 7;
    int stride = 2;
    bool max_pool = true;  ///< 3x3, stride 2, padding 1.
  };
  struct Stage {
    int blocks = 1;
    /// Of the 3x3 convolutions; the block's output has `expansion` times as many.
    int channels = 64;
    int stride = 1;  ///< Of the first block, in its convolution `strided_conv`.
  };
  struct Layer {
    enum class Type { kDense, kSoftmax };
    Type type = Type::kDense;
    int units = 0;  ///< Dense. The last one of the head follows the checkpoint, so that fine-tuned
                    ///< models fit.
    bool relu = false;   ///< Dense: followed by a ReLU.
    std::string tensor;  ///< Dense: name in the checkpoint; empty = the scheme's.
  };

  std::string name;   ///< "resnet50".
  std::string title;  ///< "ResNet-50 v1.5".
  std::string input_name = "image";
  std::string output_name = "probabilities";
  int height = 224, width = 224, channels = 3;
  Preprocessing preprocessing;
  std::vector<std::string> labels;

  int version = 1;  ///< 1: convolution, norm, ReLU, with the last ReLU after the addition. 2: norm,
                    ///< ReLU, convolution (pre-activation).
  Block block = Block::kBasic;
  int expansion = 1;     ///< 4 by default for bottlenecks.
  int strided_conv = 1;  ///< Which convolution of a block has the stride, from 1; by default the
                         ///< first 3x3 one.
  Shortcut shortcut = Shortcut::kProjection;
  /// Whether a projection reads what the block's first norm and ReLU give; version 2 only.
  bool activated_shortcut = true;
  bool stem_norm = true;   ///< Norm and ReLU after the stem's convolution; default in version 1.
  bool final_norm = true;  ///< Norm and ReLU before pooling; version 2 only.
  float epsilon = 1e-5f;   ///< Of every batch norm.
  Stem stem;
  std::vector<Stage> stages;
  std::vector<Layer> head;  ///< After global average pooling.
  std::vector<NameScheme> schemes;
};

/// Reads a description. With `"like": "resnet18"` it is that shipped one, with the fields given
/// here in place of its own. `origin` is the name used in errors. Errors: kCorrupt for what is not
/// JSON, kInvalidArgument for an unknown, missing or impossible field, naming it.
Result<GraphDescription> ParseGraphDescription(std::string_view json, const std::string& origin);

/// By the name of one that ships ("resnet50"), or by path. Errors: kNotFound lists the names that
/// ship.
Result<GraphDescription> LoadGraphDescription(const std::string& name_or_path);

/// Names of the descriptions that ship, sorted.
std::vector<std::string> GraphDescriptionNames();

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_GRAPH_DESCRIPTION_H_
