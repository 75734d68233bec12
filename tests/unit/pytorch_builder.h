// Writes PyTorch checkpoints, zip and legacy, opcode by opcode.
#ifndef OCTET_TESTS_UNIT_PYTORCH_BUILDER_H_
#define OCTET_TESTS_UNIT_PYTORCH_BUILDER_H_

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/data/crc32.h"

namespace octet::testing {

/// Pieces of a pickle of protocol 2; concatenate them.
namespace pickle {

inline std::string Raw(const void* data, size_t size) {
  return std::string(static_cast<const char*>(data), size);
}

inline std::string Text(std::string_view s) {
  const uint32_t size = static_cast<uint32_t>(s.size());
  return "X" + Raw(&size, 4) + std::string(s);
}
inline std::string Int(int64_t v) {
  if (v >= 0 && v < 256) return std::string("K") + static_cast<char>(v);
  if (v >= INT32_MIN && v <= INT32_MAX) {
    const int32_t small = static_cast<int32_t>(v);
    return "J" + Raw(&small, 4);
  }
  return std::string("\x8a\x08", 2) + Raw(&v, 8);
}
inline std::string Global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string Tuple(const std::vector<std::string>& items) {
  std::string s = "(";
  for (const std::string& item : items) s += item;
  return s + "t";
}
inline std::string Ints(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t v : values) items.push_back(Int(v));
  return Tuple(items);
}
inline std::string Call(const std::string& callable, const std::string& arguments) {
  return callable + arguments + "R";
}
inline std::string OrderedDict() { return Call(Global("collections", "OrderedDict"), ")"); }
inline std::string Dict(const std::vector<std::pair<std::string, std::string>>& items,
                        const std::string& empty = "}") {
  std::string s = empty + "(";
  for (const auto& [key, value] : items) s += Text(key) + value;
  return s + "u";
}
inline std::string Storage(const std::string& type, const std::string& key, int64_t elements,
                           const std::string& view = "") {
  return Tuple({Text("storage"), Global("torch", type), Text(key), Text("cpu"), Int(elements),
                view}) +
         "Q";
}
/// _rebuild_tensor_v2 of a storage.
inline std::string Tensor(const std::string& storage, int64_t offset,
                          const std::vector<int64_t>& shape, const std::vector<int64_t>& strides) {
  return Call(Global("torch._utils", "_rebuild_tensor_v2"),
              Tuple({storage, Int(offset), Ints(shape), Ints(strides), "\x89", OrderedDict()}));
}
inline std::string Finish(const std::string& value) { return "\x80\x02" + value + "."; }

}  // namespace pickle

class ZipBuilder {
 public:
  /// With `deflate` the data is compressed.
  void Add(const std::string& name, const std::string& data, bool deflate = false) {
    std::string stored = data;
    if (deflate) stored = Deflate(data);
    const uint32_t crc = Crc32({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
    std::string common;  // From the version needed to the extra field's length.
    const auto u16 = [&](uint32_t v) { common.append(reinterpret_cast<const char*>(&v), 2); };
    const auto u32 = [&](uint32_t v) { common.append(reinterpret_cast<const char*>(&v), 4); };
    u16(20);
    u16(0);
    u16(deflate ? 8 : 0);
    u32(0);
    u32(crc);
    u32(static_cast<uint32_t>(stored.size()));
    u32(static_cast<uint32_t>(data.size()));
    u16(static_cast<uint32_t>(name.size()));
    u16(0);
    const uint32_t offset = static_cast<uint32_t>(file_.size());
    file_.append("PK\3\4").append(common).append(name).append(stored);
    // Version made by in front; comment length, disk, internal and external attributes (ten bytes)
    // behind.
    directory_ += std::string("PK\1\2\x14", 5) + std::string(1, '\0') + common +
                  std::string(10, '\0') + pickle::Raw(&offset, 4) + name;
    ++count_;
  }

  std::string Build(const std::string& comment = "") const {
    std::string end = std::string("PK\5\6") + std::string(4, '\0');
    const uint16_t count = static_cast<uint16_t>(count_),
                   comment_size = static_cast<uint16_t>(comment.size());
    const uint32_t size = static_cast<uint32_t>(directory_.size()),
                   offset = static_cast<uint32_t>(file_.size());
    end += pickle::Raw(&count, 2) + pickle::Raw(&count, 2) + pickle::Raw(&size, 4) +
           pickle::Raw(&offset, 4) + pickle::Raw(&comment_size, 2);
    return file_ + directory_ + end + comment;
  }

 private:
  static std::string Deflate(const std::string& data) {
    z_stream stream{};
    deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&stream, static_cast<uLong>(data.size())), '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
  }

  std::string file_, directory_;
  int count_ = 0;
};

/// Storages by key with their bytes, in the order of the keys.
using StorageBytes = std::map<std::string, std::string>;

inline std::string FloatBytes(const std::vector<float>& values) {
  return pickle::Raw(values.data(), values.size() * sizeof(float));
}

/// `object` is the pickled value without PROTO and STOP.
inline std::string ZipCheckpoint(const std::string& object, const StorageBytes& storages,
                                 bool deflate = false) {
  ZipBuilder zip;
  zip.Add("archive/data.pkl", pickle::Finish(object), deflate);
  zip.Add("archive/byteorder", "little");
  for (const auto& [key, bytes] : storages) zip.Add("archive/data/" + key, bytes, deflate);
  zip.Add("archive/version", "3\n");
  return zip.Build();
}

/// `element_size` is that of all storages.
inline std::string LegacyCheckpoint(const std::string& object, const StorageBytes& storages,
                                    int64_t element_size = 4) {
  using namespace pickle;  // NOLINT: its pieces.
  std::string file = Finish(std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12)) +
                     Finish(Int(1001)) +
                     Finish(Dict({{"protocol_version", Int(1001)}, {"little_endian", "\x88"}})) +
                     Finish(object);
  std::string keys = "](";
  for (const auto& [key, bytes] : storages) keys += Text(key);
  file += Finish(keys + "e");
  for (const auto& [key, bytes] : storages) {
    const int64_t elements = static_cast<int64_t>(bytes.size()) / element_size;
    file += Raw(&elements, 8) + bytes;
  }
  return file;
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_PYTORCH_BUILDER_H_
