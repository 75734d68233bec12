// TensorFlow SavedModels, beyond what importer.h declares.
#ifndef OCTET_CONVERTER_IMPORT_TENSORFLOW_SAVED_MODEL_H_
#define OCTET_CONVERTER_IMPORT_TENSORFLOW_SAVED_MODEL_H_

#include <string>
#include <string_view>

#include "converter/import/tensorflow/tensor_bundle.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// Imports the bytes of a saved_model.pb. `bundle` has the variables; null when the folder has
/// none. `signature` as ImportOptions has it. Errors come without a file's name, otherwise as
/// ImportSavedModel().
Result<Graph> ImportSavedModelBytes(std::string_view saved_model, const TensorBundle* bundle,
                                    const std::string& signature = "");

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_TENSORFLOW_SAVED_MODEL_H_
