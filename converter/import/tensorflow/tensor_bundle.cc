// LevelDB's table format: a footer names the index block, which names the data blocks, whose
// entries are keys and BundleEntryProto messages. The whole index is read and checked when the
// bundle is opened; a tensor's bytes are a span of a mapped shard, whose checksum is verified when
// they are read.
#include "converter/import/tensorflow/tensor_bundle.h"

#include <cstdio>
#include <cstring>
#include <span>
#include <utility>

#include "converter/import/proto_reader.h"
#include "converter/import/tensorflow/proto.h"
#include "converter/import/tensorflow/snappy.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/crc32.h"

namespace octet {
namespace {

constexpr size_t kFooterSize = 48;
constexpr size_t kBlockTrailerSize = 5;  // Compression type, masked CRC32C of contents and type.
constexpr uint64_t kTableMagic = 0xdb4775248b80fb57u;
/// Prefix compression can make three bytes an entry with a key of any length.
constexpr size_t kMaxKeyBytes = 1 << 26;
constexpr int kMaxShards = 99999;  // Five digits in the file name.

uint32_t Crc(std::string_view bytes, uint32_t previous = 0) {
  return Crc32c({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, previous);
}

/// Reads from the front of a view; every getter returns false when it ends too early.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}

  bool empty() const { return bytes_.empty(); }
  std::string_view rest() const { return bytes_; }

  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const uint64_t byte = static_cast<uint8_t>(bytes_.front());
      bytes_.remove_prefix(1);
      *value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  bool Bytes(uint64_t n, std::string_view* value) {
    if (n > bytes_.size()) return false;
    *value = bytes_.substr(0, static_cast<size_t>(n));
    bytes_.remove_prefix(static_cast<size_t>(n));
    return true;
  }

  bool Fixed32(uint32_t* value) {
    std::string_view raw;
    if (!Bytes(4, &raw)) return false;
    std::memcpy(value, raw.data(), 4);
    return true;
  }

 private:
  std::string_view bytes_;
};

struct BlockHandle {
  uint64_t offset = 0, size = 0;
};

bool ReadHandle(Cursor* cursor, BlockHandle* handle) {
  return cursor->Varint(&handle->offset) && cursor->Varint(&handle->size);
}

/// The contents of a block, CRC32C checked, without trailer; `uncompressed` holds those of a
/// compressed one.
Result<std::string_view> ReadBlock(std::string_view file, const BlockHandle& handle,
                                   std::string* uncompressed) {
  if (handle.offset > file.size() || handle.size > file.size() - handle.offset ||
      kBlockTrailerSize > file.size() - handle.offset - handle.size) {
    return Corrupt(StrCat("block at ", handle.offset, " of ", handle.size,
                          " bytes lies outside of the file's ", file.size(), " bytes"));
  }
  const std::string_view contents = file.substr(handle.offset, handle.size);
  Cursor trailer(file.substr(handle.offset + handle.size, kBlockTrailerSize));
  std::string_view type;
  uint32_t stored = 0;
  if (!trailer.Bytes(1, &type) || !trailer.Fixed32(&stored))
    return Corrupt("block without trailer");
  const uint32_t computed = MaskCrc(Crc(type, Crc(contents)));
  if (stored != computed) {
    return Corrupt(
        StrCat("block at ", handle.offset, ": CRC32C is ", stored, ", expected ", computed));
  }
  if (type[0] == 1) {
    // A copy of 3 bytes gives at most 64.
    OCTET_ASSIGN_OR_RETURN(*uncompressed,
                           tf::SnappyUncompress(contents, contents.size() * 32 + 64));
    return std::string_view(*uncompressed);
  }
  if (type[0] != 0) {
    return Unsupported(StrCat("block at ", handle.offset, " is compressed (type ",
                              static_cast<int>(static_cast<uint8_t>(type[0])),
                              "), expected none or Snappy"));
  }
  return contents;
}

/// Calls f(key, value) for every entry of a block.
template <typename F>
Status ForEachEntry(std::string_view block, const F& f) {
  // The restart array only serves binary search; its length says where the entries end.
  uint32_t restarts = 0;
  if (block.size() < 4) return Corrupt("block is too short for its restart count");
  std::memcpy(&restarts, block.data() + block.size() - 4, 4);
  if (restarts > (block.size() - 4) / 4)
    return Corrupt(StrCat("block has ", restarts, " restarts, more than fit"));
  Cursor entries(block.substr(0, block.size() - 4 - size_t{restarts} * 4));
  std::string key;
  while (!entries.empty()) {
    uint64_t shared = 0, unshared = 0, value_size = 0;
    std::string_view suffix, value;
    if (!entries.Varint(&shared) || !entries.Varint(&unshared) || !entries.Varint(&value_size) ||
        !entries.Bytes(unshared, &suffix) || !entries.Bytes(value_size, &value)) {
      return Corrupt("block ends inside an entry");
    }
    if (shared > key.size()) {
      return Corrupt(StrCat("entry shares ", shared, " bytes with a key of ", key.size()));
    }
    key.resize(static_cast<size_t>(shared));
    key.append(suffix);
    OCTET_RETURN_IF_ERROR(f(std::string_view(key), value));
  }
  return OkStatus();
}

Result<int> ParseHeader(std::string_view bytes) {
  int64_t shards = 1, endianness = 0;
  ReadFields(bytes, Field(1, &shards), Field(2, &endianness));
  if (endianness != 0) return Unsupported("bundle is big-endian; expected little-endian");
  if (shards < 1 || shards > kMaxShards)
    return Corrupt(StrCat("bundle has ", shards, " shards, expected 1 to ", kMaxShards));
  return static_cast<int>(shards);
}

Result<BundleEntry> ParseEntry(std::string_view key, std::string_view bytes, int shards) {
  BundleEntry entry;
  int64_t shard = 0, offset = 0, size = 0;
  bool ranked = true;
  const auto shape = [&](ProtoReader& r) {
    auto dims = tf::ParseShape(r.View());
    ranked = dims.has_value();
    if (ranked) entry.shape = *std::move(dims);
  };
  const auto slices = [&](ProtoReader& r) {
    entry.sliced = true;
    r.Skip();
  };
  ReadFields(bytes, Field(1, [&](ProtoReader& r) { entry.type = TensorflowType(r.Int()); }),
             Field(2, shape), Field(3, &shard), Field(4, &offset), Field(5, &size),
             Field(6, [&](ProtoReader& r) { entry.crc32c = r.Fixed32(); }), Field(7, slices));
  entry.num_elements = NumElements(entry.shape);
  if (!ranked || entry.num_elements < 0)
    return Corrupt(StrCat("entry '", key, "' has an impossible shape"));
  if (shard < 0 || shard >= shards)
    return Corrupt(StrCat("entry '", key, "' is in shard ", shard, " of ", shards));
  entry.shard = static_cast<int>(shard);
  if (offset < 0 || size < 0)
    return Corrupt(StrCat("entry '", key, "' has a negative offset or size"));
  entry.offset = static_cast<uint64_t>(offset);
  entry.size = static_cast<uint64_t>(size);
  return entry;
}

}  // namespace

ElementType TensorflowType(int64_t number) {
  using enum ElementType;
  static constexpr ElementType kTypes[] = {
      kUndefined, kFloat32,   kFloat64,   kInt32,     kUint8,     kUndefined, kInt8,
      kString,    kUndefined, kInt64,     kBool,      kUndefined, kUndefined, kUndefined,
      kBfloat16,  kUndefined, kUndefined, kUndefined, kUndefined, kFloat16};
  return TypeOf(kTypes, number);
}

Status TensorBundle::ReadIndex(std::string_view file, const ShardOpener& open_shard) {
  if (file.size() < kFooterSize)
    return Corrupt(StrCat("index has ", file.size(), " bytes, expected at least ", kFooterSize));
  const std::string_view footer = file.substr(file.size() - kFooterSize);
  uint64_t magic = 0;
  std::memcpy(&magic, footer.data() + kFooterSize - sizeof(magic), sizeof(magic));
  if (magic != kTableMagic) return Corrupt("no table magic at the end of the index");
  Cursor cursor(footer.substr(0, kFooterSize - sizeof(magic)));
  BlockHandle metaindex, index;
  if (!ReadHandle(&cursor, &metaindex) || !ReadHandle(&cursor, &index))
    return Corrupt("footer has no block handles");

  // Blocks are disjoint in an honest file; their sum bounds what a crafted one can make us read
  // again and again.
  uint64_t bytes_left = file.size();
  size_t key_bytes_left = kMaxKeyBytes;
  int shards = 0;                        // Known once the header, the first entry, has been read.
  std::string index_bytes, block_bytes;  // Of compressed blocks.
  OCTET_ASSIGN_OR_RETURN(const std::string_view index_block, ReadBlock(file, index, &index_bytes));
  OCTET_RETURN_IF_ERROR(
      ForEachEntry(index_block, [&](std::string_view, std::string_view value) -> Status {
        BlockHandle handle;
        Cursor handle_cursor(value);
        if (!ReadHandle(&handle_cursor, &handle))
          return Corrupt("index block has an entry that is no block handle");
        if (handle.size > bytes_left) return Corrupt("index block lists overlapping blocks");
        bytes_left -= handle.size;
        OCTET_ASSIGN_OR_RETURN(const std::string_view block, ReadBlock(file, handle, &block_bytes));
        return ForEachEntry(block, [&](std::string_view key, std::string_view bytes) -> Status {
          if (shards == 0) {
            if (!key.empty())
              return Corrupt(
                  StrCat("first entry is '", key, "', expected the header with an empty key"));
            OCTET_ASSIGN_OR_RETURN(shards, ParseHeader(bytes));
            return OkStatus();
          }
          if (key.size() > key_bytes_left)
            return Corrupt(StrCat("keys have more than ", kMaxKeyBytes, " bytes together"));
          key_bytes_left -= key.size();
          OCTET_ASSIGN_OR_RETURN(BundleEntry entry, ParseEntry(key, bytes, shards));
          entries_.emplace(std::string(key), std::move(entry));
          return OkStatus();
        });
      }));
  if (shards == 0) return Corrupt("index has no header entry");

  for (int i = 0; i < shards; ++i) {
    OCTET_ASSIGN_OR_RETURN(FileBytes shard, open_shard(i, shards));
    shards_.push_back(std::move(shard));
  }
  return OkStatus();
}

Result<TensorBundle> TensorBundle::Open(const std::string& prefix) {
  const std::string path = prefix + ".index";
  OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
  Result<TensorBundle> bundle = Parse(file.text(), [&](int i, int n) {
    char suffix[40];
    std::snprintf(suffix, sizeof(suffix), ".data-%05d-of-%05d", i, n);
    return MapFile(prefix + suffix);
  });
  if (!bundle.ok()) return Status(bundle.status()).WithContext(path);
  return bundle;
}

Result<TensorBundle> TensorBundle::Parse(std::string_view index, const ShardOpener& open_shard) {
  TensorBundle bundle;
  try {
    OCTET_RETURN_IF_ERROR(bundle.ReadIndex(index, open_shard));
  } catch (const protozero::exception& e) {
    return Corrupt(StrCat("entry is not a message: ", e.what()));
  }
  return bundle;
}

Result<std::string_view> TensorBundle::Locate(std::string_view key,
                                              const BundleEntry** entry) const {
  const auto it = entries_.find(key);
  if (it == entries_.end()) return NotFound(StrCat("variable '", key, "' is not in the bundle"));
  *entry = &it->second;
  if ((*entry)->sliced) {
    return Unsupported(
        StrCat("variable '", key,
               "' is partitioned into slices; save the model without partitioned variables"));
  }
  const std::string_view shard = shards_[(*entry)->shard].text();
  if ((*entry)->offset > shard.size() || (*entry)->size > shard.size() - (*entry)->offset) {
    return Corrupt(StrCat("variable '", key, "': bytes ", (*entry)->offset, " to ",
                          (*entry)->offset + (*entry)->size, " lie outside of shard ",
                          (*entry)->shard, " of ", shard.size(), " bytes"));
  }
  return shard.substr((*entry)->offset, (*entry)->size);
}

Result<std::string_view> TensorBundle::Read(std::string_view key) const {
  const BundleEntry* entry = nullptr;
  OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, Locate(key, &entry));
  const size_t element = static_cast<size_t>(TypeSize(entry->type));
  if (element == 0) {
    return Unsupported(
        StrCat("variable '", key, "' is of ", TypeName(entry->type), ", expected numbers"));
  }
  if (bytes.size() % element != 0 ||
      bytes.size() / element != static_cast<uint64_t>(entry->num_elements)) {
    return Corrupt(StrCat("variable '", key, "' has ", bytes.size(), " bytes, expected ",
                          entry->num_elements, " elements of ", element));
  }
  const uint32_t computed = MaskCrc(Crc(bytes));
  if (computed != entry->crc32c) {
    return Corrupt(
        StrCat("variable '", key, "': CRC32C is ", computed, ", expected ", entry->crc32c));
  }
  return bytes;
}

Result<std::string> TensorBundle::ReadString(std::string_view key) const {
  const BundleEntry* entry = nullptr;
  OCTET_ASSIGN_OR_RETURN(const std::string_view bytes, Locate(key, &entry));
  if (entry->type != ElementType::kString || entry->num_elements != 1) {
    return Unsupported(StrCat("'", key, "' is not one string"));
  }
  // Length as varint, CRC32C of the length as a 32-bit number, characters. The entry's CRC32C
  // covers all three, the length in its 32-bit form (64-bit when it needs that).
  Cursor cursor(bytes);
  uint64_t length = 0;
  uint32_t length_crc = 0;
  std::string_view text;
  if (!cursor.Varint(&length) || !cursor.Fixed32(&length_crc) || !cursor.Bytes(length, &text)) {
    return Corrupt(StrCat("'", key, "' ends too early"));
  }
  char raw[8];
  std::memcpy(raw, &length, sizeof(raw));
  uint32_t crc = Crc({raw, length <= UINT32_MAX ? size_t{4} : size_t{8}});
  const uint32_t masked = MaskCrc(crc);
  if (masked != length_crc)
    return Corrupt(
        StrCat("'", key, "': CRC32C of its length is ", masked, ", expected ", length_crc));
  std::memcpy(raw, &length_crc, 4);
  crc = MaskCrc(Crc(text, Crc({raw, 4}, crc)));
  if (crc != entry->crc32c)
    return Corrupt(StrCat("'", key, "': CRC32C is ", crc, ", expected ", entry->crc32c));
  return std::string(text);
}

}  // namespace octet
