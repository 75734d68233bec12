// In passes over the samples, each for as many layers as their sums of products leave room for: the
// int8 network runs with an observer that takes a layer's inputs at some of its pixels (Gather),
// their products are summed batch by batch (Flush), and behind the last sample each layer is
// rounded (RoundLayer: Cholesky's factor, then one weight of all channels after the other).
#include "converter/tune/second_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <unordered_map>
#include <utility>

#include "converter/calibrate/sample_team.h"
#include "converter/passes/passes.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/operators.h"
#include "kernels/cpu_features.h"

namespace octet {
namespace {

/// Of the sums of products in one pass; ResNet-50 takes six of them.
constexpr int64_t kMostBytes = int64_t{88} << 20;
/// Vectors of inputs that a layer's sums are taken over, four times as many as the widest has
/// inputs. Products of 255 * 255 then stay below 2^31, too.
constexpr int64_t kMostVectors = 16384;
/// Vectors whose products are summed at once: rows of 1 KiB, of which 64 and 64 lie in a level-2
/// cache.
constexpr size_t kBatch = 512;
/// Of the mean square of the inputs, added to each: keeps the factor's diagonal from 0, and weights
/// from answering for noise. GPTQ's own.
constexpr double kDamping = 0.01;
/// Columns that Cholesky's factor is computed by, and channels that are rounded at once.
constexpr size_t kColumns = 64, kChannels = 16;

using Layers = std::unordered_map<std::string, const Node*>;

Layers LayersOf(const Graph& g) {
  Layers layers;
  for (const Node& n : g.nodes)
    if (TraitsOf(n.type).has_weights) layers[n.name] = &n;
  return layers;
}

/// out[a][b] = the product of rows a and b, 4 by 4.
[[gnu::always_inline]] inline void DotsOf(const int16_t* a, const int16_t* b, int32_t* out) {
  int32_t sum[4][4] = {};
  for (size_t p = 0; p < kBatch; ++p) {
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < 4; ++j)
        sum[i][j] += int32_t{a[i * kBatch + p]} * int32_t{b[j * kBatch + p]};
    }
  }
  std::copy_n(&sum[0][0], 16, out);
}

/// Takes columns k0 to k1 of L, transposed in `columns`, from the rest of row `x`, up to `end`.
[[gnu::always_inline]] inline void TakeColumnsOf(const float* columns, size_t n, size_t k0,
                                                 size_t k1, size_t end, float* x) {
  for (size_t m = k0; m < k1; m += 4) {
    const float* c = columns + (m - k0) * n;
    // A last block of no multiple of 4 ends the matrix: then there is no row.
    const float f0 = x[m], f1 = x[m + 1], f2 = x[m + 2], f3 = x[m + 3];
    for (size_t j = k1; j < end; ++j)
      x[j] -= (f0 * c[j] + f1 * c[n + j]) + (f2 * c[2 * n + j] + f3 * c[3 * n + j]);
  }
}

/// Numbers of kChannels channels; said to the compiler, which would rather shuffle. Aligned as
/// allocations are: without the attribute it is more in functions of wider vectors than in others.
typedef float Lanes __attribute__((vector_size(4 * kChannels), aligned(16)));
/// The same weight of all.
struct Channels {
  Lanes of{};
};

/// Rounds `exact` [inputs], in steps of their scales, by L [n][n]: of e the errors, the squares of
/// transposed(L) * e sum up to what the layer's answers are off, and weight i is the first of those
/// left that its element i depends on. `later` is [inputs] of zeros.
[[gnu::always_inline]] inline void RoundChannelsOf(const float* l, size_t n, Channels* exact,
                                                   Channels* later) {
  constexpr size_t kRows = 8;  // Read `later` once for so many.
  for (size_t end = n; end > 0;) {
    const size_t begin = end < kRows ? 0 : end - kRows;
    Lanes errors[kRows] = {};
    for (size_t i = end; i-- > begin;) {
      const Lanes wanted = exact[i].of + later[i].of / l[i * n + i];
      Lanes code;
      for (size_t c = 0; c < kChannels; ++c)
        code[c] = std::clamp(std::nearbyint(wanted[c]), -127.0f, 127.0f);
      errors[i - begin] = exact[i].of - code;
      exact[i].of = code;
      for (size_t j = begin; j < i; ++j) later[j].of += l[i * n + j] * errors[i - begin];
    }
    for (size_t j = 0; j < begin; ++j) {
      Lanes sum = later[j].of;
      for (size_t i = begin; i < end; ++i) sum += l[i * n + j] * errors[i - begin];
      later[j].of = sum;
    }
    end = begin;
  }
}

/// The inner loops, as wide as the processor has vectors. Without fused multiply-adds all give the
/// same bits.
struct Loops {
  decltype(DotsOf)* dots;
  decltype(TakeColumnsOf)* take_columns;
  decltype(RoundChannelsOf)* round_channels;
};

void Dots(const int16_t* a, const int16_t* b, int32_t* out) { DotsOf(a, b, out); }
void TakeColumns(const float* columns, size_t n, size_t k0, size_t k1, size_t end, float* x) {
  TakeColumnsOf(columns, n, k0, k1, end, x);
}
void RoundChannels(const float* l, size_t n, Channels* exact, Channels* later) {
  RoundChannelsOf(l, n, exact, later);
}

#if defined(__x86_64__)
// Of 16 bits 58 thousand million products a second on a Zen 3 of 3 GHz, not 30.
[[gnu::target("avx2")]] void DotsAvx2(const int16_t* a, const int16_t* b, int32_t* out) {
  DotsOf(a, b, out);
}
[[gnu::target("avx2")]] void TakeColumnsAvx2(const float* columns, size_t n, size_t k0, size_t k1,
                                             size_t end, float* x) {
  TakeColumnsOf(columns, n, k0, k1, end, x);
}
[[gnu::target("avx2")]] void RoundChannelsAvx2(const float* l, size_t n, Channels* exact,
                                               Channels* later) {
  RoundChannelsOf(l, n, exact, later);
}
#endif

const Loops& BestLoops() {
  static const Loops loops = []() -> Loops {
#if defined(__x86_64__)
    if (kernels::HasAvx2()) return {DotsAvx2, TakeColumnsAvx2, RoundChannelsAvx2};
#endif
    return {Dots, TakeColumns, RoundChannels};
  }();
  return loops;
}

/// One layer whose inputs are watched.
class Watched {
 public:
  Watched(const Graph& g, const Node& n, size_t samples)
      : node_(n), dense_(n.type == OpType::kDense) {
    const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
    size_ = static_cast<size_t>(w.num_elements() / w[0]);
    padded_ = (size_ + 3) / 4 * 4;
    zero_point_ = g.tensor(n.inputs[kInputX]).quantization.zero_point;
    if (n.input(kInputPadding) != kNoTensor)
      padding_ = g.tensor(n.inputs[kInputPadding]).values<uint8_t>().data();
    const Shape& y = g.tensor(n.output).shape;
    out_h_ = dense_ ? 1 : static_cast<int>(y[1]);
    out_w_ = dense_ ? 1 : static_cast<int>(y[2]);
    const int64_t pixels = int64_t{out_h_} * out_w_;
    taken_ = std::clamp(kMostVectors / static_cast<int64_t>(samples), int64_t{1}, pixels);
    products_.inputs = size_;
  }

  const Node& node() const { return node_; }
  /// Of the sums.
  static int64_t Bytes(const Graph& g, const Node& n) {
    const Shape& w = g.tensor(n.inputs[kInputWeights]).shape;
    const int64_t size = w.num_elements() / w[0];
    return size * size * static_cast<int64_t>(sizeof(float));
  }

  void Begin() {
    products_.sums.assign(size_ * size_, 0.0f);
    batch_.assign(padded_ * kBatch, 0);
  }

  /// Takes the inputs of some pixels of sample number `sample`, others in each.
  /// Appends them to `taken`, [pixels][inputs]: codes less the zero point.
  void Gather(const kernels::ActivationView& x, size_t sample, std::vector<int16_t>* taken) const {
    const int64_t pixels = int64_t{out_h_} * out_w_;
    // The golden ratio's fractions are spread as evenly as any number of them can be.
    const double shift = std::fmod(static_cast<double>(sample) * 0.6180339887498949, 1.0);
    for (int64_t i = 0; i < taken_; ++i) {
      const auto pixel =
          static_cast<int64_t>((static_cast<double>(i) + shift) * static_cast<double>(pixels) /
                               static_cast<double>(taken_));
      GatherPixel(x, static_cast<int>(pixel / out_w_), static_cast<int>(pixel % out_w_), taken);
    }
  }

  /// Sums the products of what Gather took.
  void Add(const std::vector<int16_t>& taken) {
    for (size_t at = 0; at < taken.size() && vectors_ < kMostVectors; at += size_) {
      for (size_t i = 0; i < size_; ++i) batch_[i * kBatch + filled_] = taken[at + i];
      ++vectors_;
      if (++filled_ == kBatch) Flush();
    }
  }

  InputProducts Finish() {
    if (filled_ > 0) {
      for (size_t i = 0; i < size_; ++i)
        std::fill_n(&batch_[i * kBatch + filled_], kBatch - filled_, int16_t{0});
      Flush();
    }
    batch_ = {};
    return std::move(products_);
  }

 private:
  void GatherPixel(const kernels::ActivationView& x, int oy, int ox,
                   std::vector<int16_t>* taken) const {
    const auto take = [&](const uint8_t* codes, int channels) {
      for (int c = 0; c < channels; ++c) {
        taken->push_back(codes == nullptr ? int16_t{0}
                                          : static_cast<int16_t>(codes[c] - zero_point_));
      }
    };
    if (dense_) {
      for (int y = 0; y < x.h; ++y)
        for (int column = 0; column < x.w; ++column) take(x.pixel(0, y, column), x.c);
    } else {
      const Window& w = node_.window;
      for (int ky = 0; ky < w.kernel_h; ++ky) {
        for (int kx = 0; kx < w.kernel_w; ++kx) {
          const int iy = oy * w.stride_h - w.pad_top + ky * w.dilation_h,
                    ix = ox * w.stride_w - w.pad_left + kx * w.dilation_w;
          const bool inside = iy >= 0 && iy < x.h && ix >= 0 && ix < x.w;
          take(inside ? x.pixel(0, iy, ix) : padding_, x.c);
        }
      }
    }
  }

  void Flush() {
    constexpr size_t kTile = 64;
    const auto tiles = static_cast<int>((padded_ + kTile - 1) / kTile);
#pragma omp parallel for schedule(dynamic)
    for (int tile = tiles - 1; tile >= 0; --tile) {
      const size_t i0 = static_cast<size_t>(tile) * kTile;
      for (size_t j0 = 0; j0 <= i0; j0 += kTile) {
        for (size_t i = i0; i < std::min(i0 + kTile, padded_); i += 4) {
          for (size_t j = j0; j < std::min(j0 + kTile, i + 1); j += 4) {
            int32_t dots[16];
            BestLoops().dots(&batch_[i * kBatch], &batch_[j * kBatch], dots);
            AddDots(i, j, dots);
          }
        }
      }
    }
    filled_ = 0;
  }

  void AddDots(size_t i0, size_t j0, const int32_t* dots) {
    for (size_t i = i0; i < std::min(i0 + 4, size_); ++i) {
      for (size_t j = j0; j < std::min(j0 + 4, i + 1); ++j)
        products_.sums[i * size_ + j] += static_cast<float>(dots[(i - i0) * 4 + j - j0]);
    }
  }

  const Node& node_;
  bool dense_;
  size_t size_ = 0, padded_ = 0;  ///< Inputs; a multiple of 4.
  int32_t zero_point_ = 0;
  const uint8_t* padding_ = nullptr;  ///< kInputPadding.
  int out_h_ = 1, out_w_ = 1;
  int64_t taken_ = 0;           ///< Pixels of a sample.
  int64_t vectors_ = 0;         ///< Of all samples so far.
  size_t filled_ = 0;           ///< Of the batch.
  std::vector<int16_t> batch_;  ///< [inputs][kBatch]: codes less the zero point.
  InputProducts products_;
};

/// Row and column i of the symmetric `a`, of which the lower triangle is there, become those that
/// were order[i]. In place: of 4608 inputs there are 85 MB.
void Reorder(const std::vector<size_t>& order, std::vector<float>* a) {
  const size_t n = order.size();
  const auto row = [&](size_t i) { return a->data() + i * n; };
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < i; ++j) row(j)[i] = row(i)[j];
  std::vector<bool> done(n, false);
  std::vector<float> first(n);
  for (size_t begin = 0; begin < n; ++begin) {  // Each cycle of rows.
    if (done[begin]) continue;
    std::copy_n(row(begin), n, first.data());
    size_t to = begin;
    for (size_t from = order[to]; from != begin; to = from, from = order[to]) {
      std::copy_n(row(from), n, row(to));
      done[to] = true;
    }
    std::ranges::copy(first, row(to));
    done[to] = true;
  }
  const auto rows = static_cast<std::ptrdiff_t>(n);
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t i = 0; i < rows; ++i) {
    float* of_row = row(static_cast<size_t>(i));
    const std::vector<float> was(of_row, of_row + n);
    for (size_t j = 0; j < n; ++j) of_row[j] = was[order[j]];
  }
}

/// Replaces the lower triangle of `a`, [n][n], by L of a = L * transposed(L). False where it is
/// not positive definite.
bool FactorCholesky(std::vector<float>* a, size_t n) {
  std::vector<float> columns;  // [kColumns][n]: those of the block, transposed.
  const auto row = [&](size_t i) { return a->data() + i * n; };
  for (size_t k0 = 0; k0 < n; k0 += kColumns) {
    const size_t k1 = std::min(k0 + kColumns, n);
    const auto solve = [&](size_t i) {
      float* x = row(i);
      for (size_t j = k0; j < std::min(k1, i); ++j) {
        const float* y = row(j);
        float sum = x[j];
        for (size_t m = k0; m < j; ++m) sum -= x[m] * y[m];
        x[j] = sum / y[j];
      }
    };
    for (size_t i = k0; i < k1; ++i) {
      solve(i);
      float* x = row(i);
      float sum = x[i];
      for (size_t m = k0; m < i; ++m) sum -= x[m] * x[m];
      if (!(sum > 0.0f)) return false;
      x[i] = std::sqrt(sum);
    }
    columns.resize(kColumns * n);
    const auto first = static_cast<std::ptrdiff_t>(k1), last = static_cast<std::ptrdiff_t>(n);
#pragma omp parallel for schedule(static)
    for (std::ptrdiff_t i = first; i < last; ++i) {
      solve(static_cast<size_t>(i));
      for (size_t m = k0; m < k1; ++m)
        columns[(m - k0) * n + static_cast<size_t>(i)] = row(static_cast<size_t>(i))[m];
    }
#pragma omp parallel for schedule(dynamic, 16)
    for (std::ptrdiff_t i = last - 1; i >= first; --i)
      BestLoops().take_columns(columns.data(), n, k0, k1, static_cast<size_t>(i) + 1,
                               row(static_cast<size_t>(i)));
  }
  return true;
}

/// The tensor that the observer shows where `id` is it, in another shape.
TensorId ShownTensor(const Graph& g, TensorId id) {
  for (auto n = g.nodes.rbegin(); n != g.nodes.rend(); ++n)
    if (n->output == id && n->type == OpType::kReshape) id = n->inputs[0];
  return id;
}

/// The network as far as to layer `last`.
Result<Graph> UpTo(const Graph& g, const Node& last) {
  Graph part = g;
  part.nodes.resize(static_cast<size_t>(&last - g.nodes.data()) + 1);
  part.outputs = {last.output};
  part.metadata.labels.clear();  // Of the whole network's output.
  OCTET_RETURN_IF_ERROR(RemoveUnused(&part));
  return part;
}

/// An input of uint8, which observers are not shown.
kernels::ActivationView ViewOfInput(const Tensor& t, const std::vector<uint8_t>& bytes) {
  kernels::ActivationView view;
  view.data = const_cast<uint8_t*>(bytes.data());  // Read only.
  view.c = static_cast<int>(t.shape.back());
  if (t.shape.rank() == 4) {
    view.h = static_cast<int>(t.shape[1]);
    view.w = static_cast<int>(t.shape[2]);
  }
  view.pixel_stride = view.c;
  view.row_stride = int64_t{view.w} * view.c;
  return view;
}

/// Puts `codes` in place of the layer's, and into its bias what their sums change.
void SetCodes(Graph* g, Node* n, std::span<const int8_t> codes) {
  const Tensor w = g->tensor(n->inputs[kInputWeights]);
  const Tensor& x = g->tensor(n->inputs[kInputX]);
  const std::span<const int8_t> old = w.values<int8_t>();
  if (x.dtype == DType::kU8 && x.quantization.zero_point != 0) {
    const auto channels = static_cast<size_t>(w.shape[0]);
    const size_t row = codes.size() / channels;
    std::vector<int32_t> bias(channels, 0);
    const TensorId bias_id = n->input(kInputBias);
    if (bias_id != kNoTensor) {
      const std::span<const int32_t> from = g->tensor(bias_id).values<int32_t>();
      bias.assign(from.begin(), from.end());
    }
    for (size_t c = 0; c < channels; ++c) {
      int32_t change = 0;
      for (size_t i = c * row; i < (c + 1) * row; ++i) change += old[i] - codes[i];
      bias[c] += x.quantization.zero_point * change;
    }
    n->set_input(kInputBias,
                 g->AddConstant(n->name + ".bias", DType::kI32, {static_cast<int64_t>(channels)},
                                bias.data(), bias.size() * sizeof(int32_t)));
  }
  n->set_input(kInputWeights,
               g->AddConstant(w.name, DType::kI8, w.shape, codes.data(), codes.size()));
}

}  // namespace

std::vector<int8_t> RoundLayer(std::span<const float> weights, std::span<const float> scales,
                               InputProducts products) {
  const size_t n = products.inputs, channels = scales.size();
  double mean = 0.0;
  for (size_t i = 0; i < n; ++i) mean += static_cast<double>(products.sums[i * n + i]);
  mean /= static_cast<double>(n);
  if (!(mean > 0.0)) return {};
  // The strongest inputs go first, which is from the end, while all others can make up for them.
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return products.sums[a * n + a] < products.sums[b * n + b];
  });
  std::vector<float> l = std::move(products.sums);
  Reorder(order, &l);
  for (size_t i = 0; i < n; ++i) l[i * n + i] += static_cast<float>(kDamping * mean);
  if (!FactorCholesky(&l, n)) return {};
  std::vector<int8_t> codes(weights.size());
  const auto groups = static_cast<int>((channels + kChannels - 1) / kChannels);
#pragma omp parallel for schedule(dynamic)
  for (int group = 0; group < groups; ++group) {
    const size_t c0 = static_cast<size_t>(group) * kChannels,
                 count = std::min(kChannels, channels - c0);
    std::vector<Channels> values(n);
    for (size_t c = 0; c < count; ++c) {
      for (size_t i = 0; i < n; ++i)
        values[i].of[c] = weights[(c0 + c) * n + order[i]] / scales[c0 + c];
    }
    std::vector<Channels> later(n);
    BestLoops().round_channels(l.data(), n, values.data(), later.data());
    for (size_t c = 0; c < count; ++c) {
      for (size_t i = 0; i < n; ++i)
        codes[(c0 + c) * n + order[i]] = static_cast<int8_t>(values[i].of[c]);
    }
  }
  return codes;
}

Status RoundSecondOrder(const Graph& original, const Graph& int8,
                        const std::vector<NamedSample>& samples, Graph* quantized,
                        const std::function<void(double share)>& progress) {
  if (samples.empty()) return OkStatus();
  const Layers floats = LayersOf(original);
  std::unordered_map<std::string, Node*> targets;
  for (Node& n : quantized->nodes)
    if (TraitsOf(n.type).has_weights) targets[n.name] = &n;
  // By the name of the tensor that is read.
  std::vector<std::pair<std::string, Watched>> layers;
  double work = 0.0, done = 0.0;
  for (const Node& n : int8.nodes) {
    const auto original_node = floats.find(n.name);
    const auto target = targets.find(n.name);
    if (!TraitsOf(n.type).has_weights || n.groups != 1 || original_node == floats.end() ||
        target == targets.end() || int8.tensor(n.inputs[kInputX]).dtype != DType::kU8)
      continue;
    const Tensor& from = original.tensor(original_node->second->inputs[kInputWeights]);
    const Tensor& to = quantized->tensor(target->second->inputs[kInputWeights]);
    const TensorId shown = ShownTensor(int8, n.inputs[kInputX]);
    if (from.dtype != DType::kF32 || to.dtype != DType::kI8 || from.shape != to.shape ||
        from.shape.num_elements() / from.shape[0] > kMostInputs)
      continue;
    work += static_cast<double>(Watched::Bytes(int8, n));
    layers.emplace_back(int8.tensor(shown).name, Watched(int8, n, samples.size()));
  }
  for (size_t begin = 0, end = 0; begin < layers.size(); begin = end) {
    int64_t room = kMostBytes;
    for (; end < layers.size(); ++end) {
      room -= Watched::Bytes(int8, layers[end].second.node());
      if (room < 0 && end > begin) break;
      layers[end].second.Begin();
    }
    // No further than to the last of them.
    OCTET_ASSIGN_OR_RETURN(Graph part, UpTo(int8, layers[end - 1].second.node()));
    OCTET_ASSIGN_OR_RETURN(SampleTeam team, SampleTeam::Create(std::move(part)));
    const Tensor& input = int8.tensor(int8.inputs[0]);
    std::vector<std::vector<std::vector<int16_t>>> taken(
        team.size(), std::vector<std::vector<int16_t>>(end - begin));
    const SampleSource next = SamplesOf(samples).next;
    for (size_t first = 0;;) {
      const auto show = [&](size_t member, const std::string& name,
                            const kernels::ActivationView& view) {
        for (size_t i = begin; i < end; ++i) {
          if (layers[i].first == name)
            layers[i].second.Gather(view, first + member, &taken[member][i - begin]);
        }
      };
      OCTET_ASSIGN_OR_RETURN(
          const size_t count,
          team.Run(next, {}, [&](size_t member, TensorId id, const kernels::ActivationView& view) {
            show(member, team.graph().tensor(id).name, view);
          }));
      if (count == 0) break;
      for (size_t member = 0; member < count; ++member) {
        if (input.dtype == DType::kU8)
          show(member, input.name, ViewOfInput(input, team.input(member)));
        for (size_t i = begin; i < end; ++i) {
          layers[i].second.Add(taken[member][i - begin]);
          taken[member][i - begin].clear();
        }
      }
      first += count;
    }
    for (size_t i = begin; i < end; ++i) {
      const Node& n = layers[i].second.node();
      Node* target = targets[n.name];
      const std::vector<int8_t> codes =
          RoundLayer(original.tensor(floats.at(n.name)->inputs[kInputWeights]).values<float>(),
                     quantized->tensor(target->inputs[kInputScales]).values<float>(),
                     layers[i].second.Finish());
      if (!codes.empty()) SetCodes(quantized, target, codes);
      done += static_cast<double>(Watched::Bytes(int8, n));
      if (progress) progress(done / work);
    }
  }
  return RemoveUnused(quantized);  // The codes that were replaced.
}

}  // namespace octet
