// Two layouts: Legacy, where a layer's group lists the names of its weights, and Numbered, where a
// weight is a number in its layer's group and the groups have made-up names. What was found is
// remembered, so that CheckAllRead can name a weight that nobody asked for.
#include "converter/import/keras/weights.h"

#include <cctype>
#include <utility>

#include "converter/import/builder/constant.h"
#include "converter/import/builder/understood.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

std::string PathText(const std::vector<KerasStep>& path) {
  std::string text;
  for (const KerasStep& step : path) text += (text.empty() ? "" : "/") + step.name;
  return text;
}

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

/// "conv1/kernel:0" -> {"conv1", "kernel"}.
std::vector<std::string_view> Components(std::string_view weight) {
  return Split(weight.substr(0, weight.rfind(':')));
}

/// The first weight below `object` that is not in `read` and means something at inference.
const std::string* FirstUnread(const Hdf5Object& object, const std::set<const Hdf5Object*>& read,
                               std::string* path) {
  if (object.is_dataset) return read.count(&object) == 0 ? path : nullptr;
  for (const auto& [name, child] : object.children) {
    // States of random numbers, and how many samples a Normalization saw.
    const std::string_view plain = std::string_view(name).substr(0, name.find(':'));
    if (plain == "count" || plain == "StateVar" ||
        plain.find("seed_generator") != std::string_view::npos ||
        plain.find("random_generator") != std::string_view::npos) {
      continue;
    }
    const size_t length = path->size();
    *path += (path->empty() ? "" : "/") + name;
    if (const std::string* found = FirstUnread(*child, read, path)) return found;
    path->resize(length);
  }
  return nullptr;
}

class Legacy : public KerasWeights {
 public:
  Legacy(const Hdf5File& file, const Hdf5Object& group) : KerasWeights(file, group) {}

  bool by_name() const override { return true; }

  Result<const Hdf5Object*> Locate(const std::vector<KerasStep>& path, std::string_view name,
                                   int) override {
    const Hdf5Object* layer = root_.Find(path[0].name);
    if (layer == nullptr)
      return NotFound(StrCat("the file has no weights of layer '", path[0].name, "'"));
    OCTET_ASSIGN_OR_RETURN(const auto* names, Names(path[0].name, *layer));
    // Weights of a model inside the model stand in the group of the outermost one, under names that
    // hold more or less of the way: the one with most of it, and least beside it, is meant.
    std::vector<std::string_view> way;
    size_t own = 0;  // Names of Keras 2 may have slashes.
    for (const KerasStep& step : path) {
      const std::vector<std::string_view> parts = Split(step.name);
      way.insert(way.end(), parts.begin(), parts.end());
      own = parts.size();
    }
    const std::string* found = nullptr;
    std::pair<int, int> best;
    int matches = 0;
    for (const std::string& candidate : *names) {
      const std::vector<std::string_view> parts = Components(candidate);
      if (!HasWord(name, parts.back())) continue;
      size_t steps = way.size(), part = parts.size() - 1;
      while (steps > 0 && part > 0) steps -= parts[--part] == way[steps - 1];
      const size_t matched = way.size() - steps;
      // An adapted Normalization's are stored by their own name alone.
      if (matched < own && path.size() > 1 && parts.size() > 1) continue;
      const std::pair rank{static_cast<int>(matched), -static_cast<int>(parts.size())};
      if (found != nullptr && rank < best) continue;
      matches = found != nullptr && rank == best ? matches + 1 : 1;
      found = &candidate;
      best = rank;
    }
    if (found == nullptr)
      return NotFound(
          StrCat("the file has no weight '", name, "' of layer '", PathText(path), "'"));
    if (matches > 1)
      return Corrupt(StrCat("the file has ", matches, " weights '", name, "' of layer '",
                            PathText(path), "'"));
    const Hdf5Object* object = layer->Find(*found);
    if (object == nullptr || !object->is_dataset)
      return Corrupt(StrCat("weight_names lists '", *found, "', which is not in the file"));
    return object;
  }

 private:
  /// A layer's weight_names, which is split into numbered parts when it is long.
  Result<const std::vector<std::string>*> Names(const std::string& name, const Hdf5Object& layer) {
    const auto it = names_.find(name);
    if (it != names_.end()) return &it->second;
    std::vector<std::string> names;
    if (const Hdf5Array* whole = layer.Attribute("weight_names")) {
      OCTET_ASSIGN_OR_RETURN(names, file_.Strings(*whole));
    }
    for (int i = 0;; ++i) {
      const Hdf5Array* part = layer.Attribute(StrCat("weight_names", i));
      if (part == nullptr) break;
      OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> more, file_.Strings(*part));
      names.insert(names.end(), more.begin(), more.end());
    }
    return &(names_[name] = std::move(names));
  }

  std::map<std::string, std::vector<std::string>> names_;
};

class Numbered : public KerasWeights {
 public:
  Numbered(const Hdf5File& file, const Hdf5Object& root)
      : KerasWeights(file, LayersOf(root)), model_(root) {}

  bool by_name() const override { return false; }

  Result<const Hdf5Object*> Locate(const std::vector<KerasStep>& path, std::string_view name,
                                   int index) override {
    const Hdf5Object* at = &model_;
    for (const KerasStep& step : path) {
      const Hdf5Object& layers = LayersOf(*at);
      if (&layers == at) at = nullptr;
      if (at != nullptr) {
        OCTET_ASSIGN_OR_RETURN(at, FindLayer(layers, step));
      }
      if (at == nullptr)
        return NotFound(StrCat("the weights file has no layer '", PathText(path), "'"));
    }
    const Hdf5Object* weight = at->Find(StrCat("vars/", index));
    if (weight == nullptr || !weight->is_dataset) {
      return NotFound(StrCat("the weights file has no weight ", index, " (", name, ") of layer '",
                             PathText(path), "'"));
    }
    return weight;
  }

 private:
  /// The group of an object's layers, or the object where it has none.
  static const Hdf5Object& LayersOf(const Hdf5Object& object) {
    for (const char* name :
         {"layers", "_layer_checkpoint_dependencies"}) {  // The latter in Keras 2.12 to 2.15.
      if (const Hdf5Object* layers = object.Find(name)) return *layers;
    }
    return object;
  }

  /// Newer files say which layer a group belongs to; otherwise the group is found by the name Keras
  /// makes up for it, or by the layer's own.
  Result<const Hdf5Object*> FindLayer(const Hdf5Object& layers, const KerasStep& step) {
    auto it = by_name_.find(&layers);
    if (it == by_name_.end()) {
      std::map<std::string, const Hdf5Object*> named;
      for (const auto& [child_name, child] : layers.children) {
        const Hdf5Object* vars = child->Find("vars");
        const Hdf5Array* label = vars == nullptr ? nullptr : vars->Attribute("name");
        if (label == nullptr) continue;
        OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> text, file_.Strings(*label));
        if (text.size() == 1) named[text[0]] = child.get();
      }
      it = by_name_.emplace(&layers, std::move(named)).first;
    }
    const auto named = it->second.find(step.name);
    if (named != it->second.end()) return named->second;
    const Hdf5Object* stored = layers.Find(step.stored_name);
    return stored != nullptr ? stored : layers.Find(step.name);
  }

  const Hdf5Object& model_;
  std::map<const Hdf5Object*, std::map<std::string, const Hdf5Object*>> by_name_;
};

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

Result<const Hdf5Object*> KerasWeights::Find(const std::vector<KerasStep>& path,
                                             std::string_view name, int index) {
  OCTET_ASSIGN_OR_RETURN(const Hdf5Object* object, Locate(path, name, index));
  read_.insert(object);
  return object;
}

Result<std::vector<float>> KerasWeights::Floats(const Hdf5Object& weight) const {
  const Hdf5Array* type = weight.Attribute("dtype");
  const Hdf5Array& array = weight.dataset;
  if (type == nullptr || array.type.kind != Hdf5Type::Kind::kOther || array.type.size != 2 ||
      !array.problem.empty()) {
    return Hdf5File::Floats(array);
  }
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::string> name, file_.Strings(*type));
  if (name != std::vector<std::string>{"bfloat16"}) return Hdf5File::Floats(array);
  return LoadFloats(array.data.data(), static_cast<size_t>(array.elements()),
                    ElementType::kBfloat16);
}

Status KerasWeights::CheckAllRead() const {
  std::string path;
  const std::string* unread = FirstUnread(root_, read_, &path);
  if (unread == nullptr) return OkStatus();
  return Unsupported(
      StrCat("the file has a weight '", *unread,
             "' that its layer's configuration does not account for; octet reads no such weight"));
}

std::unique_ptr<KerasWeights> LegacyKerasWeights(const Hdf5File& file, const Hdf5Object& group) {
  return std::make_unique<Legacy>(file, group);
}

std::unique_ptr<KerasWeights> NumberedKerasWeights(const Hdf5File& file, const Hdf5Object& root) {
  return std::make_unique<Numbered>(file, root);
}

std::string KerasSnakeCase(std::string_view name) {
  // Keras's two substitutions: (.)([A-Z][a-z]+) and ([a-z])([A-Z]), both to "\1_\2", then lower
  // case.
  std::string words;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool begins_word =
        IsUpper(c) && i > 0 &&
        ((i + 1 < name.size() && IsLower(name[i + 1])) || IsLower(name[i - 1]));
    if (begins_word) words += '_';
    words += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return words;
}

}  // namespace octet
