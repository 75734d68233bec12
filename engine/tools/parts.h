// Results of shards: files that say what they are a part of, and that add up.
#ifndef OCTET_ENGINE_TOOLS_PARTS_H_
#define OCTET_ENGINE_TOOLS_PARTS_H_

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/tools/histograms.h"
#include "formats/base/status.h"
#include "formats/data/shard.h"

namespace octet {

/// What a part is of. Parts whose identities are the same but for the shard belong together.
struct PartIdentity {
  std::string kind;                                           ///< "score" or "evaluate".
  std::vector<std::string> models;                            ///< SHA-256 of each file.
  std::string data;                                           ///< Dataset::Fingerprint.
  std::vector<std::pair<std::string, std::string>> settings;  ///< What else the result depends on.
  Shard shard;

  /// "score-MODEL-REST-00003-of-00064": digits of the first model's hash, and of a hash of all
  /// else. A result of this name needs no second computation.
  std::string Name() const;
};

/// A part as its file has it.
struct ResultPart {
  std::string path;
  PartIdentity identity;
  nlohmann::ordered_json content;
};

/// The part's file, FOLDER/NAME.json. `content` follows the identity. Errors: kIo.
Status WritePart(const std::string& folder, const PartIdentity& identity,
                 const nlohmann::ordered_json& content);
std::string PartPath(const std::string& folder, const PartIdentity& identity);
/// With those above it. Errors: kIo.
Status MakeFolder(const std::string& path);
/// Errors: kNotFound, kIo, kCorrupt.
Result<ResultPart> ReadPart(const std::string& path);
/// That of this identity, where it has been written. Errors: as above.
Result<ResultPart> ReadPartOf(const std::string& folder, const PartIdentity& identity);

/// Reads files, or those of a folder or pattern, and puts them in order. Errors: those of ReadPart;
/// kInvalidArgument for parts of different runs, overlapping ones and missing ones, naming them.
Result<std::vector<ResultPart>> ReadAllParts(const std::vector<std::string>& paths);

/// Looks up what a part must have. The first thing that is not there, or is of another type, is
/// what status() is about; values are empty then.
class PartFields {
 public:
  PartFields(std::string where, const nlohmann::ordered_json& object)
      : where_(std::move(where)), object_(object) {}

  /// A number of 0 to 2^53.
  int64_t Count(const char* name);
  std::string Text(const char* name);
  bool Flag(const char* name);
  const nlohmann::ordered_json& Array(const char* name);
  MarginHistogram Margins(const char* name);
  LatencyHistogram Latency(const char* name);
  /// Of an array.
  int64_t CountOf(const nlohmann::ordered_json& value, const char* name);
  void Fail(const char* name, const char* expected);

  const Status& status() const { return status_; }

 private:
  const nlohmann::ordered_json* Find(const char* name);

  std::string where_;
  const nlohmann::ordered_json& object_;
  Status status_;
};

nlohmann::ordered_json JsonOf(const MarginHistogram& margins);
nlohmann::ordered_json JsonOf(const LatencyHistogram& latency);

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_PARTS_H_
