// The written model against answers of the source's own framework.
#ifndef OCTET_CONVERTER_REPORT_COMPARE_H_
#define OCTET_CONVERTER_REPORT_COMPARE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/data/source_array.h"
#include "formats/data/warnings.h"

namespace octet {

/// Over all values of all images; uint8 outputs count as the numbers that they stand for.
struct Comparison {
  int64_t images = 0;
  double absolute_error = 0.0;  ///< The largest |octet - reference|; NaN when one is.
  double relative_error = 0.0;  ///< absolute_error / the largest |reference|; 0 when both are 0.
  /// Images whose largest output has the same index, the first of equal ones.
  int64_t equal_top1 = 0;
};

/// Runs `model` on each of the inputs and compares its first output with the reference.
///  - `input_path` is a .npy file of what the source's network was fed, in its order (SourceArray);
///    uint8 images for a network that takes images of numbers are pixels of any size and go through
///    the model's preprocessing.
///  - `reference_path` has the batch in front and the output's number of elements in each row,
///    feature maps in the source's order, or in the other where only that fits. Answers of a
///    network that gives codes may be codes, uint8 or int8, as the source gave them, or the numbers
///    they stand for.
/// Errors: those of NpyReader; kInvalidArgument for shapes that do not fit and for values that are
/// not finite, with the path in front.
Result<Comparison> CompareWithReference(const std::shared_ptr<const Model>& model,
                                        const SourceInput& source, const std::string& input_path,
                                        const std::string& reference_path, Warnings* warnings);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_COMPARE_H_
