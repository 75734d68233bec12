// protozero's reader with the checks that protozero leaves to asserts: a field of another wire type
// than the getter's is an error of the file, not of the program. Messages are read as lists of
// fields: ReadFields(bytes, Field(1, &name), Field(3, [&](ProtoReader& r) { ... })).
#ifndef OCTET_CONVERTER_IMPORT_PROTO_READER_H_
#define OCTET_CONVERTER_IMPORT_PROTO_READER_H_

#include <cstdint>
#include <protozero/pbf_reader.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace octet {

/// Every member throws a protozero::exception on malformed bytes.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : reader_(bytes.data(), bytes.size()) {}

  bool Next() { return reader_.next(); }
  uint32_t tag() const { return reader_.tag(); }
  void Skip() { reader_.skip(); }

  /// A string, or a message still serialized.
  std::string_view View() {
    Expect(protozero::pbf_wire_type::length_delimited);
    const auto view = reader_.get_view();
    return {view.data(), view.size()};
  }
  int64_t Int() {  // Any of int32, int64, enum, bool.
    Expect(protozero::pbf_wire_type::varint);
    return reader_.get_int64();
  }
  uint32_t Fixed32() {
    Expect(protozero::pbf_wire_type::fixed32);
    return reader_.get_fixed32();
  }
  float Float() {
    Expect(protozero::pbf_wire_type::fixed32);
    return reader_.get_float();
  }

  // Repeated numbers come packed or one by one; both must be read.
  template <typename F>
  void ForEachInt(const F& f) {
    if (!packed()) return f(Int());
    for (const int64_t v : reader_.get_packed_int64()) f(v);
  }
  template <typename F>
  void ForEachFloat(const F& f) {
    if (!packed()) return f(Float());
    for (const float v : reader_.get_packed_float()) f(v);
  }
  template <typename F>
  void ForEachDouble(const F& f) {
    if (!packed()) {
      Expect(protozero::pbf_wire_type::fixed64);
      return f(reader_.get_double());
    }
    for (const double v : reader_.get_packed_double()) f(v);
  }

 private:
  bool packed() const { return reader_.wire_type() == protozero::pbf_wire_type::length_delimited; }
  void Expect(protozero::pbf_wire_type type) const {
    if (reader_.wire_type() != type) throw protozero::unknown_pbf_wire_type_exception{};
  }

  protozero::pbf_reader reader_;
};

// What a field's value becomes.
inline void ReadField(ProtoReader& r, std::string_view* to) { *to = r.View(); }
inline void ReadField(ProtoReader& r, std::string* to) { *to = r.View(); }
inline void ReadField(ProtoReader& r, float* to) { *to = r.Float(); }
inline void ReadField(ProtoReader& r, bool* to) { *to = r.Int() != 0; }
template <typename T>
requires(std::is_integral_v<T> || std::is_enum_v<T>) void ReadField(ProtoReader& r, T* to) {
  *to = static_cast<T>(r.Int());
}
inline void ReadField(ProtoReader& r, std::vector<std::string_view>* to) {
  to->push_back(r.View());
}
inline void ReadField(ProtoReader& r, std::vector<int64_t>* to) {
  r.ForEachInt([&](int64_t v) { to->push_back(v); });
}
inline void ReadField(ProtoReader& r, std::vector<float>* to) {
  r.ForEachFloat([&](float v) { to->push_back(v); });
}
inline void ReadField(ProtoReader& r, std::vector<double>* to) {
  r.ForEachDouble([&](double v) { to->push_back(v); });
}

/// A field's number, and where its value goes or what is called with the reader standing at it.
template <typename F>
struct Field {
  Field(uint32_t n, F f) : number(n), to(std::move(f)) {}

  void Read(ProtoReader& reader) const {
    if constexpr (std::is_pointer_v<F>) {
      ReadField(reader, to);
    } else {
      to(reader);
    }
  }

  uint32_t number;
  F to;
};

/// Reads the fields that are listed and skips the others.
template <typename... Fields>
void ReadFields(std::string_view bytes, const Fields&... fields) {
  for (ProtoReader reader(bytes); reader.Next();) {
    const bool known = ((fields.number == reader.tag() && (fields.Read(reader), true)) || ...);
    if (!known) reader.Skip();
  }
}

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_PROTO_READER_H_
