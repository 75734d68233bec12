// Writes safetensors files for tests.
#ifndef OCTET_TESTS_UNIT_SAFETENSORS_BUILDER_H_
#define OCTET_TESTS_UNIT_SAFETENSORS_BUILDER_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "converter/import/file_bytes.h"

namespace octet::testing {

/// A header and what follows it.
inline std::string SafetensorsBytes(const std::string& header, const std::string& payload) {
  const uint64_t length = header.size();
  std::string bytes(sizeof(length), '\0');
  std::memcpy(bytes.data(), &length, sizeof(length));
  return bytes + header + payload;
}

class SafetensorsBuilder {
 public:
  template <typename T>
  SafetensorsBuilder& Add(const std::string& name, const std::string& dtype,
                          const std::vector<int64_t>& shape, const std::vector<T>& values) {
    std::string dims;
    for (int64_t d : shape) dims += (dims.empty() ? "" : ",") + std::to_string(d);
    const size_t begin = payload_.size();
    payload_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    entries_ += (entries_.empty() ? "" : ",") + ("\"" + name) + "\":{\"dtype\":\"" + dtype +
                "\",\"shape\":[" + dims + "],\"data_offsets\":[" + std::to_string(begin) + "," +
                std::to_string(payload_.size()) + "]}";
    return *this;
  }
  std::string Build() const { return SafetensorsBytes("{" + entries_ + "}", payload_); }

 private:
  std::string entries_, payload_;
};

/// The bytes as the reader takes them; `bytes` must outlive the result.
inline FileBytes Borrow(const std::string& bytes) {
  return {{reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, nullptr};
}

}  // namespace octet::testing

#endif  // OCTET_TESTS_UNIT_SAFETENSORS_BUILDER_H_
