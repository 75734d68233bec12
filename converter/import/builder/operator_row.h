// What an importer says of an operator that it takes.
#ifndef OCTET_CONVERTER_IMPORT_BUILDER_OPERATOR_ROW_H_
#define OCTET_CONVERTER_IMPORT_BUILDER_OPERATOR_ROW_H_

#include <string>

namespace octet {

struct OperatorRow {
  std::string format;  ///< "tflite"
  std::string name;    ///< As the format writes it.
  std::string limits;  ///< What is not taken; empty for none.
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_BUILDER_OPERATOR_ROW_H_
