// Builds a residual network's Graph from a description and weights.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/tensor_source.h"
#include "converter/import/importer.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// The described network with the source's weights, by the conventions of importer.h. Nodes and
/// tensors are named alike whatever the checkpoint's names ("layer1.0.conv1"), so that one
/// calibration table fits all. Which tensors count, and how parts are put together, is
/// NetworkTensors' (checkpoint.h).
///
/// The naming scheme is the one of which the source has the most tensors; a common prefix
/// ("module.") is taken off. Convolutions have a bias where the source has one. Errors:
/// kInvalidArgument lists missing tensors, those of wrong shape and those that the network does not
/// use, of the scheme that fits best.
Result<Graph> BuildResnet(const GraphDescription& description, TensorSource& source,
                          const ImportOptions& options = {});

/// Whether the source has the tensors that the described network needs, of the shapes that it
/// needs, and no others.
bool Fits(const GraphDescription& description, TensorSource& source, WeightsChoice weights);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_
