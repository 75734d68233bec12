// Functions of each element, with what every format calls them: the importers make rows of them.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_UNARY_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_UNARY_H_

#include <span>
#include <string>
#include <string_view>

#include "converter/import/builder/graph_builder.h"

namespace octet {

struct UnaryFunction {
  struct Spelling {
    const char* name = "";       ///< Empty where the format has no such thing.
    const char* attribute = "";  ///< Keys of the parameter, the last one there counts; or none.
    float otherwise = 0.0f;      ///< The parameter where it is left out.
  };
  // Nothing here has a default, so that the compiler misses what a row leaves out.
  Result<TensorId> (*emit)(GraphBuilder* b, const Label& label, TensorId x, float parameter);
  Spelling onnx, tensorflow;
  Spelling keras;             ///< Its name as an activation, and the parameter of its operation.
  Spelling keras_layer;       ///< A class.
  Spelling keras_class;       ///< Of the operation.
  Spelling keras_calls;       ///< TensorFlow's functions, which Keras 2 calls.
  const char* keras_operand;  ///< Of those.
  int tflite;                 ///< Code of the operator, -1 where it has a handler of its own.

  /// The function of floats. Errors: kUnsupported for codes and a parameter that is no number.
  Result<TensorId> Emit(GraphBuilder* b, const Label& label, TensorId x, float parameter) const;
};

std::span<const UnaryFunction> UnaryFunctions();

/// The function that one format calls `name`; null for none.
const UnaryFunction* FindUnary(UnaryFunction::Spelling UnaryFunction::*format,
                               std::string_view name);

/// "relu, relu6, ..."
std::string UnaryNames();

/// What to say of `op`, a format's name of an activation function that octet lacks; empty for
/// others.
std::string UnaryAdvice(std::string_view op);

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_UNARY_H_
