// NetworkTensors is a map from the names that the network sees to recipes: a stored tensor, or
// parts from which it is computed when it is read, which may be computed themselves.
// ImportCheckpoint also tries the descriptions that ship, to name those that fit.
#include "converter/import/checkpoints/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "converter/import/checkpoints/resnet_builder.h"
#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// Modules of PyTorch that wrap another one and compute nothing themselves.
constexpr std::string_view kWrappers[] = {"_orig_mod", "_fsdp_wrapped_module",
                                          "_checkpoint_wrapped_module", "_forward_module"};
constexpr std::string_view kAveragedWords[] = {"ema", "swa", "averaged", "shadow"};

/// Calls `f` with each part of `text` between separators.
template <typename F>
void ForEachPart(std::string_view text, std::string_view separators, const F& f) {
  for (;;) {
    const size_t end = text.find_first_of(separators);
    f(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

/// The first component of a name below which averages lie, as "model_ema", or nothing.
std::string_view FindAveraged(std::string_view name) {
  std::string_view found;
  ForEachPart(name, ".", [&](std::string_view part) {
    if (found.empty() && IsAveragedName(part)) found = part;
  });
  return found;
}

std::string WithoutWrappers(const std::string& name) {
  std::string out;
  ForEachPart(name, ".", [&](std::string_view part) {
    if (std::find(std::begin(kWrappers), std::end(kWrappers), part) != std::end(kWrappers)) return;
    if (!out.empty()) out += '.';
    out += part;
  });
  return out;
}

std::string Quoted(const std::set<std::string>& names) {
  constexpr size_t kShown = 3;
  std::string text;
  size_t n = 0;
  for (const std::string& name : names) {
    if (n++ < kShown) text += StrCat(text.empty() ? "'" : ", '", name.substr(0, 100), "'");
  }
  return n > kShown ? StrCat(text, " and ", n - kShown, " more") : text;
}

int64_t NumElements(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

bool IsAveragedName(std::string_view component) {
  bool averaged = false;
  const std::string lower = LowerCase(component);
  ForEachPart(lower, "_-", [&](std::string_view word) {
    averaged = averaged || std::find(std::begin(kAveragedWords), std::end(kAveragedWords), word) !=
                               std::end(kAveragedWords);
  });
  return averaged || lower == "modelema" || lower == "emamodel";
}

Result<NetworkTensors> NetworkTensors::Make(TensorSource& source, const ImportOptions& options) {
  NetworkTensors tensors(source);
  const std::vector<std::string> names = source.Names();
  if (names.empty()) return tensors;

  // AveragedModel counts its updates beside what it averages.
  constexpr std::string_view kCounter = "n_averaged";
  std::vector<std::string> counted;  // Prefixes.
  for (const std::string& name : names) {
    if (name == kCounter || name.ends_with(StrCat(".", kCounter)))
      counted.push_back(name.substr(0, name.size() - kCounter.size()));
  }
  std::vector<std::string> raw, averaged;
  std::set<std::string> places;
  for (const std::string& name : names) {
    const std::string_view place = FindAveraged(name);
    const bool below = std::any_of(counted.begin(), counted.end(),
                                   [&](const std::string& p) { return name.starts_with(p); });
    if (place.empty() && !below) {
      raw.push_back(name);
      continue;
    }
    averaged.push_back(name);
    places.insert(place.empty() ? std::string(kCounter) : std::string(place));
  }
  if (options.weights == WeightsChoice::kAveraged && averaged.empty()) {
    return InvalidArgument(
        "--weights=ema: the checkpoint has no averaged weights, no name in it has ema or swa");
  }
  if (options.weights == WeightsChoice::kRaw && raw.empty()) {
    return InvalidArgument(
        StrCat("--weights=raw: the checkpoint has averaged weights only (", Quoted(places), ")"));
  }
  const bool take_averaged = options.weights == WeightsChoice::kAveraged || raw.empty();
  if (options.weights == WeightsChoice::kDefault && !averaged.empty()) {
    AddNote(options, take_averaged
                         ? StrCat("the weights are averages (", Quoted(places), ")")
                         : StrCat("the checkpoint also holds averaged weights (", Quoted(places),
                                  "), which training scripts evaluate; the raw ones are taken, "
                                  "--weights=ema takes the others"));
  }
  const std::vector<std::string>& taken = take_averaged ? averaged : raw;
  std::map<std::string, int> uses;
  for (const std::string& name : taken) ++uses[WithoutWrappers(name)];
  for (const std::string& name : taken) {
    // Where two names become one, they stay as they are and do not fit the network.
    std::string plain = WithoutWrappers(name);
    if (uses[plain] > 1) plain = name;
    tensors.visible_.insert(plain);
    tensors.recipes_[plain] = {Recipe::Kind::kStored, {name}};
  }
  tensors.FindParts();
  return tensors;
}

void NetworkTensors::FindParts() {
  // Names of parts: what follows the parent's name, and how the whole is called.
  struct Pattern {
    Recipe::Kind kind;
    std::vector<std::string> suffixes;
  };
  static const Pattern kPatterns[] = {
      // First, because the parts of a norm may be pruned.
      {Recipe::Kind::kMasked, {"_orig", "_mask"}},
      {Recipe::Kind::kSpectralNorm, {"_orig", "_u", "_v"}},
      {Recipe::Kind::kWeightNorm, {"_v", "_g"}},
      {Recipe::Kind::kWeightNorm, {".original1", ".original0"}},
      {Recipe::Kind::kSpectralNorm, {".original", ".0._u", ".0._v"}},
  };
  constexpr std::string_view kParametrizations = "parametrizations.";
  for (const Pattern& pattern : kPatterns) {
    const std::vector<std::string> names(visible_.begin(), visible_.end());
    for (const std::string& name : names) {
      if (!name.ends_with(pattern.suffixes[0])) continue;
      const std::string stem = name.substr(0, name.size() - pattern.suffixes[0].size());
      std::string whole = stem;
      if (pattern.suffixes[0][0] == '.') {
        // "conv1.parametrizations.weight.original1" is a part of "conv1.weight".
        const size_t dot = stem.rfind('.');
        const size_t begin = dot == std::string::npos || dot + 1 < kParametrizations.size()
                                 ? std::string::npos
                                 : dot + 1 - kParametrizations.size();
        if (begin == std::string::npos ||
            stem.compare(begin, kParametrizations.size(), kParametrizations) != 0 ||
            (begin > 0 && stem[begin - 1] != '.')) {
          continue;
        }
        whole.erase(begin, kParametrizations.size());
      }
      Recipe recipe{pattern.kind, {}};
      for (const std::string& suffix : pattern.suffixes) recipe.parts.push_back(stem + suffix);
      const bool complete = std::all_of(recipe.parts.begin(), recipe.parts.end(),
                                        [&](const std::string& p) { return visible_.count(p); });
      // A whole beside its parts could be older than they are; then all are told as not used.
      if (!complete || recipes_.count(whole)) continue;
      for (const std::string& part : recipe.parts) visible_.erase(part);
      visible_.insert(whole);
      recipes_[whole] = std::move(recipe);
    }
  }
}

std::vector<std::string> NetworkTensors::Names() const {
  return std::vector<std::string>(visible_.begin(), visible_.end());
}

std::optional<std::vector<int64_t>> NetworkTensors::FindShape(const TensorRequest& request) const {
  if (recipes_.empty()) return source_->FindShape(request);
  if (!recipes_.count(request.name)) return std::nullopt;
  TensorRequest part = request;
  for (auto it = recipes_.find(part.name); it != recipes_.end(); it = recipes_.find(part.name)) {
    // A part's own name may be the stored one.
    part.name = it->second.parts[0];
    if (it->second.kind == Recipe::Kind::kStored) break;
  }
  return source_->FindShape(part);
}

Result<std::vector<float>> NetworkTensors::Read(const TensorRequest& request) {
  if (recipes_.empty()) return source_->Read(request);
  const auto it = recipes_.find(request.name);
  if (it == recipes_.end()) return NotFound(StrCat("no tensor '", request.name, "'"));
  const Recipe& recipe = it->second;
  if (recipe.kind == Recipe::Kind::kStored) {
    TensorRequest stored = request;
    stored.name = recipe.parts[0];
    return source_->Read(stored);
  }
  return Normalize(request.name, recipe);
}

Result<std::vector<float>> NetworkTensors::Normalize(const std::string& name,
                                                     const Recipe& recipe) {
  std::vector<std::vector<float>> values;
  std::vector<std::vector<int64_t>> shapes;
  for (const std::string& part : recipe.parts) {
    TensorRequest request{part, {}, TensorRole::kWeights, false};
    request.shape = FindShape(request).value_or(std::vector<int64_t>());
    shapes.push_back(request.shape);
    OCTET_ASSIGN_OR_RETURN(std::vector<float> v, Read(request));
    values.push_back(std::move(v));
  }
  const auto misfit = [&](size_t i) {
    return InvalidArgument(StrCat("tensor '", recipe.parts[i], "' does not fit '", recipe.parts[0],
                                  "', with which it makes '", name, "'"));
  };
  std::vector<float>& w = values[0];
  const std::vector<int64_t>& shape = shapes[0];
  if (recipe.kind == Recipe::Kind::kMasked) {
    if (shapes[1] != shape) return misfit(1);
    for (size_t i = 0; i < w.size(); ++i) w[i] *= values[1][i];
    return std::move(w);
  }
  if (recipe.kind == Recipe::Kind::kSpectralNorm) {
    const int64_t rows = shape.empty() ? 0 : shape[0];
    const int64_t columns = rows == 0 ? 0 : NumElements(shape) / rows;
    if (shapes[1] != std::vector<int64_t>{rows}) return misfit(1);
    if (shapes[2] != std::vector<int64_t>{columns}) return misfit(2);
    double sigma = 0;
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (int64_t c = 0; c < columns; ++c)
        sum += static_cast<double>(w[r * columns + c]) * values[2][c];
      sigma += sum * values[1][r];
    }
    for (float& v : w) v = static_cast<float>(v / sigma);
    return std::move(w);
  }
  // Weight norm. g has ones in all dimensions but the one that is kept.
  size_t kept = shape.size();
  if (!shapes[1].empty()) {
    if (shapes[1].size() != shape.size()) return misfit(1);
    for (size_t d = 0; d < shape.size(); ++d) {
      if (shapes[1][d] == 1) continue;
      if (kept < shape.size() || shapes[1][d] != shape[d]) return misfit(1);
      kept = d;
    }
    // A dimension of one is kept and gone at the same time.
    if (kept == shape.size() && std::find(shape.begin(), shape.end(), 1) == shape.end())
      return misfit(1);
  }
  const int64_t groups = kept == shape.size() ? 1 : shape[kept];
  const int64_t inner = kept == shape.size()
                            ? static_cast<int64_t>(w.size())
                            : NumElements(std::vector<int64_t>(
                                  shape.begin() + static_cast<int64_t>(kept) + 1, shape.end()));
  const auto group = [&](size_t i) {
    return static_cast<size_t>(static_cast<int64_t>(i) / inner % groups);
  };
  std::vector<double> squares(static_cast<size_t>(groups), 0.0);
  for (size_t i = 0; i < w.size(); ++i) squares[group(i)] += static_cast<double>(w[i]) * w[i];
  for (size_t i = 0; i < w.size(); ++i)
    w[i] *= values[1][group(i)] / static_cast<float>(std::sqrt(squares[group(i)]));
  return std::move(w);
}

Result<Graph> ImportCheckpoint(const std::string& path, TensorSource& source,
                               const std::string& format, const ImportOptions& options) {
  // The descriptions that ship and fit, for errors.
  const auto fitting = [&] {
    std::string list;
    for (const std::string& name : GraphDescriptionNames()) {
      const Result<GraphDescription> description = LoadGraphDescription(name);
      if (description.ok() && Fits(*description, source, options.weights))
        list += (list.empty() ? "" : " or ") + name;
    }
    return list;
  };
  if (options.graph.empty()) {
    std::string list, fits = fitting();
    for (const std::string& name : GraphDescriptionNames())
      list += (list.empty() ? "" : ", ") + name;
    return InvalidArgument(StrCat(
        path, ": the file holds only tensors; name the network with --graph",
        fits.empty() ? "" : ", its tensors are those of ", fits, "; a file or one of: ", list));
  }
  OCTET_ASSIGN_OR_RETURN(const GraphDescription description, LoadGraphDescription(options.graph));
  Result<Graph> graph = BuildResnet(description, source, options);
  if (!graph.ok()) {
    const std::string fits = Fits(description, source, options.weights) ? "" : fitting();
    Status status = graph.status();
    if (!fits.empty())
      status = InvalidArgument(StrCat(status.message(), "; they fit --graph=", fits));
    return std::move(status).WithContext(path);
  }
  graph->metadata.source = StrCat(format, " with graph ", description.name);
  return graph;
}

}  // namespace octet
