// The images of `octet score`: data sets, and what comes over standard input.
#ifndef OCTET_ENGINE_TOOLS_SCORE_INPUT_H_
#define OCTET_ENGINE_TOOLS_SCORE_INPUT_H_

#include <memory>
#include <string>
#include <vector>

#include "formats/base/status.h"
#include "formats/data/dataset.h"

namespace octet {

/// What standard input is made of: paths that end with a line break or with a null byte, or the
/// bytes of images, each behind their number as 4 bytes, the lowest first.
enum class StandardInput { kLines, kNulls, kFrames };

/// Gives images one after the other, with constant memory. For one thread at a time.
class ScoreInput {
 public:
  virtual ~ScoreInput() = default;

  /// As Dataset::Read. Behind a frame that is cut short or too long nothing follows.
  virtual Result<bool> Read(Sample* sample) = 0;
  virtual Result<bool> Skip() = 0;
};

std::unique_ptr<ScoreInput> ScoreInputOf(std::unique_ptr<Dataset> dataset);
std::unique_ptr<ScoreInput> ScoreInputOf(StandardInput kind);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_SCORE_INPUT_H_
