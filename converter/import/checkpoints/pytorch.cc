#include "converter/import/checkpoints/pytorch.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "converter/import/checkpoints/checkpoint.h"
#include "converter/import/importer.h"
#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

using Kind = PickleValue::Kind;
using namespace std::string_view_literals;

constexpr size_t kMaxRank = 8;
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;  // 0x1950a86a20f9469cfc6c
constexpr int64_t kLegacyProtocol = 1001;
/// Where training scripts put the state dict, the likeliest first.
constexpr std::string_view kStateDictKeys[] = {"state_dict", "model_state_dict", "model_state", "model", "net", "network", "params", "weights"};
constexpr const char* kAdvice = "save a state dict: torch.save(model.state_dict(), path)";

template <typename T>
T Load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof(T));
  return value;
}

/// The last component of a global's name when its module is one of PyTorch's storage modules.
std::string_view StorageName(std::string_view global) {
  for (const std::string_view module : {"torch."sv, "torch.cuda."sv, "torch.storage."sv}) {
    if (global.starts_with(module) && global.find('.', module.size()) == std::string_view::npos) return global.substr(module.size());
  }
  return {};
}

}  // namespace

const PytorchSource::StorageType* PytorchSource::FindType(std::string_view name) {
  // Typed storages as state dicts name them, and the element types that newer files name beside an untyped storage.
  static constexpr struct {
    const char* storage;
    const char* dtype;
    StorageType type;
  } kTypes[] = {
      {"FloatStorage", "float32", {"float32", 4}},    {"DoubleStorage", "float64", {"float64", 8}},
      {"HalfStorage", "float16", {"float16", 2}},     {"BFloat16Storage", "bfloat16", {"bfloat16", 2}},
      {"LongStorage", "int64", {"int64", 8}},         {"IntStorage", "int32", {"int32", 4}},
      {"ShortStorage", "int16", {"int16", 2}},        {"CharStorage", "int8", {"int8", 1}},
      {"ByteStorage", "uint8", {"uint8", 1}},         {"BoolStorage", "bool", {"bool", 1}},
      {"UntypedStorage", "", {"bytes", 1}},
  };
  if (name.empty()) return nullptr;
  for (const auto& t : kTypes) {
    if (name == t.storage || name == t.dtype) return &t.type;
  }
  return nullptr;
}

bool PytorchSource::IsAllowed(std::string_view global) {
  // Numbers of NumPy (scalar, dtype, encode) sit beside state dicts as accuracies; they are skipped, never made.
  for (const std::string_view name :
       {"collections.OrderedDict"sv, "torch._utils._rebuild_tensor"sv, "torch._utils._rebuild_tensor_v2"sv,
        "torch._utils._rebuild_tensor_v3"sv, "torch._utils._rebuild_parameter"sv, "torch._utils._rebuild_parameter_with_state"sv,
        "torch.Size"sv, "torch.device"sv, "numpy.core.multiarray.scalar"sv, "numpy._core.multiarray.scalar"sv, "numpy.dtype"sv, "_codecs.encode"sv}) {
    if (global == name) return true;
  }
  return FindType(StorageName(global)) != nullptr;
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
      return Unsupported(StrCat(origin_, ": a scripted or exported module ('", name, "'), which is a program; ", kAdvice));
    }
  }
  if (data == nullptr) return Unsupported(StrCat(origin_, ": zip archive without a data.pkl, expected a PyTorch checkpoint"));
  if (const ZipEntry* order = zip_->Find(folder_ + "byteorder")) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes text, zip_->Read(*order, 64));
    if (text.text() != "little") return Unsupported(StrCat(origin_, ": byte order is '", text.text(), "', expected 'little'"));
  }
  constexpr uint64_t kMaxPickle = uint64_t{1} << 28;
  OCTET_ASSIGN_OR_RETURN(const FileBytes bytes, zip_->Read(*data, kMaxPickle));
  std::string_view text = bytes.text();
  Status status = [&]() -> Status {
    OCTET_ASSIGN_OR_RETURN(const Pickle pickle, ReadPickle(&text, IsAllowed));
    return CollectTensors(pickle);
  }();
  return std::move(status).WithContext(origin_);
}

Status PytorchSource::ParseLegacy(FileBytes file) {
  file_ = std::move(file);
  std::string_view rest = file_.text();
  OCTET_ASSIGN_OR_RETURN(const Pickle magic, ReadPickle(&rest, IsAllowed));
  if (magic[magic.root].kind != Kind::kInt || magic[magic.root].text != kLegacyMagic) {
    return Corrupt("no PyTorch checkpoint: the first pickle is not its magic number");
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle protocol, ReadPickle(&rest, IsAllowed));
  if (protocol[protocol.root].kind != Kind::kInt || protocol[protocol.root].integer != kLegacyProtocol) {
    return Unsupported(StrCat("legacy checkpoint of another protocol, expected ", kLegacyProtocol));
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle system, ReadPickle(&rest, IsAllowed));
  const PickleValue& info = system[system.root];
  for (size_t i = 0; info.kind == Kind::kDict && i + 1 < info.items.size(); i += 2) {
    const PickleValue& key = system[info.items[i]];
    const PickleValue& value = system[info.items[i + 1]];
    if (key.kind == Kind::kString && key.text == "little_endian" && value.kind == Kind::kBool && value.integer == 0) {
      return Unsupported("written on a big-endian machine, expected little-endian");
    }
  }
  OCTET_ASSIGN_OR_RETURN(const Pickle object, ReadPickle(&rest, IsAllowed));
  OCTET_RETURN_IF_ERROR(CollectTensors(object));
  OCTET_ASSIGN_OR_RETURN(const Pickle keys, ReadPickle(&rest, IsAllowed));
  const PickleValue& list = keys[keys.root];
  if (list.kind != Kind::kList) return Corrupt("storage keys are no list");
  std::vector<bool> found(storages_.size(), false);
  for (const PickleId id : list.items) {
    const std::string_view key = keys[id].kind == Kind::kString ? keys[id].text : std::string_view();
    const auto it = storage_index_.find(key);
    if (it == storage_index_.end()) return Corrupt(StrCat("storage '", key, "' is listed but not used, so its size is unknown"));
    Storage& storage = storages_[it->second];
    if (rest.size() < 8) return Corrupt(StrCat("ends before storage '", key, "'"));
    const int64_t elements = Load<int64_t>(rest.data());
    rest.remove_prefix(8);
    // The number of elements is that of the storage's own type, which divides its bytes.
    const bool fits = elements >= 0 && (elements == 0 ? storage.bytes == 0 : storage.bytes % elements == 0 && storage.bytes / elements <= 8);
    if (!fits || static_cast<uint64_t>(storage.bytes) > rest.size()) {
      return Corrupt(StrCat("storage '", key, "' has ", elements, " elements and ", rest.size(), " bytes are left, expected ", storage.bytes, " bytes"));
    }
    storage.data = rest.substr(0, static_cast<size_t>(storage.bytes));
    rest.remove_prefix(static_cast<size_t>(storage.bytes));
    found[it->second] = true;
  }
  for (size_t i = 0; i < found.size(); ++i) {
    if (!found[i]) return Corrupt(StrCat("storage '", storages_[i].key, "' is used but not in the file"));
  }
  return OkStatus();
}

namespace {

/// The dict that holds tensors: `id` itself, or the one inside that training scripts wrap. Null when there is none.
const PickleValue* FindStateDict(const Pickle& pickle, PickleId id, const std::function<bool(PickleId)>& is_tensor, int depth) {
  const PickleValue& value = pickle[id];
  if (value.kind != Kind::kDict) return nullptr;
  // Inside first: beside a state dict there may be single tensors, of accuracies for example.
  for (const std::string_view wanted : kStateDictKeys) {
    // Of equal keys the last one counts, as in Python.
    for (size_t i = value.items.size() & ~size_t{1}; depth > 0 && i > 0; i -= 2) {
      const PickleValue& key = pickle[value.items[i - 2]];
      if (key.kind != Kind::kString || key.text != wanted) continue;
      if (const PickleValue* found = FindStateDict(pickle, value.items[i - 1], is_tensor, depth - 1)) return found;
      break;
    }
  }
  for (size_t i = 1; i < value.items.size(); i += 2) {
    if (is_tensor(value.items[i])) return &value;
  }
  return nullptr;
}

}  // namespace

Status PytorchSource::CollectTensors(const Pickle& pickle) {
  // All storages, used by the state dict or not: the legacy format's data follows in the order of all of them.
  for (size_t i = 0; i < pickle.values.size(); ++i) {
    if (pickle.values[i].kind != Kind::kPersistent) continue;
    const StorageType* type = nullptr;
    int64_t view_offset = 0;
    OCTET_RETURN_IF_ERROR(ParseStorage(pickle, static_cast<PickleId>(i), &type, &view_offset).status());
  }
  const auto is_tensor = [&](PickleId id) {
    const PickleValue& value = pickle[id];
    return value.kind == Kind::kCall && pickle[value.items[0]].text.starts_with("torch._utils._rebuild_");
  };
  const PickleValue* state = FindStateDict(pickle, pickle.root, is_tensor, 2);
  if (state == nullptr) {
    std::string keys;
    const PickleValue& root = pickle[pickle.root];
    for (size_t i = 0; root.kind == Kind::kDict && i + 1 < root.items.size() && i < 40; i += 2) {
      if (pickle[root.items[i]].kind == Kind::kString) keys += StrCat(keys.empty() ? "" : ", ", pickle[root.items[i]].text.substr(0, 100));
    }
    return Unsupported(StrCat("holds no state dict of tensors", keys.empty() ? "" : " but ", keys, "; ", kAdvice));
  }
  for (size_t i = 0; i + 1 < state->items.size(); i += 2) {
    const PickleValue& key = pickle[state->items[i]];
    if (key.kind != Kind::kString || !is_tensor(state->items[i + 1])) continue;
    Result<Tensor> tensor = ParseTensor(pickle, state->items[i + 1]);
    if (!tensor.ok()) return Status(tensor.status()).WithContext(StrCat("tensor '", key.text.substr(0, 200), "'"));
    tensors_.insert_or_assign(std::string(key.text), std::move(tensor).value());
  }
  return OkStatus();
}

Result<size_t> PytorchSource::ParseStorage(const Pickle& pickle, PickleId id, const StorageType** type, int64_t* view_offset) {
  // ('storage', class, key, location, elements), in legacy files followed by None or (view key, offset, elements).
  const PickleValue& reference = pickle[id];
  if (reference.kind != Kind::kPersistent) return Corrupt("data is no storage");
  const PickleValue& tuple = pickle[reference.items[0]];
  const auto item = [&](size_t i) -> const PickleValue& { return pickle[tuple.items[i]]; };
  if (tuple.kind != Kind::kTuple || tuple.items.size() < 5 || item(0).text != "storage" || item(1).kind != Kind::kGlobal ||
      item(2).kind != Kind::kString || item(4).kind != Kind::kInt || !item(4).text.empty()) {
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
    if (view.kind != Kind::kTuple || view.items.size() != 3 || pickle[view.items[1]].kind != Kind::kInt ||
        !CheckedMul(pickle[view.items[1]].integer, (*type)->size, view_offset) || *view_offset < 0) {
      return Corrupt(StrCat("storage '", storage.key, "' has a view that is not (key, offset, size)"));
    }
  }
  const auto [it, inserted] = storage_index_.emplace(storage.key, storages_.size());
  if (inserted) {
    storages_.push_back(std::move(storage));
  } else if (storages_[it->second].bytes != storage.bytes) {
    return Corrupt(StrCat("storage '", storage.key, "' has ", storages_[it->second].bytes, " and ", storage.bytes, " bytes"));
  }
  return it->second;
}

Result<PytorchSource::Tensor> PytorchSource::ParseTensor(const Pickle& pickle, PickleId id) {
  // A parameter is a tensor with flags around it.
  for (int depth = 0;; ++depth) {
    const PickleValue& call = pickle[id];
    if (call.kind != Kind::kCall || depth > 2) return Corrupt("parameter holds no tensor");
    if (!pickle[call.items[0]].text.starts_with("torch._utils._rebuild_parameter")) break;
    const PickleValue& arguments = pickle[call.items[1]];
    if (arguments.items.empty()) return Corrupt("parameter holds no tensor");
    id = arguments.items[0];
  }
  const std::string_view function = pickle[pickle[id].items[0]].text;
  const PickleValue& arguments = pickle[pickle[id].items[1]];
  const bool v3 = function == "torch._utils._rebuild_tensor_v3";
  if (!function.starts_with("torch._utils._rebuild_tensor") || arguments.items.size() < (v3 ? 7 : 4)) {
    return Corrupt(StrCat("'", function, "' with ", arguments.items.size(), " arguments is no tensor"));
  }
  Tensor tensor;
  int64_t offset = 0;
  OCTET_ASSIGN_OR_RETURN(tensor.storage, ParseStorage(pickle, arguments.items[0], &tensor.type, &tensor.byte_offset));
  if (v3) {
    // The storage is untyped; the element type is an argument, "torch.float32".
    const PickleValue& dtype = pickle[arguments.items[6]];
    tensor.type = dtype.kind == Kind::kGlobal ? FindType(StorageName(dtype.text)) : nullptr;
    if (tensor.type == nullptr) return Unsupported(StrCat("element type '", dtype.text, "'"));
  }
  const auto integer = [&](PickleId i, int64_t* out) {
    *out = pickle[i].integer;
    return pickle[i].kind == Kind::kInt && pickle[i].text.empty() && *out >= 0;
  };
  const auto integers = [&](PickleId i, std::vector<int64_t>* out) {
    const PickleValue* list = &pickle[i];
    if (list->kind == Kind::kCall && pickle[list->items[0]].text == "torch.Size" && !pickle[list->items[1]].items.empty()) {
      list = &pickle[pickle[list->items[1]].items[0]];
    }
    if ((list->kind != Kind::kTuple && list->kind != Kind::kList) || list->items.size() > kMaxRank) return false;
    for (const PickleId item : list->items) {
      if (!integer(item, &out->emplace_back())) return false;
    }
    return true;
  };
  if (!integer(arguments.items[1], &offset) || !integers(arguments.items[2], &tensor.shape) ||
      !integers(arguments.items[3], &tensor.strides) || tensor.shape.size() != tensor.strides.size()) {
    return Corrupt("offset, shape and strides are not numbers that fit each other");
  }
  // The last element must lie inside of the storage, and a tensor may not be larger than what it views: one that repeats elements
  // (stride 0) could ask for any size.
  const int64_t available = storages_[tensor.storage].bytes;
  int64_t elements = 1, last = 0, bytes = 0;
  bool fits = CheckedMul(offset, tensor.type->size, &offset) && CheckedAdd(tensor.byte_offset, offset, &tensor.byte_offset);
  for (size_t d = 0; fits && d < tensor.shape.size(); ++d) {
    int64_t span = 0;
    fits = CheckedMul(elements, tensor.shape[d], &elements) &&
           (tensor.shape[d] == 0 || (CheckedMul(tensor.shape[d] - 1, tensor.strides[d], &span) && CheckedAdd(last, span, &last)));
  }
  fits = fits && CheckedMul(elements, tensor.type->size, &bytes) && bytes <= available;
  if (fits && elements > 0) {
    fits = CheckedAdd(last, 1, &last) && CheckedMul(last, tensor.type->size, &last) && CheckedAdd(last, tensor.byte_offset, &last) &&
           last <= available;
  }
  if (!fits) return Corrupt(StrCat("lies outside of its storage of ", available, " bytes"));
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
  return it->second.shape;
}

Result<std::vector<float>> PytorchSource::Read(const TensorRequest& request) {
  const auto it = tensors_.find(request.name);
  if (it == tensors_.end()) return NotFound(StrCat(origin_, ": no tensor '", request.name, "'"));
  const Tensor& tensor = it->second;
  const Storage& storage = storages_[tensor.storage];
  const std::string_view type = tensor.type->name;
  float (*convert)(const char*) = nullptr;
  if (type == "float32") {
    convert = [](const char* p) { return Load<float>(p); };
  } else if (type == "float16") {
    convert = [](const char* p) { return HalfToFloat(Load<uint16_t>(p)); };
  } else if (type == "bfloat16") {
    convert = [](const char* p) { return std::bit_cast<float>(static_cast<uint32_t>(Load<uint16_t>(p)) << 16); };
  } else if (type == "float64") {
    convert = [](const char* p) { return static_cast<float>(Load<double>(p)); };
  } else {
    return Unsupported(StrCat(origin_, ": tensor '", request.name, "' is of ", type, ", expected a floating-point type"));
  }
  std::string_view data = storage.data;
  FileBytes bytes;
  if (zip_) {
    const ZipEntry* entry = zip_->Find(StrCat(folder_, "data/", storage.key));
    if (entry == nullptr) return Corrupt(StrCat(origin_, ": storage '", storage.key, "' is not in the archive"));
    if (entry->size != static_cast<uint64_t>(storage.bytes)) {
      return Corrupt(StrCat(origin_, ": storage '", storage.key, "' has ", entry->size, " bytes, expected ", storage.bytes));
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
    values[i] = convert(data.data() + offset);
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
  return ImportCheckpoint(path, source, StrCat("pytorch ", source.format()), options);
}

}  // namespace octet
