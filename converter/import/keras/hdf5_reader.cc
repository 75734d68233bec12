// Parser walks from the superblock to the root group and on, and makes the whole tree at once, by
// the public "HDF5 File Format Specification"; arrays stay spans of the file. Damaged files cannot
// make it loop or take much: an object is visited once, and headers, trees and heaps are charged to
// budgets in proportion to the file.
#include "converter/import/keras/hdf5_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <utility>

#include "converter/import/builder/constant.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
constexpr uint64_t kUndefined = ~uint64_t{0};
constexpr int kMaxDepth = 32;   // Of groups in groups.
constexpr int kMaxLevels = 16;  // Of a B-tree.
constexpr size_t kMaxObjects = 200000;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxBlocks = 1024;  // Continuations of one object header.

/// Message types of object headers.
enum Message : uint16_t {
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kLink = 0x06,
  kLayout = 0x08,
  kFilters = 0x0b,
  kAttribute = 0x0c,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
  kAttributeInfo = 0x15,
};

/// Reads numbers from a part of the file; a read beyond its end gives 0 and is remembered.
class Cursor {
 public:
  Cursor() = default;
  explicit Cursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  bool ok() const { return ok_; }
  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }

  template <typename T>
  T Get() {
    T v{};
    const std::span<const std::byte> part = Take(sizeof(T));
    if (!part.empty()) std::memcpy(&v, part.data(), sizeof(T));
    return v;
  }
  uint8_t U8() { return Get<uint8_t>(); }
  uint16_t U16() { return Get<uint16_t>(); }
  uint32_t U32() { return Get<uint32_t>(); }
  uint64_t U64() { return Get<uint64_t>(); }
  /// A number of 1, 2, 4 or 8 bytes.
  uint64_t Sized(int log2_bytes) {
    switch (log2_bytes) {
      case 0:
        return U8();
      case 1:
        return U16();
      case 2:
        return U32();
      default:
        return U64();
    }
  }
  std::span<const std::byte> Take(size_t n) {
    if (!ok_ || n > left()) {
      ok_ = false;
      return {};
    }
    at_ += n;
    return bytes_.subspan(at_ - n, n);
  }
  void Skip(size_t n) { Take(n); }
  /// To the next multiple of 8.
  void Align() { Skip((8 - at_ % 8) % 8); }
  bool Expect(std::string_view text) {
    const std::span<const std::byte> part = Take(text.size());
    return part.size() == text.size() && std::memcmp(part.data(), text.data(), text.size()) == 0;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

struct HeaderMessage {
  uint16_t type = 0;
  uint8_t flags = 0;
  std::span<const std::byte> data;
};

class Parser {
 public:
  explicit Parser(std::span<const std::byte> bytes)
      : bytes_(bytes), block_budget_(bytes.size() * 2 + 4096) {}

  Result<std::unique_ptr<Hdf5Object>> Run() {
    OCTET_ASSIGN_OR_RETURN(const uint64_t root, ReadSuperblock());
    return ReadObject(root, 0);
  }

 private:
  static Status Bad(const char* what, uint64_t address, const char* problem) {
    return Corrupt(StrCat("HDF5 ", what, " at byte ", address, " ", problem));
  }

  /// `size` bytes at `address`, or an error.
  Result<std::span<const std::byte>> At(uint64_t address, uint64_t size, const char* what) const {
    if (address > bytes_.size() || size > bytes_.size() - address)
      return Bad(what, address, "reaches beyond the end of the file");
    return bytes_.subspan(address, size);
  }
  Result<Cursor> From(uint64_t address, const char* what) const {
    OCTET_ASSIGN_OR_RETURN(const auto rest, At(address, 0, what));
    (void)rest;
    return Cursor(bytes_.subspan(address));
  }

  Result<uint64_t> ReadSuperblock() {
    Cursor c(bytes_);
    if (!c.Expect(kSignature)) return Corrupt("not an HDF5 file: the signature is missing");
    const int version = c.U8();
    uint64_t base = 0, end = 0, root = 0;
    if (version == 0 || version == 1) {
      c.Skip(4);
      const int offset_size = c.U8(), length_size = c.U8();
      if (offset_size != 8 || length_size != 8) return Sizes(offset_size, length_size);
      c.Skip(1 + 2 + 2 + 4 + (version == 1 ? 4 : 0));
      base = c.U64();
      c.Skip(8);
      end = c.U64();
      c.Skip(8);
      c.Skip(8);  // The root entry's name.
      root = c.U64();
    } else if (version == 2 || version == 3) {
      const int offset_size = c.U8(), length_size = c.U8();
      if (offset_size != 8 || length_size != 8) return Sizes(offset_size, length_size);
      c.Skip(1);
      base = c.U64();
      c.Skip(8);
      end = c.U64();
      root = c.U64();
    } else {
      return Unsupported(StrCat("HDF5 superblock version ", version, ", expected 0 to 3"));
    }
    if (!c.ok()) return Corrupt("HDF5 superblock is truncated");
    if (base != 0) return Unsupported(StrCat("HDF5 base address ", base, ", expected 0"));
    if (end > bytes_.size())
      return Corrupt(StrCat("HDF5 file is truncated: ", bytes_.size(), " bytes, expected ", end));
    return root;
  }

  static Status Sizes(int offset_size, int length_size) {
    return Unsupported(StrCat("HDF5 offsets and lengths of ", offset_size, " and ", length_size,
                              " bytes, expected 8"));
  }

  // ---- Object headers ----

  Result<std::vector<HeaderMessage>> ReadHeader(uint64_t address) {
    OCTET_ASSIGN_OR_RETURN(Cursor c, From(address, "object header"));
    const bool second =
        bytes_.size() - address >= 4 && std::memcmp(bytes_.data() + address, "OHDR", 4) == 0;
    return second ? ReadHeader2(address, c) : ReadHeader1(address, c);
  }

  /// Every byte of the file can only be header once, so a forged loop of continuations runs out of
  /// budget.
  Status Charge(uint64_t address, uint64_t size) {
    if (size > block_budget_) return Bad("block", address, "is part of a loop");
    block_budget_ -= size;
    return OkStatus();
  }

  Result<std::vector<HeaderMessage>> ReadHeader1(uint64_t address, Cursor c) {
    if (c.U8() != 1) return Bad("object header", address, "has an unknown version");
    c.Skip(1);
    const int count = c.U16();
    c.Skip(4);
    const uint32_t size = c.U32();
    c.Skip(4);
    std::vector<std::span<const std::byte>> blocks{c.Take(size)};
    if (!c.ok()) return Bad("object header", address, "is truncated");
    std::vector<HeaderMessage> messages;
    for (size_t b = 0; b < blocks.size(); ++b) {
      OCTET_RETURN_IF_ERROR(Charge(address, blocks[b].size()));
      Cursor block(blocks[b]);
      while (block.left() >= 8 && static_cast<int>(messages.size()) < count) {
        HeaderMessage m;
        m.type = block.U16();
        const uint16_t length = block.U16();
        m.flags = block.U8();
        block.Skip(3);
        m.data = block.Take(length);
        if (!block.ok()) return Bad("object header", address, "has a message that is too long");
        if (m.type == kContinuation) OCTET_RETURN_IF_ERROR(AddBlock(m, &blocks));
        messages.push_back(m);
      }
    }
    return messages;
  }

  Status AddBlock(const HeaderMessage& m, std::vector<std::span<const std::byte>>* blocks) const {
    Cursor c(m.data);
    const uint64_t address = c.U64(), size = c.U64();
    if (!c.ok() || blocks->size() >= kMaxBlocks) return Bad("continuation", address, "is damaged");
    OCTET_ASSIGN_OR_RETURN(const auto block, At(address, size, "continuation"));
    blocks->push_back(block);
    return OkStatus();
  }

  Result<std::vector<HeaderMessage>> ReadHeader2(uint64_t address, Cursor c) {
    c.Skip(4);
    if (c.U8() != 2) return Bad("object header", address, "has an unknown version");
    const uint8_t flags = c.U8();
    if (flags & 0x20) c.Skip(16);
    if (flags & 0x10) c.Skip(4);
    const uint64_t size = c.Sized(flags & 3);
    std::vector<std::span<const std::byte>> blocks{c.Take(size)};
    if (!c.ok()) return Bad("object header", address, "is truncated");
    std::vector<HeaderMessage> messages;
    for (size_t b = 0; b < blocks.size(); ++b) {
      OCTET_RETURN_IF_ERROR(Charge(address, blocks[b].size()));
      Cursor block(blocks[b]);
      if (b > 0) {
        if (block.left() < 8 || !block.Expect("OCHK"))
          return Bad("object header", address, "has a damaged continuation");
        // Without signature and checksum.
        block = Cursor(blocks[b].subspan(4, blocks[b].size() - 8));
      }
      const size_t head = flags & 0x04 ? 6 : 4;
      while (block.left() >= head) {
        HeaderMessage m;
        m.type = block.U8();
        const uint16_t length = block.U16();
        m.flags = block.U8();
        if (flags & 0x04) block.Skip(2);
        m.data = block.Take(length);
        if (!block.ok()) return Bad("object header", address, "has a message that is too long");
        if (m.type == kContinuation) OCTET_RETURN_IF_ERROR(AddBlock(m, &blocks));
        messages.push_back(m);
      }
    }
    return messages;
  }

  // ---- Groups ----

  Result<std::unique_ptr<Hdf5Object>> ReadObject(uint64_t address, int depth) {
    if (depth > kMaxDepth) return Bad("group", address, "is nested too deeply");
    if (!visited_.insert(address).second) return Bad("object", address, "is linked to twice");
    if (visited_.size() > kMaxObjects)
      return Unsupported(StrCat("HDF5 file of more than ", kMaxObjects, " objects"));
    OCTET_ASSIGN_OR_RETURN(const std::vector<HeaderMessage> messages, ReadHeader(address));
    auto object = std::make_unique<Hdf5Object>();
    std::vector<std::pair<std::string, uint64_t>> links;
    const HeaderMessage* type = nullptr;
    const HeaderMessage* space = nullptr;
    const HeaderMessage* layout = nullptr;
    bool filtered = false;
    for (const HeaderMessage& m : messages) {
      // Bit 1: the content stands elsewhere, shared by several objects.
      const bool needed =
          m.type == kDataspace || m.type == kDatatype || m.type == kLayout || m.type == kAttribute;
      if (needed && (m.flags & 2))
        return Unsupported(
            StrCat("HDF5 object at byte ", address, " shares its types with others"));
      switch (m.type) {
        case kDatatype:
          type = &m;
          break;
        case kDataspace:
          space = &m;
          break;
        case kLayout:
          layout = &m;
          break;
        case kFilters:
          filtered = true;
          break;
        case kAttribute:
          OCTET_RETURN_IF_ERROR(ReadAttribute(m, address, object.get()));
          break;
        case kSymbolTable:
          OCTET_RETURN_IF_ERROR(ReadSymbolTable(m, &links));
          break;
        case kLink:
          OCTET_RETURN_IF_ERROR(ReadLink(m, address, &links));
          break;
        case kLinkInfo:
        case kAttributeInfo:
          OCTET_RETURN_IF_ERROR(RefuseDense(m, address));
          break;
        default:
          break;
      }
    }
    if (layout != nullptr) {
      if (type == nullptr || space == nullptr)
        return Bad("dataset", address, "has no type or no shape");
      object->is_dataset = true;
      OCTET_RETURN_IF_ERROR(
          ReadDataset(*type, *space, *layout, filtered, address, &object->dataset));
    }
    for (auto& [name, child_address] : links) {
      Result<std::unique_ptr<Hdf5Object>> child = ReadObject(child_address, depth + 1);
      if (!child.ok()) return child.status();
      if (!object->children.emplace(name, std::move(child).value()).second) {
        return Corrupt(StrCat("HDF5 group at byte ", address, " has two members '", name, "'"));
      }
    }
    return object;
  }

  /// Many links or attributes stand in a fractal heap; only newer file versions have it.
  static Status RefuseDense(const HeaderMessage& m, uint64_t address) {
    Cursor c(m.data);
    c.Skip(1);
    const uint8_t flags = c.U8();
    if (flags & 1) c.Skip(m.type == kLinkInfo ? 8 : 2);
    const uint64_t heap = c.U64();
    if (!c.ok()) return Bad("object header", address, "has a damaged message");
    if (heap == kUndefined) return OkStatus();
    return Unsupported(
        StrCat("HDF5 object at byte ", address,
               " keeps its members in a fractal heap; save it again without libver='latest'"));
  }

  static Status ReadLink(const HeaderMessage& m, uint64_t address,
                         std::vector<std::pair<std::string, uint64_t>>* links) {
    Cursor c(m.data);
    const int version = c.U8();
    const uint8_t flags = c.U8();
    const int type = flags & 0x08 ? c.U8() : 0;
    if (flags & 0x04) c.Skip(8);
    if (flags & 0x10) c.Skip(1);
    const uint64_t length = c.Sized(flags & 3);
    if (version != 1 || length > kMaxName) return Bad("link", address, "is damaged");
    const std::span<const std::byte> name = c.Take(length);
    if (type != 0)
      return Unsupported(StrCat("HDF5 group at byte ", address, " has a link that is not hard"));
    const uint64_t target = c.U64();
    if (!c.ok()) return Bad("link", address, "is truncated");
    links->emplace_back(std::string(reinterpret_cast<const char*>(name.data()), name.size()),
                        target);
    return OkStatus();
  }

  Status ReadSymbolTable(const HeaderMessage& m,
                         std::vector<std::pair<std::string, uint64_t>>* links) {
    Cursor c(m.data);
    const uint64_t tree = c.U64(), heap = c.U64();
    if (!c.ok()) return Corrupt("HDF5 symbol table message is truncated");
    OCTET_ASSIGN_OR_RETURN(Cursor h, From(heap, "local heap"));
    if (!h.Expect("HEAP") || h.U8() != 0) return Bad("local heap", heap, "has no signature");
    h.Skip(3);
    const uint64_t size = h.U64();
    h.Skip(8);
    const uint64_t data = h.U64();
    if (!h.ok()) return Bad("local heap", heap, "is truncated");
    OCTET_ASSIGN_OR_RETURN(const auto names, At(data, size, "local heap"));
    return ReadTree(tree, names, -1, 0, links);
  }

  /// A node of a group's B-tree, whose level must be one below its parent's.
  Status ReadTree(uint64_t address, std::span<const std::byte> names, int parent_level, int depth,
                  std::vector<std::pair<std::string, uint64_t>>* links) {
    if (depth > kMaxLevels) return Bad("B-tree", address, "is too deep");
    OCTET_ASSIGN_OR_RETURN(Cursor c, From(address, "B-tree"));
    if (!c.Expect("TREE") || c.U8() != 0) return Bad("B-tree", address, "is not one of a group");
    const int level = c.U8(), used = c.U16();
    if (parent_level >= 0 && level != parent_level - 1)
      return Bad("B-tree", address, "has a wrong level");
    c.Skip(16);
    OCTET_RETURN_IF_ERROR(Charge(address, 24 + static_cast<uint64_t>(used) * 16));
    for (int i = 0; i < used; ++i) {
      c.Skip(8);
      const uint64_t child = c.U64();
      if (!c.ok()) return Bad("B-tree", address, "is truncated");
      if (level > 0) {
        OCTET_RETURN_IF_ERROR(ReadTree(child, names, level, depth + 1, links));
      } else {
        OCTET_RETURN_IF_ERROR(ReadSymbolNode(child, names, links));
      }
    }
    return OkStatus();
  }

  Status ReadSymbolNode(uint64_t address, std::span<const std::byte> names,
                        std::vector<std::pair<std::string, uint64_t>>* links) {
    OCTET_ASSIGN_OR_RETURN(Cursor c, From(address, "symbol node"));
    if (!c.Expect("SNOD") || c.U8() != 1) return Bad("symbol node", address, "has no signature");
    c.Skip(1);
    const int count = c.U16();
    OCTET_RETURN_IF_ERROR(Charge(address, 8 + static_cast<uint64_t>(count) * 40));
    for (int i = 0; i < count; ++i) {
      const uint64_t name = c.U64(), header = c.U64();
      const uint32_t cache = c.U32();
      c.Skip(20);
      if (!c.ok() || name >= names.size()) return Bad("symbol node", address, "is damaged");
      if (cache == 2)
        return Unsupported(StrCat("HDF5 symbol node at byte ", address, " has a symbolic link"));
      const char* text = reinterpret_cast<const char*>(names.data()) + name;
      const size_t length = strnlen(text, std::min<size_t>(names.size() - name, kMaxName + 1));
      if (length == 0 || length > kMaxName || length == names.size() - name)
        return Bad("symbol node", address, "has a damaged name");
      links->emplace_back(std::string(text, length), header);
    }
    return OkStatus();
  }

  // ---- Arrays ----

  Status ReadShape(std::span<const std::byte> data, uint64_t address,
                   std::vector<int64_t>* shape) const {
    Cursor c(data);
    const int version = c.U8(), rank = c.U8();
    c.Skip(1);
    bool null = false;
    if (version == 1) {
      c.Skip(5);
    } else if (version == 2) {
      null = c.U8() == 2;
    } else {
      return Bad("dataspace", address, "has an unknown version");
    }
    if (static_cast<size_t>(rank) > kMaxRank)
      return Bad("dataspace", address, "has too many dimensions");
    int64_t elements = 1;
    for (int i = 0; i < rank; ++i) {
      const uint64_t d = c.U64();
      // No array has more elements than the file has bits, so that nothing overflows later.
      if (d > bytes_.size() * 8 || !CheckedMul(elements, static_cast<int64_t>(d), &elements)) {
        return Bad("dataspace", address, "has dimensions larger than the file");
      }
      shape->push_back(static_cast<int64_t>(d));
    }
    if (null) shape->assign(1, 0);
    return c.ok() ? OkStatus() : Bad("dataspace", address, "is truncated");
  }

  static Status ReadType(std::span<const std::byte> data, uint64_t address, Hdf5Type* type) {
    Cursor c(data);
    const uint8_t head = c.U8();
    const uint8_t bits = c.U8();
    c.Skip(2);
    type->size = c.U32();
    if (!c.ok() || type->size == 0) return Bad("datatype", address, "is damaged");
    switch (head & 15) {
      case 0:
        if ((bits & 1) == 0 && type->size <= 8) type->kind = Hdf5Type::Kind::kInteger;
        return OkStatus();
      case 1: {
        const uint16_t offset = c.U16(), precision = c.U16();
        const uint8_t exponent_at = c.U8(), exponent = c.U8(), mantissa_at = c.U8(),
                      mantissa = c.U8();
        const uint32_t bias = c.U32();
        if (!c.ok()) return Bad("datatype", address, "is truncated");
        const bool little = (bits & 0x41) == 0;
        const auto is = [&](unsigned size, int e, int m, unsigned b) {
          return type->size == size && precision == size * 8 && exponent == e && exponent_at == m &&
                 mantissa == m && mantissa_at == 0 && bias == b;
        };
        if (little && offset == 0 && (is(2, 5, 10, 15) || is(4, 8, 23, 127) || is(8, 11, 52, 1023)))
          type->kind = Hdf5Type::Kind::kFloat;
        return OkStatus();
      }
      case 3:
        type->kind = Hdf5Type::Kind::kString;
        return OkStatus();
      case 9:
        if ((bits & 15) == 1 && type->size == 16) type->kind = Hdf5Type::Kind::kTextVector;
        return OkStatus();
      default:
        return OkStatus();
    }
  }

  static Status CheckSize(const Hdf5Array& array, uint64_t found, uint64_t address) {
    int64_t bytes = 0;
    if (!CheckedMul(array.elements(), array.type.size, &bytes) ||
        static_cast<uint64_t>(bytes) != found) {
      return Corrupt(StrCat("HDF5 array at byte ", address, " has ", found, " bytes, expected ",
                            array.elements(), " elements of ", array.type.size));
    }
    return OkStatus();
  }

  Status ReadDataset(const HeaderMessage& type, const HeaderMessage& space,
                     const HeaderMessage& layout, bool filtered, uint64_t address,
                     Hdf5Array* array) const {
    OCTET_RETURN_IF_ERROR(ReadType(type.data, address, &array->type));
    OCTET_RETURN_IF_ERROR(ReadShape(space.data, address, &array->shape));
    Cursor c(layout.data);
    const int version = c.U8();
    const int kind = c.U8();
    // Such a dataset is only an error when its values are wanted.
    if (version != 3 && version != 4) {
      array->problem = StrCat("data layout version ", version, ", expected 3 or 4");
    } else if (kind == 2 || filtered) {
      array->problem = "chunked or compressed data; save it without compression";
    } else if (kind == 0) {
      const uint16_t size = c.U16();
      array->data = c.Take(size);
      if (!c.ok()) return Bad("dataset", address, "is truncated");
      return CheckSize(*array, size, address);
    } else if (kind == 1) {
      const uint64_t at = c.U64(), size = c.U64();
      if (!c.ok()) return Bad("dataset", address, "is truncated");
      if (at == kUndefined) {
        if (array->elements() > 0) array->problem = "its data was never written";
        return OkStatus();
      }
      OCTET_ASSIGN_OR_RETURN(array->data, At(at, size, "array"));
      return CheckSize(*array, size, address);
    } else {
      array->problem = StrCat("data layout class ", kind);
    }
    return OkStatus();
  }

  Status ReadAttribute(const HeaderMessage& m, uint64_t address, Hdf5Object* object) const {
    Cursor c(m.data);
    const int version = c.U8();
    const uint8_t flags = c.U8();
    const uint16_t name_size = c.U16(), type_size = c.U16(), space_size = c.U16();
    if (version < 1 || version > 3) return Bad("attribute", address, "has an unknown version");
    if (version == 3) c.Skip(1);
    if (version > 1 && (flags & 3))
      return Unsupported(
          StrCat("HDF5 object at byte ", address, " has an attribute of a shared type"));
    const auto field = [&](size_t size) {
      const std::span<const std::byte> part = c.Take(size);
      if (version == 1) c.Align();
      return part;
    };
    const std::span<const std::byte> name = field(name_size), type = field(type_size),
                                     space = field(space_size);
    if (!c.ok() || name_size == 0 || name_size > kMaxName)
      return Bad("attribute", address, "is damaged");
    Hdf5Array array;
    OCTET_RETURN_IF_ERROR(ReadType(type, address, &array.type));
    OCTET_RETURN_IF_ERROR(ReadShape(space, address, &array.shape));
    int64_t bytes = 0;
    if (!CheckedMul(array.elements(), array.type.size, &bytes) ||
        static_cast<uint64_t>(bytes) > c.left()) {
      return Bad("attribute", address, "is longer than its message");
    }
    array.data = c.Take(static_cast<size_t>(bytes));
    const char* text = reinterpret_cast<const char*>(name.data());
    object->attributes[std::string(text, strnlen(text, name.size()))] = std::move(array);
    return OkStatus();
  }

  std::span<const std::byte> bytes_;
  uint64_t block_budget_;
  std::set<uint64_t> visited_;
};

}  // namespace

/// Strings of the global heap, whose collections are indexed once each.
class Hdf5GlobalHeap {
 public:
  explicit Hdf5GlobalHeap(std::span<const std::byte> bytes)
      : bytes_(bytes),
        budget_(bytes.size()),
        text_budget_(bytes.size() * 2 + (uint64_t{1} << 16)) {}

  Result<std::span<const std::byte>> Find(uint64_t address, uint32_t index) {
    auto it = collections_.find(address);
    if (it == collections_.end()) {
      std::map<uint32_t, std::span<const std::byte>> objects;
      OCTET_RETURN_IF_ERROR(ReadCollection(address, &objects));
      it = collections_.emplace(address, std::move(objects)).first;
    }
    const auto object = it->second.find(index);
    if (object != it->second.end()) return object->second;
    return Corrupt(StrCat("HDF5 global heap at byte ", address, " has no object ", index));
  }

  /// Honest strings are read once or twice; forged ones may all be the same long one.
  bool TakeText(uint64_t bytes) {
    if (bytes > text_budget_) return false;
    text_budget_ -= bytes;
    return true;
  }

 private:
  Status ReadCollection(uint64_t address, std::map<uint32_t, std::span<const std::byte>>* objects) {
    const auto bad = [&] {
      return Corrupt(StrCat("HDF5 global heap at byte ", address, " is damaged"));
    };
    if (address > bytes_.size()) return bad();
    Cursor head(bytes_.subspan(address));
    if (!head.Expect("GCOL") || head.U8() != 1) return bad();
    head.Skip(3);
    const uint64_t size = head.U64();
    // Honest collections do not overlap, so all of them together are no larger than the file.
    if (!head.ok() || size < 16 || size > bytes_.size() - address || size > budget_) return bad();
    budget_ -= size;
    Cursor c(bytes_.subspan(address + 16, size - 16));
    while (c.left() >= 16) {
      const uint32_t index = c.U16();
      c.Skip(6);
      const uint64_t length = c.U64();
      if (index == 0) break;  // Free space, always the last.
      const std::span<const std::byte> data = c.Take(length);
      if (!c.ok()) return bad();
      if (c.left() >= (8 - c.at() % 8) % 8) c.Align();
      objects->emplace(index, data);
    }
    return OkStatus();
  }

  std::span<const std::byte> bytes_;
  uint64_t budget_, text_budget_;
  std::map<uint64_t, std::map<uint32_t, std::span<const std::byte>>> collections_;
};

int64_t Hdf5Array::elements() const {
  int64_t n = 1;
  for (int64_t d : shape) n *= d;
  return n;
}

const Hdf5Object* Hdf5Object::Find(std::string_view path) const {
  const Hdf5Object* at = this;
  while (!path.empty()) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (name.empty()) continue;
    const auto it = at->children.find(name);
    if (it == at->children.end()) return nullptr;
    at = it->second.get();
  }
  return at;
}

const Hdf5Array* Hdf5Object::Attribute(std::string_view name) const {
  const auto it = attributes.find(name);
  return it == attributes.end() ? nullptr : &it->second;
}

Result<Hdf5File> Hdf5File::Read(std::span<const std::byte> bytes) {
  Hdf5File file;
  file.heap_ = std::make_shared<Hdf5GlobalHeap>(bytes);
  OCTET_ASSIGN_OR_RETURN(file.root_, Parser(bytes).Run());
  return file;
}

Result<std::vector<std::string>> Hdf5File::Strings(const Hdf5Array& array) const {
  std::vector<std::string> strings;
  if (!array.problem.empty()) return Unsupported(array.problem);
  const int64_t n = array.elements();
  if (n == 0) return strings;  // h5py writes empty lists as numbers.
  const char* data = reinterpret_cast<const char*>(array.data.data());
  if (array.type.kind == Hdf5Type::Kind::kString) {
    for (int64_t i = 0; i < n; ++i) {
      const char* text = data + i * array.type.size;
      strings.emplace_back(text, strnlen(text, array.type.size));
    }
    return strings;
  }
  if (array.type.kind != Hdf5Type::Kind::kTextVector)
    return Unsupported("an attribute that is not made of strings");
  Cursor c(array.data);
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t length = c.U32();
    const uint64_t address = c.U64();
    const uint32_t index = c.U32();
    if (length == 0) {
      strings.emplace_back();
      continue;
    }
    OCTET_ASSIGN_OR_RETURN(const std::span<const std::byte> object, heap_->Find(address, index));
    if (length > object.size() || !heap_->TakeText(length))
      return Corrupt(StrCat("HDF5 string of ", length, " bytes in an object of ", object.size()));
    const char* text = reinterpret_cast<const char*>(object.data());
    strings.emplace_back(text, strnlen(text, length));
  }
  return strings;
}

Result<std::vector<float>> Hdf5File::Floats(const Hdf5Array& array) {
  if (!array.problem.empty()) return Unsupported(array.problem);
  if (array.type.kind != Hdf5Type::Kind::kFloat)
    return Unsupported("an array that is not made of floating-point numbers");
  const ElementType type = array.type.size == 4   ? ElementType::kFloat32
                           : array.type.size == 8 ? ElementType::kFloat64
                                                  : ElementType::kFloat16;
  return LoadFloats(array.data.data(), static_cast<size_t>(array.elements()), type);
}

}  // namespace octet
