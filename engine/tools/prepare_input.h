// Samples of a data set as a model's input.
#ifndef OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_
#define OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_

#include <cstdint>

#include "engine/include/octet/octet.h"
#include "formats/data/dataset.h"

namespace octet {

/// Fills one image of the first input. Images are preprocessed. Arrays are the input tensor, in the
/// order of the source's where they fit that, else in the other one; floats are quantized for a
/// uint8 input, and codes are its bytes. With `raw`, floats are refused for a uint8 input. Errors:
/// kInvalidArgument naming both shapes; those of Session::Preprocess.
Status PrepareInput(const Session& session, const Sample& sample, bool raw, uint8_t* input);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_
