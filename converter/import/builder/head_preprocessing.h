// Arithmetic on pixels at the head of a network.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_HEAD_PREPROCESSING_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_HEAD_PREPROCESSING_H_

#include "formats/model/graph.h"

namespace octet {

/// Moves the ScaleShift nodes right behind a float input, where nothing else reads it, into
/// metadata.preprocessing: the network's input is then what they computed. Does nothing where the
/// preprocessing cannot express them (a scale that is not positive) or the input is no image of 1
/// or 3 channels.
void MoveHeadToPreprocessing(Graph* graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_HEAD_PREPROCESSING_H_
