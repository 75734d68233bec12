// The JSON of a Keras model: a layer's configuration, of which every key is read, known to be
// harmless, or refused.
#ifndef OCTET_CONVERTER_IMPORT_KERAS_CONFIG_H_
#define OCTET_CONVERTER_IMPORT_KERAS_CONFIG_H_

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/builder/understood.h"
#include "formats/base/status.h"

namespace octet {

/// The string at `key`, or "" when there is none.
std::string KerasText(const nlohmann::json& object, const char* key);
/// The value at `key`, or null.
const nlohmann::json& KerasMember(const nlohmann::json& object, const char* key);
/// A value for messages: short, on one line.
std::string KerasShow(const nlohmann::json& value);
/// Whole numbers, which some writers give as floats. Errors: kCorrupt names `key`.
Result<int64_t> KerasInteger(const nlohmann::json& value, const char* key, int64_t low,
                             int64_t high);

/// Numbers in any nesting: lists, or NumPy arrays and tensors as Keras 3 writes them.
struct KerasNumbers {
  std::vector<int64_t> dims;
  std::vector<float> values;
};
Result<KerasNumbers> ReadKerasNumbers(const nlohmann::json& value, const char* key);

/// OkStatus where `object` (a layer, model or activation) is a class of Keras itself, as far as its
/// module and registered name say. Errors: kUnsupported.
Status CheckKerasOrigin(const nlohmann::json& object);

/// A configuration with checked access to the keys that `keys` lists as read.
class KerasConfig {
 public:
  /// Both must outlive the result.
  KerasConfig(const nlohmann::json& config, const Understood& keys)
      : config_(config), keys_(keys) {}

  /// kUnsupported where a key is neither read nor harmless, or does not have the value honoured.
  Status Check() const;
  /// kInternal where the handler did not look at a key that is there and that it declares.
  Status CheckAllRead() const;

  bool Has(const char* key) const { return !Raw(key).is_null(); }
  const nlohmann::json& Raw(const char* key) const;
  std::string String(const char* key, const char* otherwise) const;
  Result<bool> Bool(const char* key, bool otherwise) const;
  Result<int64_t> Integer(const char* key, int64_t otherwise, int64_t low, int64_t high) const;
  Result<double> Number(const char* key, double otherwise) const;
  /// One number for both, or a pair.
  Result<std::array<int64_t, 2>> Pair(const char* key, int64_t otherwise) const;
  /// One axis or a list of them, of `rank` dimensions, sorted; nothing given is an empty list.
  Result<std::vector<int64_t>> Axes(const char* key, int64_t rank) const;

 private:
  const nlohmann::json& config_;
  const Understood& keys_;
  mutable std::set<std::string, std::less<>> seen_;
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_KERAS_CONFIG_H_
