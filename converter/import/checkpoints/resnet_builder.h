// Builds a residual network's Graph from a description and weights.
#ifndef OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_
#define OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_

#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/checkpoints/tensor_source.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// The described network with the source's weights, by the conventions of importer.h. Nodes and
/// tensors are named alike whatever the checkpoint's names ("layer1.0.conv1"), so that one
/// calibration table fits all.
///
/// The naming scheme is the one of which the source has the most tensors; a common prefix
/// ("module.") is taken off. Errors: kInvalidArgument lists all missing tensors, those of wrong
/// shape and those that the network does not use.
Result<Graph> BuildResnet(const GraphDescription& description, TensorSource& source);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_CHECKPOINTS_RESNET_BUILDER_H_
