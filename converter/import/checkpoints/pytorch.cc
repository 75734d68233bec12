// The pickle is read as data (pickle_reader.h), from a zip archive or as the fourth of five in a
// legacy stream, which the storages follow. CollectTensors looks for dicts of tensors, ranks them
// by their keys, and takes the likeliest one beside those of averages. A tensor is a view: storage,
// offset, shape and strides, checked to lie inside its storage when it is collected; values are
// read when they are asked for.
#include "converter/import/checkpoints/pytorch.h"

#include <algorithm>
#include <utility>

#include "converter/import/builder/constant.h"
#include "converter/import/checkpoints/checkpoint.h"
#include "converter/import/importer.h"
#include "formats/base/lower_case.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using Kind = PickleValue::Kind;
using namespace std::string_view_literals;

// 0x1950a86a20f9469cfc6c, the lowest byte first.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;
constexpr int64_t kLegacyProtocol = 1001;
constexpr size_t kMaxStateDicts = 100;
/// A view that repeats elements has no more bytes in the file than it wants; this is the most of
/// them, 64 MiB as float32.
constexpr int64_t kMaxRepeatedElements = int64_t{1} << 24;
/// Where training scripts put the state dict, the likeliest first.
constexpr std::string_view kStateDictKeys[] = {
    "state_dict", "model_state_dict", "model_state", "model",
    "net",        "network",          "params",      "weights"};
/// What lies beside it: parts of these in a key's name.
constexpr std::string_view kTrainingKeys[] = {"optim",     "sched", "scaler", "amp",
                                              "criterion", "loss",  "metric", "history",
                                              "callback",  "loop",  "rng"};
constexpr const char* kAdvice = "save a state dict: torch.save(model.state_dict(), path)";

/// The last component of a global's name when its module is one of PyTorch's storage modules.
std::string_view StorageName(std::string_view global) {
  for (const std::string_view module : {"torch."sv, "torch.cuda."sv, "torch.storage."sv}) {
    if (global.starts_with(module) && global.find('.', module.size()) == std::string_view::npos)
      return global.substr(module.size());
  }
  return {};
}

}  // namespace

const PytorchSource::StorageType* PytorchSource::FindType(std::string_view name) {
  // Typed storages as state dicts name them, and the element types that newer files name beside an
  // untyped storage.
  static constexpr struct {
    const char* storage;
    const char* dtype;
    StorageType type;
  } kTypes[] = {
      {"FloatStorage", "float32", {"float32", 4}},
      {"DoubleStorage", "float64", {"float64", 8}},
      {"HalfStorage", "float16", {"float16", 2}},
      {"BFloat16Storage", "bfloat16", {"bfloat16", 2}},
      {"LongStorage", "int64", {"int64", 8}},
      {"IntStorage", "int32", {"int32", 4}},
      {"ShortStorage", "int16", {"int16", 2}},
      {"CharStorage", "int8", {"int8", 1}},
      {"ByteStorage", "uint8", {"uint8", 1}},
      {"BoolStorage", "bool", {"bool", 1}},
      {"UntypedStorage", "", {"bytes", 1}},
      // Known by size alone: they may lie beside the weights.
      {"ComplexFloatStorage", "complex64", {"complex64", 8}},
      {"ComplexDoubleStorage", "complex128", {"complex128", 16}},
      {"QInt8Storage", "qint8", {"qint8", 1}},
      {"QUInt8Storage", "quint8", {"quint8", 1}},
      {"QInt32Storage", "qint32", {"qint32", 4}},
      {"", "float8_e4m3fn", {"float8_e4m3fn", 1}},
      {"", "float8_e4m3fnuz", {"float8_e4m3fnuz", 1}},
      {"", "float8_e5m2", {"float8_e5m2", 1}},
      {"", "float8_e5m2fnuz", {"float8_e5m2fnuz", 1}},
      {"", "float8_e8m0fnu", {"float8_e8m0fnu", 1}},
      {"", "uint16", {"uint16", 2}},
      {"", "uint32", {"uint32", 4}},
      {"", "uint64", {"uint64", 8}},
  };
  if (name.empty()) return nullptr;
  for (const auto& t : kTypes) {
    if (name == t.storage || name == t.dtype) return &t.type;
  }
  return nullptr;
}

Result<PytorchSource> PytorchSource::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(FileBytes file, MapFile(path));
  return Parse(std::move(file), path);
}

Result<PytorchSource> PytorchSource::Parse(FileBytes file, const std::string& origin) {
  PytorchSource source;
  source.origin_ = origin;
  if (file.text().starts_with("PK\x03\x04"sv)) {
    OCTET_RETURN_IF_ERROR(source.ParseZip(std::move(file)));  // Names the file itself.
    return source;
  }
  Status status = source.ParseLegacy(std::move(file));
  if (!status.ok()) return std::move(status).WithContext(origin);
  return source;
}

Status PytorchSource::ParseZip(FileBytes file) {
  OCTET_ASSIGN_OR_RETURN(zip_, ZipReader::Open(std::move(file), origin_));
  const ZipEntry* data = nullptr;
  constexpr std::string_view kData = "data.pkl", kCode = "code/";
  for (const ZipEntry& entry : zip_->entries()) {
    const std::string_view name = entry.name;
    const size_t slash = name.find('/');
    if (slash == std::string_view::npos) continue;
    const std::string_view inner = name.substr(slash + 1);
    if (inner == kData) {
      data = &entry;
      folder_ = name.substr(0, slash + 1);
    }
    if (inner.starts_with(kCode) || inner == "constants.pkl") {
      return Unsupported(StrCat(origin_, ": a scripted or exported module ('", name,
                                "'), which is a program; ", kAdvice));
    }
  }
  if (data == nullptr)
    return Unsupported(
        StrCat(origin_, ": zip archive without a data.pkl, expected a PyTorch checkpoint"));
  if (const ZipEntry* order = zip_->Find(folder_ + "byteorder")) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes text, zip_->Read(*order, 64));
    if (text.text() != "little")
      return Unsupported(StrCat(origin_, ": byte order is '", text.text(), "', expected 'little'"));
  }
  constexpr uint64_t kMaxPickle = uint64_t{1} << 28;
  OCTET_ASSIGN_OR_RETURN(const FileBytes bytes, zip_->Read(*data, kMaxPickle));
  std::string_view text = bytes.text();
  Status status = [&]() -> Status {
    OCTET_ASSIGN_OR_RETURN(const Pickle pickle, ReadPickle(&text));
    return CollectTensors(pickle);
  }();
  return std::move(status).WithContext(origin_);
}

Status PytorchSource::ParseLegacy(FileBytes file) {
  file_ = std::move(file);
  std::string_view rest = file_.text();
  OCTET_ASSIGN_OR_RETURN(const Pickle magic, ReadPickle(&rest));
  if (magic[magic.root].kind != Kind::kInt || magic[magic.root].text != kLegacyMagic) {
    return Corrupt("no PyTorch checkpoint: the first pickle is not its magic number");
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle protocol, ReadPickle(&rest));
  if (protocol[protocol.root].kind != Kind::kInt ||
      protocol[protocol.root].integer != kLegacyProtocol) {
    return Unsupported(StrCat("legacy checkpoint of another protocol, expected ", kLegacyProtocol));
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle system, ReadPickle(&rest));
  const PickleValue& info = system[system.root];
  for (size_t i = 0; info.kind == Kind::kDict && i + 1 < info.items.size(); i += 2) {
    const PickleValue& key = system[info.items[i]];
    const PickleValue& value = system[info.items[i + 1]];
    if (key.kind == Kind::kString && key.text == "little_endian" && value.kind == Kind::kBool &&
        value.integer == 0) {
      return Unsupported("written on a big-endian machine, expected little-endian");
    }
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle object, ReadPickle(&rest));
  OCTET_RETURN_IF_ERROR(CollectTensors(object));
  OCTET_ASSIGN_OR_RETURN(const Pickle keys, ReadPickle(&rest));
  const PickleValue& list = keys[keys.root];
  if (list.kind != Kind::kList) return Corrupt("storage keys are no list");
  std::vector<bool> found(storages_.size(), false);
  for (const PickleId id : list.items) {
    const std::string_view key =
        keys[id].kind == Kind::kString ? keys[id].text : std::string_view();
    const auto it = storage_index_.find(key);
    if (it == storage_index_.end())
      return Corrupt(StrCat("storage '", key, "' is listed but not used, so its size is unknown"));
    Storage& storage = storages_[it->second];
    if (rest.size() < 8) return Corrupt(StrCat("ends before storage '", key, "'"));
    const int64_t elements = LoadInteger(rest.data(), ElementType::kInt64);
    rest.remove_prefix(8);
    // The number of elements is that of the storage's own type, which divides its bytes.
    const bool fits = elements >= 0 && (elements == 0 ? storage.bytes == 0
                                                      : storage.bytes % elements == 0 &&
                                                            storage.bytes / elements <= 16);
    if (!fits || static_cast<uint64_t>(storage.bytes) > rest.size()) {
      return Corrupt(StrCat("storage '", key, "' has ", elements, " elements and ", rest.size(),
                            " bytes are left, expected ", storage.bytes, " bytes"));
    }
    storage.data = rest.substr(0, static_cast<size_t>(storage.bytes));
    rest.remove_prefix(static_cast<size_t>(storage.bytes));
    found[it->second] = true;
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i])
      return Corrupt(StrCat("storage '", storages_[i].key, "' is used but not in the file"));
  }
  return OkStatus();
}

namespace {

/// A dict with tensors in it.
struct StateDict {
  std::vector<std::string> path;  ///< Keys that lead to it.
  PickleId id = 0;
  int64_t tensors = 0;
  /// One of at least two dimensions; without any it is rather a list of results.
  bool has_weights = false;

  std::string Name() const {
    std::string name;
    for (const std::string& key : path) name += (name.empty() || key[0] == '[' ? "" : ".") + key;
    return name;
  }
  bool IsAveraged() const {
    return std::any_of(path.begin(), path.end(),
                       [](const std::string& key) { return IsAveragedName(key); });
  }
  /// The smaller the likelier.
  size_t Rank() const {
    size_t best = std::size(kStateDictKeys);
    for (const std::string& key : path) {
      best = std::min<size_t>(best,
                              std::find(std::begin(kStateDictKeys), std::end(kStateDictKeys), key) -
                                  std::begin(kStateDictKeys));
    }
    // A key that is not known is less likely than tensors without any key.
    return best + (best == std::size(kStateDictKeys) && !path.empty() ? 1 : 0) +
           (has_weights ? 0 : 100);
  }
};

bool IsTensorCall(const Pickle& pickle, PickleId id) {
  const PickleValue& value = pickle[id];
  return value.kind == Kind::kCall &&
         pickle[value.items[0]].text.starts_with("torch._utils._rebuild_");
}

/// The tuple or list of a tensor's shape, null where there is none.
const PickleValue* FindShapeTuple(const Pickle& pickle, PickleId id) {
  for (int depth = 0; depth < 3 && IsTensorCall(pickle, id); ++depth) {
    const PickleValue& arguments = pickle[pickle[id].items[1]];
    if (arguments.items.size() > 2 && pickle[arguments.items[0]].kind == Kind::kPersistent)
      return &pickle[arguments.items[2]];
    if (arguments.items.empty()) return nullptr;
    id = arguments.items[0];
  }
  return nullptr;
}

/// Whether a storage lies somewhere in `id`. `*budget` bounds the search.
bool HoldsStorage(const Pickle& pickle, PickleId id, int depth, int* budget) {
  const PickleValue& value = pickle[id];
  if (value.kind == Kind::kPersistent) return true;
  if (depth == 0) return false;
  return std::any_of(value.items.begin(), value.items.end(), [&](PickleId item) {
    return --*budget > 0 && HoldsStorage(pickle, item, depth - 1, budget);
  });
}

class StateDictFinder {
 public:
  explicit StateDictFinder(const Pickle& pickle)
      : pickle_(pickle), seen_(pickle.values.size(), false) {}

  /// Every dict with tensors at or below `id`, through dicts and lists. Each is visited once.
  void Find(PickleId id, int depth) {
    const PickleValue& value = pickle_[id];
    if (depth == 0 || seen_[id]) return;
    seen_[id] = true;
    if (value.kind == Kind::kList || value.kind == Kind::kTuple) {
      for (size_t i = 0; i < value.items.size(); ++i)
        Below(StrCat("[", i, "]"), value.items[i], depth);
    }
    if (value.kind != Kind::kDict) return;
    StateDict found{path_, id};
    // Of equal keys the last one counts, as in Python.
    for (size_t i = value.items.size() & ~size_t{1}; i > 0; i -= 2) {
      const PickleValue& key = pickle_[value.items[i - 2]];
      const PickleId item = value.items[i - 1];
      if (key.kind != Kind::kString) continue;
      if (IsTensorCall(pickle_, item)) {
        ++found.tensors;
        const PickleValue* shape = FindShapeTuple(pickle_, item);
        found.has_weights = found.has_weights || (shape != nullptr && shape->items.size() > 1);
        continue;
      }
      const std::string lower = LowerCase(key.text.substr(0, 200));
      const bool training =
          std::any_of(std::begin(kTrainingKeys), std::end(kTrainingKeys),
                      [&](std::string_view part) { return lower.find(part) != std::string::npos; });
      if (!training) Below(std::string(key.text.substr(0, 200)), item, depth);
    }
    if (found.tensors > 0 && dicts.size() < kMaxStateDicts) dicts.push_back(std::move(found));
  }

  std::vector<StateDict> dicts;

 private:
  void Below(std::string key, PickleId id, int depth) {
    path_.push_back(std::move(key));
    Find(id, depth - 1);
    path_.pop_back();
  }

  const Pickle& pickle_;
  std::vector<bool> seen_;
  std::vector<std::string> path_;
};

/// What `id` is, for an error.
std::string Describe(const Pickle& pickle, PickleId id) {
  const PickleValue& value = pickle[id];
  switch (value.kind) {
    case Kind::kNone:
      return "None";
    case Kind::kBool:
      return value.integer != 0 ? "True" : "False";
    case Kind::kInt:
      return value.text.empty() ? StrCat(value.integer) : "a large number";
    case Kind::kFloat:
      return StrCat(value.real);
    case Kind::kString:
      return StrCat("'", value.text.substr(0, 100), "'");
    case Kind::kBytes:
      return "bytes";
    case Kind::kTuple:
      return StrCat("a tuple of ", value.items.size());
    case Kind::kList:
      return StrCat("a list of ", value.items.size());
    case Kind::kSet:
      return "a set";
    case Kind::kDict:
      return StrCat("a dict of ", value.items.size() / 2);
    case Kind::kGlobal:
      return StrCat("'", value.text.substr(0, 200), "'");
    case Kind::kCall: {
      const PickleValue& callable = pickle[value.items[0]];
      return StrCat("an object of ", callable.kind == Kind::kGlobal
                                         ? StrCat("'", callable.text.substr(0, 200), "'")
                                         : "an unknown class");
    }
    case Kind::kPersistent:
      return "a storage";
  }
  return "unknown";
}

}  // namespace

Status PytorchSource::CollectTensors(const Pickle& pickle) {
  // All storages, used by the state dict or not: the legacy format's data follows in the order of
  // all of them. In an archive those that nothing needs may be of any kind.
  for (size_t i = 0; i < pickle.values.size(); ++i) {
    if (pickle.values[i].kind != Kind::kPersistent) continue;
    const StorageType* type = nullptr;
    int64_t view_offset = 0;
    const Status status =
        ParseStorage(pickle, static_cast<PickleId>(i), &type, &view_offset).status();
    if (!status.ok() && !zip_) return status;
  }
  constexpr int kMaxDepth = 4;
  StateDictFinder finder(pickle);
  finder.Find(pickle.root, kMaxDepth);
  std::vector<StateDict>& dicts = finder.dicts;
  std::stable_sort(dicts.begin(), dicts.end(),
                   [](const StateDict& a, const StateDict& b) { return a.Rank() < b.Rank(); });
  const auto raw =
      std::find_if(dicts.begin(), dicts.end(), [](const StateDict& d) { return !d.IsAveraged(); });
  const bool averaged_weights = std::any_of(dicts.begin(), dicts.end(), [](const StateDict& d) {
    return d.IsAveraged() && d.has_weights;
  });
  if (dicts.empty()) {
    const PickleValue& root = pickle[pickle.root];
    std::string keys;
    for (size_t i = 0; root.kind == Kind::kDict && i + 1 < root.items.size() && i < 40; i += 2) {
      if (pickle[root.items[i]].kind != Kind::kString) continue;
      keys += StrCat(keys.empty() ? "" : ", ", pickle[root.items[i]].text.substr(0, 100));
      // A module that was saved whole.
      if (pickle[root.items[i + 1]].kind == Kind::kCall)
        keys += StrCat(" (", Describe(pickle, root.items[i + 1]), ")");
    }
    if (root.kind != Kind::kDict) keys = Describe(pickle, pickle.root);
    return Unsupported(StrCat("holds no state dict of tensors", keys.empty() ? "" : " but ", keys,
                              "; octet executes nothing: ", kAdvice));
  }
  const auto add = [&](const StateDict& dict, const std::string& prefix) -> Status {
    const PickleValue& state = pickle[dict.id];
    for (size_t i = 0; i + 1 < state.items.size(); i += 2) {
      const PickleValue& key = pickle[state.items[i]];
      const PickleId item = state.items[i + 1];
      if (key.kind != Kind::kString) continue;
      Tensor tensor;
      if (IsTensorCall(pickle, item)) {
        Status status;
        if (Result<Tensor> parsed = ParseTensor(pickle, item); parsed.ok()) {
          tensor = std::move(parsed).value();
        } else {
          status =
              Status(parsed.status()).WithContext(StrCat("tensor '", key.text.substr(0, 200), "'"));
        }
        if (status.code() == StatusCode::kUnsupported) {
          tensor.problem = status.message();
        } else if (!status.ok()) {
          return status;
        }
      } else if (int budget = 1000;
                 pickle[item].kind == Kind::kCall && HoldsStorage(pickle, item, 5, &budget)) {
        tensor.problem = StrCat("tensor '", key.text.substr(0, 200), "' is ",
                                Describe(pickle, item), ", which octet does not know; ", kAdvice);
      } else {
        continue;  // Numbers, names and the like; nested dicts are state dicts of their own.
      }
      tensors_.insert_or_assign(prefix + std::string(key.text), std::move(tensor));
    }
    return OkStatus();
  };
  // Results beside averaged weights are no weights.
  const bool take_raw = raw != dicts.end() && (raw->has_weights || !averaged_weights);
  for (auto it = dicts.begin(); it != dicts.end(); ++it) {
    if (it->IsAveraged()) {
      OCTET_RETURN_IF_ERROR(add(*it, it->Name() + "."));
    } else if (take_raw && it == raw) {
      OCTET_RETURN_IF_ERROR(add(*it, ""));
    } else if (it->has_weights) {
      if (it->Rank() == raw->Rank()) {
        return Unsupported(StrCat("holds several state dicts: '", raw->Name(), "', '", it->Name(),
                                  "'; save the one that is wanted"));
      }
      left_aside_.push_back(StrCat(it->path.empty() ? "tensors" : StrCat("'", it->Name(), "'"),
                                   " (", it->tensors, it->tensors == 1 ? " tensor)" : " tensors)"));
    }
  }
  return OkStatus();
}

Result<size_t> PytorchSource::ParseStorage(const Pickle& pickle, PickleId id,
                                           const StorageType** type, int64_t* view_offset) {
  // ('storage', class, key, location, elements), in legacy files followed by None or (view key,
  // offset, elements).
  const PickleValue& reference = pickle[id];
  if (reference.kind != Kind::kPersistent) return Corrupt("data is no storage");
  const PickleValue& tuple = pickle[reference.items[0]];
  const auto item = [&](size_t i) -> const PickleValue& { return pickle[tuple.items[i]]; };
  if (tuple.kind != Kind::kTuple || tuple.items.size() < 5 || item(0).text != "storage" ||
      item(1).kind != Kind::kGlobal || item(2).kind != Kind::kString ||
      item(4).kind != Kind::kInt || !item(4).text.empty()) {
    return Corrupt("storage is not ('storage', class, key, location, size)");
  }
  *type = FindType(StorageName(item(1).text));
  if (*type == nullptr) return Unsupported(StrCat("storage is of class '", item(1).text, "'"));
  Storage storage;
  storage.key = item(2).text;
  if (item(4).integer < 0 || !CheckedMul(item(4).integer, (*type)->size, &storage.bytes)) {
    return Corrupt(StrCat("storage '", storage.key, "' has ", item(4).integer, " elements"));
  }
  *view_offset = 0;
  if (tuple.items.size() > 5 && item(5).kind != Kind::kNone) {
    const PickleValue& view = item(5);
    if (view.kind != Kind::kTuple || view.items.size() != 3 ||
        pickle[view.items[1]].kind != Kind::kInt ||
        !CheckedMul(pickle[view.items[1]].integer, (*type)->size, view_offset) ||
        *view_offset < 0) {
      return Corrupt(
          StrCat("storage '", storage.key, "' has a view that is not (key, offset, size)"));
    }
  }
  const auto [it, inserted] = storage_index_.emplace(storage.key, storages_.size());
  if (inserted) {
    storages_.push_back(std::move(storage));
  } else if (storages_[it->second].bytes != storage.bytes) {
    return Corrupt(StrCat("storage '", storage.key, "' has ", storages_[it->second].bytes, " and ",
                          storage.bytes, " bytes"));
  }
  return it->second;
}

namespace {

bool IsEmpty(const Pickle& pickle, PickleId id) {
  const PickleValue& value = pickle[id];
  return value.kind == Kind::kNone ||
         ((value.kind == Kind::kDict || value.kind == Kind::kTuple || value.kind == Kind::kList) &&
          value.items.empty());
}

bool ReadSize(const Pickle& pickle, PickleId id, int64_t* size) {
  *size = pickle[id].integer;
  return pickle[id].kind == Kind::kInt && pickle[id].text.empty() && *size >= 0;
}

/// A tuple or list of sizes, or torch.Size of one.
bool ReadSizes(const Pickle& pickle, PickleId id, std::vector<int64_t>* sizes) {
  const PickleValue* list = &pickle[id];
  if (list->kind == Kind::kCall && pickle[list->items[0]].text == "torch.Size" &&
      !pickle[list->items[1]].items.empty()) {
    list = &pickle[pickle[list->items[1]].items[0]];
  }
  return (list->kind == Kind::kTuple || list->kind == Kind::kList) &&
         list->items.size() <= kMaxRank &&
         std::all_of(list->items.begin(), list->items.end(),
                     [&](PickleId item) { return ReadSize(pickle, item, &sizes->emplace_back()); });
}

/// The call that makes the tensor itself: parameters, and tensors with attributes or of another
/// class, are tensors with more around them.
Result<PickleId> FindPlainTensor(const Pickle& pickle, PickleId id) {
  for (int depth = 0;; ++depth) {
    const PickleValue& call = pickle[id];
    if (!IsTensorCall(pickle, id) || depth > 3) return Corrupt("parameter holds no tensor");
    if (call.items.size() > 2)
      return Unsupported("carries a state of its own, expected a plain tensor");
    const std::string_view function = pickle[call.items[0]].text;
    if (function == "torch._utils._rebuild_tensor" ||
        function == "torch._utils._rebuild_tensor_v2" ||
        function == "torch._utils._rebuild_tensor_v3") {
      return id;
    }
    const bool with_state = function == "torch._utils._rebuild_parameter_with_state";
    if (function != "torch._utils._rebuild_parameter" && !with_state)
      return Unsupported(StrCat("is made by '", function, "', expected a plain tensor; ", kAdvice));
    const std::vector<PickleId>& arguments = pickle[call.items[1]].items;
    const size_t n = arguments.size(), most = with_state ? 4 : 3;
    if (n < 1 || n > most)
      return Corrupt(StrCat("parameter with ", n, " arguments, expected 1 to ", most));
    for (size_t i = 2; i < n; ++i) {
      if (!IsEmpty(pickle, arguments[i]))
        return Unsupported(StrCat("has ", i == 2 ? "backward hooks" : "attributes", " (",
                                  Describe(pickle, arguments[i]), "), expected none"));
    }
    id = arguments[0];
  }
}

/// From the metadata that newer files have: whether the values are to be negated.
Result<bool> ReadNegative(const Pickle& pickle, PickleId metadata) {
  bool negative = false;
  if (IsEmpty(pickle, metadata)) return negative;
  const PickleValue& facts = pickle[metadata];
  if (facts.kind != Kind::kDict)
    return Unsupported(StrCat("has ", Describe(pickle, metadata), " as metadata, expected a dict"));
  for (size_t i = 0; i + 1 < facts.items.size(); i += 2) {
    const PickleValue& key = pickle[facts.items[i]];
    const PickleValue& value = pickle[facts.items[i + 1]];
    const bool known = key.kind == Kind::kString && (key.text == "neg" || key.text == "conj") &&
                       value.kind == Kind::kBool;
    if (!known || (key.text == "conj" && value.integer != 0)) {
      return Unsupported(StrCat("is a view with ", Describe(pickle, facts.items[i]), ": ",
                                Describe(pickle, facts.items[i + 1]),
                                ", expected 'neg': True or False, 'conj': False"));
    }
    if (key.text == "neg") negative = value.integer != 0;
  }
  return negative;
}

}  // namespace

/// The last element must lie inside of the storage, and a tensor that is larger than what it views,
/// which repeats elements (stride 0), may not ask for any size.
bool PytorchSource::Fits(const Tensor& tensor) const {
  const int64_t available = storages_[tensor.storage].bytes, size = tensor.type->size;
  int64_t elements = 1, last = 0, bytes = 0;
  for (size_t d = 0; d < tensor.shape.size(); ++d) {
    int64_t span = 0;
    if (!CheckedMul(elements, tensor.shape[d], &elements)) return false;
    if (tensor.shape[d] > 0 && !(CheckedMul(tensor.shape[d] - 1, tensor.strides[d], &span) &&
                                 CheckedAdd(last, span, &last))) {
      return false;
    }
  }
  if (!CheckedMul(elements, size, &bytes)) return false;
  if (bytes > available && elements > kMaxRepeatedElements) return false;
  return elements == 0 || (CheckedAdd(last, 1, &last) && CheckedMul(last, size, &last) &&
                           CheckedAdd(last, tensor.byte_offset, &last) && last <= available);
}

Result<PytorchSource::Tensor> PytorchSource::ParseTensor(const Pickle& pickle, PickleId id) {
  OCTET_ASSIGN_OR_RETURN(id, FindPlainTensor(pickle, id));
  const std::string_view function = pickle[pickle[id].items[0]].text;
  const std::vector<PickleId>& arguments = pickle[pickle[id].items[1]].items;
  const bool v3 = function.ends_with("_v3");
  // Storage, offset, shape, strides; requires_grad and backward hooks; the element type of version
  // 3; metadata.
  const size_t n = arguments.size(), metadata = v3 ? 7 : 6,
               most = function.ends_with("_tensor") ? 4 : metadata + 1;
  if (n < (v3 ? 7u : 4u) || n > most)
    return Corrupt(StrCat("'", function, "' with ", n, " arguments is no tensor"));
  Tensor tensor;
  int64_t offset = 0;
  OCTET_ASSIGN_OR_RETURN(tensor.storage,
                         ParseStorage(pickle, arguments[0], &tensor.type, &tensor.byte_offset));
  if (v3) {
    // The storage is untyped; the element type is an argument, "torch.float32".
    const PickleValue& dtype = pickle[arguments[6]];
    tensor.type = dtype.kind == Kind::kGlobal ? FindType(StorageName(dtype.text)) : nullptr;
    if (tensor.type == nullptr) return Unsupported(StrCat("element type '", dtype.text, "'"));
  }
  if (n > 5 && !IsEmpty(pickle, arguments[5])) {
    return Unsupported(
        StrCat("has backward hooks (", Describe(pickle, arguments[5]), "), expected none"));
  }
  if (n > metadata) {
    OCTET_ASSIGN_OR_RETURN(tensor.negative, ReadNegative(pickle, arguments[metadata]));
  }
  if (!ReadSize(pickle, arguments[1], &offset) || !ReadSizes(pickle, arguments[2], &tensor.shape) ||
      !ReadSizes(pickle, arguments[3], &tensor.strides) ||
      tensor.shape.size() != tensor.strides.size()) {
    return Corrupt("offset, shape and strides are not numbers that fit each other");
  }
  if (!CheckedMul(offset, tensor.type->size, &offset) ||
      !CheckedAdd(tensor.byte_offset, offset, &tensor.byte_offset) || !Fits(tensor)) {
    return Corrupt(
        StrCat("lies outside of its storage of ", storages_[tensor.storage].bytes, " bytes"));
  }
  return tensor;
}

std::vector<std::string> PytorchSource::Names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

std::optional<std::vector<int64_t>> PytorchSource::FindShape(const TensorRequest& request) const {
  const auto it = tensors_.find(request.name);
  if (it == tensors_.end()) return std::nullopt;
  // What cannot be read says so then.
  return it->second.problem.empty() ? it->second.shape : request.shape;
}

Result<std::vector<float>> PytorchSource::Read(const TensorRequest& request) {
  const auto it = tensors_.find(request.name);
  if (it == tensors_.end()) return NotFound(StrCat(origin_, ": no tensor '", request.name, "'"));
  const Tensor& tensor = it->second;
  if (!tensor.problem.empty()) return Unsupported(StrCat(origin_, ": ", tensor.problem));
  const Storage& storage = storages_[tensor.storage];
  const ElementType type = TypeNamed(tensor.type->name);
  if (!IsFloat(type))
    return Unsupported(StrCat(origin_, ": tensor '", request.name, "' is of ", tensor.type->name,
                              ", expected a floating-point type"));
  std::string_view data = storage.data;
  FileBytes bytes;
  if (zip_) {
    const ZipEntry* entry = zip_->Find(StrCat(folder_, "data/", storage.key));
    if (entry == nullptr)
      return Corrupt(StrCat(origin_, ": storage '", storage.key, "' is not in the archive"));
    if (entry->size != static_cast<uint64_t>(storage.bytes)) {
      return Corrupt(StrCat(origin_, ": storage '", storage.key, "' has ", entry->size,
                            " bytes, expected ", storage.bytes));
    }
    OCTET_ASSIGN_OR_RETURN(bytes, zip_->Read(*entry));
    data = bytes.text();
  }
  int64_t n = 1;
  for (const int64_t d : tensor.shape) n *= d;
  std::vector<float> values(static_cast<size_t>(n));
  std::vector<int64_t> index(tensor.shape.size(), 0);
  int64_t offset = tensor.byte_offset;
  for (int64_t i = 0; i < n; ++i) {
    values[i] = LoadFloat(data.data() + offset, type);
    if (tensor.negative) values[i] = -values[i];
    for (size_t d = index.size(); d-- > 0;) {
      offset += tensor.strides[d] * tensor.type->size;
      if (++index[d] < tensor.shape[d]) break;
      offset -= tensor.strides[d] * tensor.type->size * tensor.shape[d];
      index[d] = 0;
    }
  }
  return values;
}

Result<Graph> ImportPytorch(const std::string& path, const ImportOptions& options) {
  OCTET_ASSIGN_OR_RETURN(PytorchSource source, PytorchSource::Open(path));
  for (const std::string& name : source.left_aside())
    AddNote(options,
            StrCat("the checkpoint also holds ", name, ", which the network does not use"));
  return ImportCheckpoint(path, source, StrCat("pytorch ", source.format()), options);
}

}  // namespace octet
