#include "converter/import/keras/weights.h"

#include <cctype>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

std::string PathText(const std::vector<KerasStep>& path) {
  std::string text;
  for (const KerasStep& step : path) text += (text.empty() ? "" : "/") + step.name;
  return text;
}

/// "conv1/kernel:0" -> {"conv1", "kernel"}.
std::vector<std::string_view> Components(std::string_view weight) {
  weight = weight.substr(0, weight.rfind(':'));
  std::vector<std::string_view> parts;
  while (true) {
    const size_t slash = weight.find('/');
    parts.push_back(weight.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    weight.remove_prefix(slash + 1);
  }
}

class Legacy : public KerasWeights {
 public:
  Legacy(const Hdf5File& file, const Hdf5Object& group) : file_(file), group_(group) {}

  Result<const Hdf5Array*> Find(const std::vector<KerasStep>& path, std::string_view name, int) override {
    const Hdf5Object* layer = group_.Find(path[0].name);
    if (layer == nullptr) return NotFound(StrCat("the file has no weights of layer '", path[0].name, "'"));
    OCTET_ASSIGN_OR_RETURN(const auto* names, Names(path[0].name, *layer));
    // Weights of a model inside the model stand in the group of the inner model, under the inner layer's name.
    const std::string* found = nullptr;
    bool found_is_named = false;
    int matches = 0;
    for (const std::string& candidate : *names) {
      const std::vector<std::string_view> parts = Components(candidate);
      if (parts.back() != name) continue;
      bool named = false;
      for (size_t i = 0; i + 1 < parts.size(); ++i) named = named || parts[i] == path.back().name;
      if (path.size() > 1 && !named) continue;
      if (found != nullptr && found_is_named && !named) continue;
      matches = found != nullptr && named == found_is_named ? matches + 1 : 1;
      found = &candidate;
      found_is_named = named;
    }
    if (found == nullptr) return NotFound(StrCat("the file has no weight '", name, "' of layer '", PathText(path), "'"));
    if (matches > 1) return Corrupt(StrCat("the file has ", matches, " weights '", name, "' of layer '", PathText(path), "'"));
    const Hdf5Object* object = layer->Find(*found);
    if (object == nullptr || !object->is_dataset) return Corrupt(StrCat("weight_names lists '", *found, "', which is not in the file"));
    return &object->dataset;
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

  const Hdf5File& file_;
  const Hdf5Object& group_;
  std::map<std::string, std::vector<std::string>> names_;
};

class Numbered : public KerasWeights {
 public:
  explicit Numbered(const Hdf5File& file) : file_(file) {}

  Result<const Hdf5Array*> Find(const std::vector<KerasStep>& path, std::string_view name, int index) override {
    const Hdf5Object* at = &file_.root();
    for (const KerasStep& step : path) {
      const Hdf5Object* layers = at->Find("layers");
      if (layers == nullptr) layers = at->Find("_layer_checkpoint_dependencies");  // Keras 2.12 to 2.15.
      if (layers != nullptr) {
        OCTET_ASSIGN_OR_RETURN(at, FindLayer(*layers, step));
      }
      if (layers == nullptr || at == nullptr) return NotFound(StrCat("the weights file has no layer '", PathText(path), "'"));
    }
    const Hdf5Object* weight = at->Find(StrCat("vars/", index));
    if (weight == nullptr || !weight->is_dataset) {
      return NotFound(StrCat("the weights file has no weight ", index, " (", name, ") of layer '", PathText(path), "'"));
    }
    return &weight->dataset;
  }

 private:
  /// Newer files say which layer a group belongs to; otherwise the group is found by the name Keras makes up for it, or by the
  /// layer's own.
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

  const Hdf5File& file_;
  std::map<const Hdf5Object*, std::map<std::string, const Hdf5Object*>> by_name_;
};

bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsLower(char c) { return c >= 'a' && c <= 'z'; }

}  // namespace

std::unique_ptr<KerasWeights> LegacyKerasWeights(const Hdf5File& file, const Hdf5Object& group) {
  return std::make_unique<Legacy>(file, group);
}

std::unique_ptr<KerasWeights> NumberedKerasWeights(const Hdf5File& file) { return std::make_unique<Numbered>(file); }

std::string KerasSnakeCase(std::string_view name) {
  // Keras's two substitutions: (.)([A-Z][a-z]+) and ([a-z])([A-Z]), both to "\1_\2", then lower case.
  std::string words;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool begins_word = IsUpper(c) && i > 0 && ((i + 1 < name.size() && IsLower(name[i + 1])) || IsLower(name[i - 1]));
    if (begins_word) words += '_';
    words += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return words;
}

}  // namespace octet
