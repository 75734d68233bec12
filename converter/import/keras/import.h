// A model of Keras from its configuration, wherever its weights come from.
#ifndef OCTET_CONVERTER_IMPORT_KERAS_IMPORT_H_
#define OCTET_CONVERTER_IMPORT_KERAS_IMPORT_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>

#include "converter/import/keras/weights.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet {

/// `file_bytes` limits the constants that the configuration may ask for.
Result<Graph> ImportKeras(const nlohmann::json& model, KerasWeights* weights, size_t file_bytes,
                          const std::string& source);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_KERAS_IMPORT_H_
