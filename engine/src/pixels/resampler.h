// Scaling an image as a framework does it.
#ifndef OCTET_ENGINE_SRC_PIXELS_RESAMPLER_H_
#define OCTET_ENGINE_SRC_PIXELS_RESAMPLER_H_

#include <cstdint>
#include <memory>

#include "engine/src/pixels/pixel_rows.h"
#include "formats/base/status.h"
#include "formats/model/metadata.h"
#include "kernels/kernel_table.h"

namespace octet {

/// What is made of an image of in_width x in_height x channels: it is scaled to resized_width x
/// resized_height, of which the rectangle at (x, y) is wanted.
struct ResizeTask {
  int in_width = 0, in_height = 0, channels = 3;
  int64_t resized_width = 0, resized_height = 0;  ///< May be huge; only the rectangle is computed.
  int64_t x = 0, y = 0;
  int width = 0, height = 0;

  bool operator==(const ResizeTask&) const = default;
};

/// A rule of scaling with what it has worked out for one task. One for each framework.
class Resampler {
 public:
  virtual ~Resampler() = default;

  /// A resampler for `resampling`, one of ProblemOf's without a problem.
  static std::unique_ptr<Resampler> Create(const Resampling& resampling,
                                           const kernels::KernelTable& table);

  /// Bytes that Prepare would allocate for the task, and about those of a thread's Run.
  virtual int64_t Bytes(const ResizeTask& task) const = 0;

  /// Works out weights and positions; Run needs them. Allocates nothing that an earlier task of
  /// the same sizes had.
  virtual void Prepare(const ResizeTask& task) = 0;

  /// Bytes of memory that each thread lends to Run, 64-byte aligned; after Prepare.
  virtual int64_t ScratchBytes() const = 0;

  /// Rows [begin, end) of the task's rectangle, of width x channels elements each, uint8 or, with
  /// Resampling::to_float, float; `out` is row `begin`. Thread-safe, and the same values however
  /// rows are split.
  virtual void Run(PixelRows* rows, int begin, int end, uint8_t* scratch, void* out) const = 0;
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PIXELS_RESAMPLER_H_
