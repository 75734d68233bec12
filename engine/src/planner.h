// The insides of BuildPlan. It works in two phases: operators are made one after the other in the
// order of the graph, with strides, kernels and constants, and name the buffers they use (Slot);
// when all lifetimes are known, buffers get their places in the arena and slots their addresses.
//
// plan.cc has both phases, plan_conv.cc convolutions and dense layers, plan_ops.cc the rest.
#ifndef OCTET_ENGINE_SRC_PLANNER_H_
#define OCTET_ENGINE_SRC_PLANNER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/src/plan.h"
#include "formats/base/macros.h"
#include "formats/model/panel.h"

namespace octet {

class Planner {
 public:
  /// Both are borrowed.
  Planner(const Graph& graph, const PlanOptions& options)
      : graph_(graph), options_(options), table_(*options.table), plan_(std::make_unique<Plan>()) {}

  Result<std::unique_ptr<Plan>> Build();

 private:
  struct Conv;  // plan_conv.cc

  // ---- plan.cc ----

  const Tensor& tensor(TensorId id) const { return graph_.tensors[id]; }
  const Geometry& geometry(TensorId id) const { return plan_->placements[id].geometry; }

  /// Geometry of every activation, from all its readers.
  Status DecideLayouts();
  Status AddNode(const Node& n);
  Status AddOutput(int index);

  /// A buffer of `bytes` for the whole batch.
  Result<int> NewBuffer(int64_t bytes);
  Result<int> NewBuffer(const Geometry& g);
  /// Zeroed memory for `count` values that lives as long as the plan.
  template <typename T>
  Result<T*> Constant(int64_t count) {
    OCTET_ASSIGN_OR_RETURN(void* p, ConstantBytes(count, sizeof(T)));
    return static_cast<T*>(p);
  }
  Result<void*> ConstantBytes(int64_t count, size_t element_size);
  /// Adds to the memory that the plan needs. Errors: kOutOfMemory.
  Status Charge(int64_t bytes);

  /// Makes sure that a graph input which `id` may be has been copied in.
  Status NeedsInMemory(TensorId id);

  /// `argument` is the address of pixel (0,0) of tensor `id` in the arena; `pixel_bytes` of every
  /// pixel are touched.
  void ReadTensor(Op* op, const char* name, TensorId id, int64_t pixel_bytes, void* argument);
  void WriteTensor(Op* op, const char* name, TensorId id, int64_t pixel_bytes, void* argument);
  /// The same for a whole view, whose strides are set as well, and for a buffer of no tensor.
  void ReadView(Op* op, const char* name, TensorId id, int64_t channels,
                kernels::ActivationView* view);
  void WriteView(Op* op, const char* name, TensorId id, int64_t channels,
                 kernels::ActivationView* view);
  void WriteView(Op* op, const char* name, int buffer, const Geometry& g, int64_t channels,
                 kernels::ActivationView* view);
  /// `argument` is the first byte of `buffer`, all of whose `bytes` are touched.
  void UseWhole(Op* op, const char* name, int buffer, int64_t bytes, bool written, void* argument);
  /// The padding around the images of an operator's output is written by itself.
  void FillHalo(Op* op, TensorId output);
  /// The same around a copy of tensor `id`.
  void FillHalo(Op* op, int buffer, const Geometry& g, TensorId id);
  void FillHalo(Op* op, int buffer, const Geometry& g, uint8_t value, HaloFill* halo);
  /// The operator is complete: nothing moves any more.
  Status Push(std::unique_ptr<Op> op);
  Status CheckReach(const Op& op, const char* argument, const Reach& reach, int64_t at,
                    int64_t bytes) const;

  /// Input or output `index` of the caller: contiguous pixels.
  kernels::ActivationView ExternalView(const Tensor& t) const;
  Status UseExternal(Op* op, const Tensor& t, int index, bool output,
                     const kernels::ActivationView& view, void* argument);
  /// Copies tensor `id` or, when `external` is one, that input of the caller into `buffer`.
  Status AddCopyTo(int buffer, const Geometry& to, TensorId id, int external);

  Status PlaceBuffers();

  /// Clamp limits relative to the output's zero point, in steps of its scale (codes) or real
  /// (float).
  void ClampLimits(Activation activation, const Tensor& out, float* low, float* high) const;
  bool IsTflite() const { return graph_.metadata.rounding == Rounding::kTflite; }
  std::string NodeName() const;

  // ---- plan_conv.cc ----

  void ChooseWinograd();
  /// How to compute a convolution by Winograd's algorithm; without a function, not.
  struct Winograd {
    kernels::WinogradFn function = nullptr;
    kernels::WinogradLimit limit{};
    int edge = 4;  ///< Of a tile's outputs.
  };
  /// What the table has for the node's types, by tiles of 4x4.
  Winograd WinogradOf(const Node& n) const;
  Winograd ChooseWinograd(const Node& n) const;
  bool IsExactWithWinograd(int node) const;
  /// The window as the halo must cover it: Winograd reads up to the last whole tile.
  Window HaloWindow(int node) const;
  /// A convolution that reads its input tensor as it lies (false: hybrid ones read a quantized
  /// copy).
  bool ReadsInPlace(const Node& n) const;

  Status AddConv(const Node& n);
  Status ChooseSource(Conv* c);
  Status AddDynamicQuantization(Conv* c);
  Status FillGeometry(Conv* c);
  Status FillEpilogue(Conv* c);
  Status FillIntegerEpilogue(Conv* c);
  Status FillReal(Conv* c);
  Status SplitBias(Conv* c, int32_t* high);
  Status FillHybridEpilogue(Conv* c);
  void ChooseBlocking(Conv* c) const;
  bool UseSplit(const Conv& c) const;
  bool UseSpread(const Conv& c) const;
  kernels::ConvFn ConvFunction(const Conv& c) const;
  Status AddDirect(Conv* c);
  Status AddWinograd(Conv* c);
  Status BindConv(const Conv& c, Op* op, kernels::ConvArgs* args);
  Status AddChains(const Conv& c, kernels::ConvArgs* args);
  Result<const int32_t*> WeightSums(const Conv& c, bool skip);

  // ---- plan_ops.cc ----

  Status AddPool(const Node& n);
  Status AddGlobalPool(const Node& n);
  Status AddBinary(const Node& n);
  Status AddScaleShift(const Node& n);
  Status AddConversion(const Node& n);
  Status FinishConversion(const Node& n, std::unique_ptr<EltwiseOp> op);
  Status AddRow(const Node& n, kernels::RowFn fn);
  Status AddTfliteSoftmax(const Node& n);
  Status AddPad(const Node& n);
  Status AddSlice(const Node& n);
  Status AddConcat(const Node& n);
  Status AddReshape(const Node& n);
  Status FinishPool(const Node& n, std::unique_ptr<Op> op, kernels::PoolArgs* args);
  Status FinishBinary(const Node& n, std::unique_ptr<EltwiseOp> op);
  Status FinishUnary(const Node& n, TensorId x, std::unique_ptr<EltwiseOp> op);
  Status FinishEltwise(const Node& n, std::unique_ptr<EltwiseOp> op);
  /// Where a pixel is a few channels, constants of each for a whole row, which kernels then take
  /// for one pixel: three channels at a time fill no register.
  Status TakeRowsAsPixels(const Tensor& x, const Geometry& out, kernels::EltwiseArgs* args);
  /// Scale and shift of a kScaleShift, from steps of `in_scale` to those of `out_scale`.
  Status SetAffine(const Node& n, double in_scale, double out_scale, kernels::EltwiseArgs* args);
  /// Arithmetic on a graph input that only a kQuantize reads, which does it as well.
  bool IsFusedHead(const Node& n) const;
  std::unique_ptr<CopyOp> NewCopy(TensorId x, TensorId y) const;
  Status FinishCopy(TensorId x, TensorId y, bool first, std::unique_ptr<CopyOp> op);
  Status SetTfliteSum(const Tensor& a, const Tensor& b, const Tensor& y,
                      kernels::EltwiseArgs* args);
  static void SetTfliteProduct(const Tensor& a, const Tensor& b, const Tensor& y,
                               kernels::EltwiseArgs* args);
  /// Fills `args` for operators that TFLite computes in fixed point; false for all others.
  Result<bool> SetTfliteAffine(const Node& n, kernels::EltwiseArgs* args);
  Result<bool> SetTfliteWhole(const Node& n, std::span<const float> constant, float unit,
                              bool is_mul, kernels::EltwiseArgs* args);

  const Graph& graph_;
  const PlanOptions& options_;
  const kernels::KernelTable& table_;
  std::unique_ptr<Plan> plan_;
  int node_ = Op::kCopyIn;          ///< The one that is being planned.
  int64_t memory_ = 0;              ///< Charged so far.
  std::vector<Winograd> winograd_;  ///< By node.
  std::vector<bool> non_negative_;  ///< By tensor.
  std::vector<int> input_index_;    ///< By tensor: which graph input is not in memory yet; -1.
  struct Uses {
    int all = 0, quantized = 0;  ///< By graph outputs too; by kQuantize.
  };
  std::vector<Uses> uses_;                 ///< By tensor.
  std::vector<const uint8_t*> padding_;    ///< By tensor: its reader's kInputPadding, or null.
  std::map<TensorId, const Node*> heads_;  ///< See IsFusedHead; by output.
  int64_t row_constants_ = 0;              ///< See TakeRowsAsPixels.
};

}  // namespace octet

#endif  // OCTET_ENGINE_SRC_PLANNER_H_
