// Samples of a data set as a model's input.
#ifndef OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_
#define OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/preprocess.h"
#include "formats/data/dataset.h"

namespace octet {

/// Of photos for the model's first input.
Wanted WantedBy(const ModelDescription& model, bool fast_decode);

/// What one model's inputs are made with, by several threads at once.
class InputMaker {
 public:
  /// For the workers of a ReadAhead. `session`'s model outlives this.
  InputMaker(Session* session, bool fast_decode);

  const Decoding& decoding() const { return model_.Describe().preprocessing.decoding; }
  const Wanted& wanted() const { return wanted_; }

  /// Fills one image of the first input. Images, which must be decoded, are preprocessed. Arrays
  /// are the input tensor, in the order of the source's where they fit that, else in the other one;
  /// floats are quantized for a uint8 input, and codes are its bytes. With `raw`, floats are
  /// refused for a uint8 input. Errors: kInvalidArgument naming both shapes; those of
  /// Session::Preprocess.
  Status Make(const Sample& sample, bool raw, int worker, uint8_t* input);

 private:
  const Model& model_;
  const kernels::KernelTable& table_;
  const Wanted wanted_;
  std::vector<std::unique_ptr<Preprocessor>> preprocessors_;  ///< Made by the first photos.
};

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_PREPARE_INPUT_H_
