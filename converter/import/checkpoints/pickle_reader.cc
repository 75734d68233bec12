// A stack machine for the opcodes of protocols 2 to 5 that makes values where Python would make
// objects. Text points into the pickle's bytes, nothing pops below the last mark, and the number of
// values is bounded.
#include "converter/import/checkpoints/pickle_reader.h"

#include <bit>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

/// A state dict takes about 30 values a tensor. One byte can make a value, so files could ask for
/// much more.
constexpr size_t kMaxValues = 2'000'000;

using Kind = PickleValue::Kind;

/// Opcodes that are not read but are worth a name in an error.
const char* OpcodeName(uint8_t op) {
  switch (op) {
    case 'F':
      return "FLOAT";
    case 'I':
      return "INT";
    case 'L':
      return "LONG";
    case 'P':
      return "PERSID";
    case 'S':
      return "STRING";
    case 'V':
      return "UNICODE";
    case 'd':
      return "DICT";
    case 'g':
      return "GET";
    case 'i':
      return "INST";
    case 'l':
      return "LIST";
    case 'p':
      return "PUT";
    case 0x82:
      return "EXT1";
    case 0x83:
      return "EXT2";
    case 0x84:
      return "EXT4";
    case 0x97:
      return "NEXT_BUFFER";
    case 0x98:
      return "READONLY_BUFFER";
  }
  return "unknown";
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  Result<Pickle> Run() {
    for (;;) {
      std::string_view op;
      if (!Take(1, &op)) return Truncated();
      const uint8_t code = static_cast<uint8_t>(op[0]);
      if (code == '.') break;
      OCTET_RETURN_IF_ERROR(Step(code));
      if (pickle_.values.size() > kMaxValues)
        return Unsupported(StrCat("pickle has more than ", kMaxValues, " values"));
    }
    if (stack_.empty()) return Underflow();
    pickle_.root = stack_.back();
    // Names were moved while the list grew.
    for (PickleValue& value : pickle_.values) {
      if (value.kind == Kind::kGlobal) value.text = pickle_.names[value.integer];
    }
    return std::move(pickle_);
  }

  std::string_view rest() const { return rest_; }

 private:
  Status Truncated() const { return Corrupt("pickle ends too early"); }
  Status Underflow() const {
    return Corrupt(
        StrCat("pickle takes more from its stack than there is, at byte ", size_ - rest_.size()));
  }

  bool Take(uint64_t n, std::string_view* out) {
    if (n > rest_.size()) return false;
    *out = rest_.substr(0, static_cast<size_t>(n));
    rest_.remove_prefix(static_cast<size_t>(n));
    return true;
  }

  bool TakeLine(std::string_view* out) {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos || !Take(end, out)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  template <typename T>
  bool TakeNumber(T* value) {
    static_assert(std::endian::native == std::endian::little);
    std::string_view raw;
    if (!Take(sizeof(T), &raw)) return false;
    std::memcpy(value, raw.data(), sizeof(T));
    return true;
  }

  PickleValue& Push(Kind kind) {
    stack_.push_back(static_cast<PickleId>(pickle_.values.size()));
    PickleValue& value = pickle_.values.emplace_back();
    value.kind = kind;
    return value;
  }

  Status PushInt(int64_t v) {
    Push(Kind::kInt).integer = v;
    return OkStatus();
  }

  template <typename Length>
  Status PushText(Kind kind) {
    Length length = 0;
    std::string_view text;
    if (!TakeNumber(&length) || !Take(length, &text)) return Truncated();
    Push(kind).text = text;
    return OkStatus();
  }

  template <typename Length>
  Status PushLong() {
    Length length = 0;
    std::string_view raw;
    if (!TakeNumber(&length) || length < 0 || !Take(static_cast<uint64_t>(length), &raw))
      return Truncated();
    PickleValue& value = Push(Kind::kInt);
    if (raw.size() > 8) {
      value.text = raw;
      return OkStatus();
    }
    uint64_t v = !raw.empty() && (raw.back() & 0x80) != 0 ? ~uint64_t{0} : 0;  // Two's complement.
    std::memcpy(&v, raw.data(), raw.size());
    value.integer = static_cast<int64_t>(v);
    return OkStatus();
  }

  /// Pops one value; never reaches below the last mark.
  bool Pop(PickleId* id) {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) return false;
    *id = stack_.back();
    stack_.pop_back();
    return true;
  }

  /// Pops everything down to the last mark, which goes too.
  bool PopMark(std::vector<PickleId>* ids) {
    if (marks_.empty()) return false;
    const size_t mark = marks_.back();
    marks_.pop_back();
    ids->assign(stack_.begin() + static_cast<int64_t>(mark), stack_.end());
    stack_.resize(mark);
    return true;
  }

  /// Tuples of a fixed number of values.
  Status PushTuple(int n) {
    std::vector<PickleId> items(n);
    for (int i = n; i-- > 0;) {
      if (!Pop(&items[i])) return Underflow();
    }
    Push(Kind::kTuple).items = std::move(items);
    return OkStatus();
  }

  Status PushGlobal(std::string_view module, std::string_view name) {
    std::string full = StrCat(module, ".", name);
    PickleValue& value = Push(Kind::kGlobal);
    const auto [it, inserted] =
        name_index_.emplace(std::move(full), static_cast<int64_t>(pickle_.names.size()));
    if (inserted) pickle_.names.push_back(it->first);
    value.integer = it->second;
    return OkStatus();
  }

  bool IsGlobal(PickleId id, std::string_view name) const {
    const PickleValue& value = pickle_.values[id];
    return value.kind == Kind::kGlobal && pickle_.names[value.integer] == name;
  }

  /// `callable` applied to the tuple `arguments`. Dictionaries of the standard library become
  /// dicts, all else stays a call.
  Status PushCall(PickleId callable, PickleId arguments) {
    const Kind kind = pickle_.values[callable].kind;
    if ((kind != Kind::kGlobal && kind != Kind::kCall) ||
        pickle_.values[arguments].kind != Kind::kTuple) {
      return Corrupt("pickle calls something other than a function or class with a tuple");
    }
    const std::vector<PickleId> given = pickle_.values[arguments].items;
    // A defaultdict's argument makes values for keys that are not there.
    const bool is_default = IsGlobal(callable, "collections.defaultdict") && given.size() <= 1;
    if (is_default || (IsGlobal(callable, "collections.OrderedDict") && given.empty())) {
      Push(Kind::kDict);
      return OkStatus();
    }
    // Python 2 gives an OrderedDict a list of pairs.
    if (IsGlobal(callable, "collections.OrderedDict") && given.size() == 1 &&
        pickle_.values[given[0]].kind == Kind::kList) {
      std::vector<PickleId> items;
      for (const PickleId pair : pickle_.values[given[0]].items) {
        const PickleValue& p = pickle_.values[pair];
        if ((p.kind != Kind::kList && p.kind != Kind::kTuple) || p.items.size() != 2)
          return Corrupt("pickle makes an OrderedDict from something other than pairs");
        items.insert(items.end(), p.items.begin(), p.items.end());
      }
      Push(Kind::kDict).items = std::move(items);
      return OkStatus();
    }
    Push(Kind::kCall).items = {callable, arguments};
    return OkStatus();
  }

  Status Call() {
    PickleId callable = 0, arguments = 0;
    if (!Pop(&arguments) || !Pop(&callable)) return Underflow();
    return PushCall(callable, arguments);
  }

  Status Extend(Kind kind, const std::vector<PickleId>& ids, const char* op) {
    PickleId target = 0;
    if (!Pop(&target)) return Underflow();
    PickleValue& value = pickle_.values[target];
    // An object of another class may be a list or dict as well.
    if (value.kind != kind && value.kind != Kind::kCall)
      return Unsupported(StrCat("pickle applies ", op, " to something else than a ",
                                kind == Kind::kDict  ? "dict"
                                : kind == Kind::kSet ? "set"
                                                     : "list"));
    if (kind == Kind::kDict && ids.size() % 2 != 0)
      return Corrupt(StrCat("pickle has a key without a value in ", op));
    value.items.insert(value.items.end(), ids.begin(), ids.end());
    stack_.push_back(target);
    return OkStatus();
  }

  Status Memoize(uint32_t index) {
    if (stack_.empty()) return Underflow();
    memo_[index] = stack_.back();
    return OkStatus();
  }

  Status Recall(uint32_t index) {
    const auto it = memo_.find(index);
    if (it == memo_.end())
      return Corrupt(StrCat("pickle recalls memo ", index, ", which was never set"));
    stack_.push_back(it->second);
    return OkStatus();
  }

  Status Step(uint8_t op) {
    PickleId id = 0;
    std::vector<PickleId> ids;
    switch (op) {
      case 0x80: {  // PROTO
        uint8_t version = 0;
        if (!TakeNumber(&version)) return Truncated();
        if (version < 2 || version > 5)
          return Unsupported(StrCat("pickle protocol ", int{version}, ", expected 2 to 5"));
        return OkStatus();
      }
      case 0x95: {  // FRAME
        std::string_view length;
        return Take(8, &length) ? OkStatus() : Truncated();
      }
      case '(':
        marks_.push_back(stack_.size());
        return OkStatus();
      case '0':
        return Pop(&id) ? OkStatus() : Underflow();
      case '1':
        return PopMark(&ids) ? OkStatus() : Underflow();
      case '2':
        if (!Pop(&id)) return Underflow();
        stack_.push_back(id);
        stack_.push_back(id);
        return OkStatus();
      case 'N':
        Push(Kind::kNone);
        return OkStatus();
      case 0x88:
        Push(Kind::kBool).integer = 1;
        return OkStatus();
      case 0x89:
        Push(Kind::kBool);
        return OkStatus();
      case 'J': {
        int32_t v = 0;
        return TakeNumber(&v) ? PushInt(v) : Truncated();
      }
      case 'K': {
        uint8_t v = 0;
        return TakeNumber(&v) ? PushInt(v) : Truncated();
      }
      case 'M': {
        uint16_t v = 0;
        return TakeNumber(&v) ? PushInt(v) : Truncated();
      }
      case 0x8a:
        return PushLong<uint8_t>();
      case 0x8b:
        return PushLong<int32_t>();
      case 'G': {
        uint64_t bits = 0;
        if (!TakeNumber(&bits)) return Truncated();
        Push(Kind::kFloat).real = std::bit_cast<double>(__builtin_bswap64(bits));  // Big-endian.
        return OkStatus();
      }
      case 'X':
        return PushText<uint32_t>(Kind::kString);
      case 0x8c:
        return PushText<uint8_t>(Kind::kString);
      case 0x8d:
        return PushText<uint64_t>(Kind::kString);
      case 'B':
        return PushText<uint32_t>(Kind::kBytes);
      case 'C':
        return PushText<uint8_t>(Kind::kBytes);
      case 0x8e:
        return PushText<uint64_t>(Kind::kBytes);
      case 0x96:
        return PushText<uint64_t>(Kind::kBytes);  // BYTEARRAY8
      // Python 2's str: names in checkpoints of its time.
      case 'U':
        return PushText<uint8_t>(Kind::kString);
      case 'T':
        return PushText<uint32_t>(Kind::kString);
      case ')':
        Push(Kind::kTuple);
        return OkStatus();
      case ']':
        Push(Kind::kList);
        return OkStatus();
      case '}':
        Push(Kind::kDict);
        return OkStatus();
      case 0x8f:
        Push(Kind::kSet);
        return OkStatus();
      case 0x85:
        return PushTuple(1);
      case 0x86:
        return PushTuple(2);
      case 0x87:
        return PushTuple(3);
      case 't':
        if (!PopMark(&ids)) return Underflow();
        Push(Kind::kTuple).items = std::move(ids);
        return OkStatus();
      case 0x91:  // FROZENSET
        if (!PopMark(&ids)) return Underflow();
        Push(Kind::kSet).items = std::move(ids);
        return OkStatus();
      case 'a':
        if (!Pop(&id)) return Underflow();
        return Extend(Kind::kList, {id}, "APPEND");
      case 'e':
        return PopMark(&ids) ? Extend(Kind::kList, ids, "APPENDS") : Underflow();
      case 's': {
        PickleId key = 0;
        if (!Pop(&id) || !Pop(&key)) return Underflow();
        return Extend(Kind::kDict, {key, id}, "SETITEM");
      }
      case 'u':
        return PopMark(&ids) ? Extend(Kind::kDict, ids, "SETITEMS") : Underflow();
      case 0x90:
        return PopMark(&ids) ? Extend(Kind::kSet, ids, "ADDITEMS") : Underflow();
      case 'q': {
        uint8_t index = 0;
        return TakeNumber(&index) ? Memoize(index) : Truncated();
      }
      case 'r': {
        uint32_t index = 0;
        return TakeNumber(&index) ? Memoize(index) : Truncated();
      }
      case 0x94:
        return Memoize(static_cast<uint32_t>(memo_.size()));
      case 'h': {
        uint8_t index = 0;
        return TakeNumber(&index) ? Recall(index) : Truncated();
      }
      case 'j': {
        uint32_t index = 0;
        return TakeNumber(&index) ? Recall(index) : Truncated();
      }
      case 'c': {
        std::string_view module, name;
        if (!TakeLine(&module) || !TakeLine(&name)) return Truncated();
        return PushGlobal(module, name);
      }
      case 0x93: {  // STACK_GLOBAL
        PickleId module = 0, name = 0;
        if (!Pop(&name) || !Pop(&module)) return Underflow();
        if (pickle_.values[module].kind != Kind::kString ||
            pickle_.values[name].kind != Kind::kString) {
          return Corrupt("pickle names a global by something that is no string");
        }
        return PushGlobal(pickle_.values[module].text, pickle_.values[name].text);
      }
      case 'R':
      case 0x81:
        return Call();  // REDUCE, NEWOBJ
      case 0x92: {      // NEWOBJ_EX: keyword arguments on top.
        PickleId arguments = 0, callable = 0;
        if (!Pop(&id) || !Pop(&arguments) || !Pop(&callable)) return Underflow();
        OCTET_RETURN_IF_ERROR(PushCall(callable, arguments));
        PickleValue& made = pickle_.values[stack_.back()];
        if (made.kind == Kind::kCall) made.items.push_back(id);
        return OkStatus();
      }
      case 'o': {  // OBJ: classes of Python 2.
        if (!PopMark(&ids)) return Underflow();
        if (ids.empty()) return Corrupt("pickle makes an object of no class");
        Push(Kind::kTuple).items.assign(ids.begin() + 1, ids.end());
        if (!Pop(&id)) return Underflow();
        return PushCall(ids[0], id);
      }
      case 'b': {  // BUILD: the state of an object. Of a dict it is attributes beside its items.
        if (!Pop(&id) || stack_.size() <= (marks_.empty() ? 0 : marks_.back())) return Underflow();
        PickleValue& object = pickle_.values[stack_.back()];
        if (object.kind == Kind::kCall) object.items.push_back(id);
        return OkStatus();
      }
      case 'Q':
        if (!Pop(&id)) return Underflow();
        Push(Kind::kPersistent).items = {id};
        return OkStatus();
    }
    return Unsupported(StrCat("pickle opcode ", OpcodeName(op), " (", int{op}, ") at byte ",
                              size_ - rest_.size() - 1));
  }

  std::string_view rest_;
  const size_t size_;
  Pickle pickle_;
  std::unordered_map<std::string, int64_t> name_index_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleId> memo_;
};

}  // namespace

Result<Pickle> ReadPickle(std::string_view* bytes) {
  Reader reader(*bytes);
  OCTET_ASSIGN_OR_RETURN(Pickle pickle, reader.Run());
  *bytes = reader.rest();
  return pickle;
}

}  // namespace octet
