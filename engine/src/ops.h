// Operators as the session executes them: kernel, arguments and the split over threads, all fixed
// before the first run.
#ifndef OCTET_ENGINE_SRC_OPS_H_
#define OCTET_ENGINE_SRC_OPS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/src/parallel.h"
#include "engine/src/placement.h"
#include "engine/src/tflite_rounding.h"
#include "kernels/kernel_table.h"

namespace octet {

/// Fills the padding pixels around a tensor's images.
struct HaloFill {
  kernels::ActivationView view;
  Halo halo;
  /// Zero point of u8 tensors; floats are padded with 0, as are low bytes of i16.
  uint8_t value = 0;
  /// The first channels' own values in place of it, by kInputPadding; null for none.
  const uint8_t* codes = nullptr;
  void Run(int batch) const;
};

/// One address in an operator's arguments: a byte of a buffer of the plan (plan.h). Lifetimes of
/// buffers and the addresses themselves follow from these, and what is not inside its buffer is
/// refused before a plan is returned.
struct Slot {
  const char* argument;  ///< For messages.
  void* pointer;         ///< To a T*, which is set when the arena exists.
  int buffer;            ///< Index into Plan::buffers.
  int64_t at;            ///< Where the pointer points, from the beginning of the buffer.
  Reach reach;           ///< What is touched, from the pointer.
  bool written;          ///< Working memory is written and read.
};

/// The same for a tensor that the caller brings to each run.
struct ExternalSlot {
  void* pointer;  ///< As Slot::pointer.
  int index;      ///< Of the inputs or outputs.
  bool output;
};

class Op {
 public:
  static constexpr int kCopyIn = -1, kCopyOut = -2;  ///< Values of `node`.

  virtual ~Op() = default;
  /// Called before each run, by one thread.
  virtual void SetBatch(int images) { batch = images; }
  /// Writes a part of the output, which may take place on any thread.
  virtual void Run(const StepPart& part) const = 0;
  /// With the padding around the output, which belongs to the last part.
  void RunWithHalo(const StepPart& part) const {
    if (part.is_last()) halo.Run(batch);
    Run(part);
  }

  std::vector<Slot> slots;
  std::vector<ExternalSlot> external_slots;
  HaloFill halo;       ///< Around the output.
  int batch = 1;       ///< Images of the present run.
  int node = kCopyIn;  ///< Index into Graph::nodes, kCopyIn or kCopyOut.
  std::string kernel;  ///< For the profile.
};

/// Convolution or dense layer with static quantization or in float.
class ConvOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;

  kernels::ConvArgs args;
  kernels::ConvFn fn = nullptr;
  int panels = 0;
  bool split_panels = false;   ///< Parts are output channels instead of pixels.
  int64_t scratch_bytes = 0;   ///< Of a part, where `fn` needs it.
  uint8_t* scratch = nullptr;  ///< [part][scratch_bytes]

 protected:
  /// What a part is of `images` images, which are all or one.
  struct Share {
    int64_t pixel_begin, pixel_end;
    int panel_begin, panel_end;
    bool empty() const { return pixel_begin >= pixel_end || panel_begin >= panel_end; }
  };
  Share ShareOf(const StepPart& part, int images) const;
  kernels::ConvArgs ArgsOf(int part) const;
};

/// 3x3 convolution of stride 1 by Winograd's algorithm.
class WinogradOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.conv.batch = images; }
  void Run(const StepPart& part) const override { RunShare(args, part); }

  kernels::WinogradArgs args;
  int edge = 4;  ///< Of a tile's outputs.
  kernels::WinogradFn fn = nullptr;
  int panels = 0;
  uint8_t* scratch = nullptr;  ///< [part][scratch_bytes]
  int64_t scratch_bytes = 0;

 protected:
  /// What a part is of `images`, which are all or one.
  void RunShare(const kernels::WinogradArgs& images, const StepPart& part) const;
};

/// Scale and zero point of one image, found at run time ("hybrid").
struct DynamicRange {
  float scale = 0.0f;
  int32_t zero_point = 0;
};

/// Range of each image of a float tensor, one partial result a part.
class MinMaxOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;

  kernels::EltwiseArgs args;
  kernels::MinMaxFn fn = nullptr;
  float* partial = nullptr;  ///< [batch][part][2]
  int max_parts = 1;
};

/// Quantizes each image with its own range and prepares the convolution's epilogue.
class DynamicQuantizeOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;

  kernels::EltwiseArgs args;
  kernels::EltwiseFn fn = nullptr;
  const float* partial = nullptr;
  int max_parts = 1;
  bool non_negative = false;            ///< The range starts at 0: no zero point, no correction.
  const float* weight_scale = nullptr;  ///< [padded channels]
  const int32_t* weight_sum = nullptr;  ///< [padded channels]
  float* multiplier = nullptr;          ///< [batch][padded channels]
  int32_t* bias = nullptr;              ///< [batch][padded channels]
  int channels = 0;                     ///< Padded.
  HaloFill range_halo;                  ///< Around the output; its value is found at run time.
};

/// Convolution over images quantized on the fly; `args` are for one image.
class HybridConvOp : public ConvOp {
 public:
  void SetBatch(int images) override { batch = images; }
  void Run(const StepPart& part) const override;
};

/// The same by Winograd's algorithm.
class HybridWinogradOp : public WinogradOp {
 public:
  void SetBatch(int images) override { batch = images; }
  void Run(const StepPart& part) const override;
};

class PoolOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;
  kernels::PoolArgs args;
  kernels::PoolFn fn = nullptr;
};

class GlobalPoolOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;
  kernels::PoolArgs args;
  kernels::GlobalPoolFn fn = nullptr;
};

class EltwiseOp : public Op {
 public:
  void SetBatch(int images) override { batch = args.batch = images; }
  void Run(const StepPart& part) const override;
  kernels::EltwiseArgs args;
  kernels::EltwiseFn fn = nullptr;
};

/// Softmax and other functions of the floats of each pixel.
class RowOp : public Op {
 public:
  void Run(const StepPart& part) const override;
  kernels::ActivationView input, output;
  bool bf16_in = false, bf16_out = false;
  float* scratch = nullptr;  ///< Of bfloat16 input a row for each part.
  kernels::RowFn fn = nullptr;
};

/// TFLite's softmax of 16-bit codes, over the channels of each pixel.
class TfliteSoftmaxOp : public Op {
 public:
  explicit TfliteSoftmaxOp(float x_scale) : softmax_(x_scale) {}
  void Run(const StepPart& part) const override;

  kernels::ActivationView input, output;
  int16_t* scratch = nullptr;  ///< A row for each part.

 private:
  TfliteSoftmax softmax_;
};

/// Copies a box of pixels and channels; covers Pad, Slice, Concat, and copies from and to the
/// caller's buffers.
class CopyOp : public Op {
 public:
  void Run(const StepPart& part) const override;

  kernels::ActivationView input, output;
  int element_size = 1;
  int h = 0, w = 0, c = 0;                 ///< Box to copy.
  int in_y = 0, in_x = 0, in_c = 0;        ///< First input element.
  int step_y = 1, step_x = 1, step_c = 1;  ///< Of the input.
  int out_y = 0, out_x = 0, out_c = 0;     ///< First output element.
  int clear_channels = 0;    ///< > 0: first fill the whole output, this many channels a pixel.
  uint32_t clear_value = 0;  ///< Bit pattern of one element; of i16, its high and low byte.
};

/// Between the caller's int16 and the two planes of a tensor, either of which is the input.
class Int16CopyOp : public Op {
 public:
  void Run(const StepPart& part) const override;

  kernels::ActivationView input, output;
};

/// Copies elements in NHWC order between tensors of different shapes.
class ReshapeOp : public Op {
 public:
  void Run(const StepPart& part) const override;
  kernels::ActivationView input, output;
  int element_size = 1;
  int out_padded_c = 0;  ///< Channels of an output pixel as stored; the surplus is zeroed.
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_OPS_H_
