// JSON, written by hand for one tensor a line and for numbers with the fewest digits that give the
// same number again.
#include "converter/calibrate/table_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include "converter/import/json_reader.h"
#include "formats/base/file.h"
#include "formats/base/fnv1a.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/model/octet_file.h"
#include "formats/model/preprocessing.h"

namespace octet {
namespace {

using nlohmann::json;

constexpr int64_t kMaxTableBytes = int64_t{64} << 20;

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string Hex(uint64_t v) {
  char digits[16];
  const std::string_view text(digits, std::to_chars(digits, digits + sizeof(digits), v, 16).ptr);
  return std::string(sizeof(digits) - text.size(), '0').append(text);
}

/// [min, max], finite and in order.
bool ReadRange(const json& value, Range* range) {
  if (!value.is_array() || value.size() != 2 || !value[0].is_number() || !value[1].is_number())
    return false;
  *range = {value[0].get<float>(), value[1].get<float>()};
  return std::isfinite(range->min) && std::isfinite(range->max) && range->min <= range->max;
}

Result<CalibrationTable> ReadTable(const json& root, const std::string& path) {
  JsonReader reader(root, path, {"version", "method", "samples", "ranges"});
  CalibrationTable table;
  int version = 0;
  reader.Need("version");
  reader.Integer("version", 1, 1, &version);
  reader.Need("method");
  reader.String("method", &table.method);
  reader.Need("samples");
  reader.Integer("samples", 1, std::numeric_limits<int>::max(), &table.samples);
  const json* ranges = reader.Need("ranges");
  if (ranges != nullptr && !ranges->is_object()) reader.Fail("ranges", "is not an object");
  OCTET_RETURN_IF_ERROR(reader.status());
  for (const auto& [name, value] : ranges->items()) {
    if (!ReadRange(value, &table.ranges[name])) {
      return Corrupt(StrCat(path, ": range of '", name, "' is ", Dump(value),
                            ", expected [min, max], finite and in order"));
    }
  }
  return table;
}

/// The counts of a histogram's bins from the lowest on; -n stands for n empty ones.
Result<std::vector<int64_t>> ReadCounts(const json& value) {
  std::vector<int64_t> counts;
  if (!value.is_array()) return InvalidArgument("has no list of counts");
  for (const json& one : value) {
    const bool fits =
        one.is_number_integer() && (!one.is_number_unsigned() || one.get<uint64_t>() <= INT64_MAX);
    const int64_t n = fits ? one.get<int64_t>() : 0;
    if (n == 0 || n < -Histogram::kBins)
      return InvalidArgument(StrCat("has the count ", Dump(one), ", expected whole numbers"));
    if (n > 0) {
      counts.push_back(n);
    } else {
      counts.resize(counts.size() + static_cast<size_t>(-n), 0);
    }
    if (counts.size() > Histogram::kBins)
      return InvalidArgument(StrCat("has more than ", Histogram::kBins, " bins"));
  }
  return counts;
}

Result<ActivationStatistics> ReadTensor(const json& value, const std::string& where, bool counts) {
  JsonReader reader(value, where, {"halves", "log2_limit", "counts"});
  ActivationStatistics tensor;
  const json* halves = reader.Need("halves");
  OCTET_RETURN_IF_ERROR(reader.status());
  for (size_t i = 0; i < tensor.halves.size(); ++i) {
    Range& half = tensor.halves[i];
    if (!halves->is_array() || halves->size() != tensor.halves.size() ||
        !ReadRange((*halves)[i], &half) || half.min > 0.0f || half.max < 0.0f)
      reader.Fail("halves", "is not two of [min, max] around 0");
  }
  if (!counts) {
    for (const char* key : {"log2_limit", "counts"})
      if (value.contains(key)) reader.Fail(key, "goes with the method percentile");
    OCTET_RETURN_IF_ERROR(reader.status());
    return tensor;
  }
  int log2_limit = 0;
  reader.Need("log2_limit");
  reader.Integer("log2_limit", Histogram::kMinLog2Limit, Histogram::kMaxLog2Limit, &log2_limit);
  const json* list = reader.Need("counts");
  OCTET_RETURN_IF_ERROR(reader.status());
  Result<std::vector<int64_t>> read = ReadCounts(*list);
  if (!read.ok()) return Status(read.status()).WithContext(where);
  Result<Histogram> histogram = Histogram::FromCounts(log2_limit, std::move(read).value());
  if (!histogram.ok()) return Status(histogram.status()).WithContext(where);
  tensor.histogram = std::move(histogram).value();
  return tensor;
}

uint64_t ReadFingerprint(JsonReader* reader, const char* key) {
  std::string text;
  reader->Need(key);
  reader->String(key, &text);
  uint64_t v = 0;
  const char* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, v, 16);
  if (error != std::errc() || at != end || Hex(v) != text)
    reader->Fail(key, "is not 16 hexadecimal digits");
  return v;
}

Result<CalibrationPart> ReadPart(const json& root, const std::string& path) {
  JsonReader reader(root, path,
                    {"version", "shard", "whole_samples", "network", "data", "method", "percentile",
                     "fast_decode", "samples", "input", "hashes", "tensors"});
  CalibrationPart part;
  constexpr int kMost = std::numeric_limits<int>::max();
  int version = 0, samples = 0;
  reader.Need("version");
  reader.Integer("version", 1, 1, &version);
  std::string shard;
  reader.Need("shard");
  reader.String("shard", &shard);
  reader.Need("whole_samples");
  reader.Integer("whole_samples", 1, kMost, &part.whole_samples);
  part.network = ReadFingerprint(&reader, "network");
  reader.Need("data");
  reader.String("data", &part.data);
  reader.Need("method");
  reader.Choice("method", kCalibrationMethodNames, &part.method);
  const bool counts = part.method == CalibrationMethod::kPercentile;
  if (counts) {
    const json* percentile = reader.Need("percentile");
    part.percentile =
        percentile != nullptr && percentile->is_number() ? percentile->get<double>() : 0.0;
    if (!(part.percentile > 50.0 && part.percentile <= 100.0))
      reader.Fail("percentile", "is not a number above 50 and at most 100");
  } else if (reader.Find("percentile") != nullptr) {
    reader.Fail("percentile", "goes with the method percentile");
  }
  reader.Need("fast_decode");
  reader.Bool("fast_decode", &part.fast_decode);
  reader.Need("samples");
  reader.Integer("samples", 0, kMost, &samples);
  const json* input = reader.Need("input");
  const json* hashes = reader.Need("hashes");
  const json* tensors = reader.Need("tensors");
  OCTET_RETURN_IF_ERROR(reader.status());
  const Result<Shard> parsed = ParseShard(shard);
  if (!parsed.ok()) return Status(parsed.status()).WithContext(path);
  part.shard = *parsed;
  if (samples != part.samples()) {
    reader.Fail("samples", StrCat("is ", samples, ", expected ", part.samples(), " in shard ",
                                  shard, " of ", part.whole_samples));
  }
  SampleWatch watch;
  Range range{watch.range().min, watch.range().max};
  if (samples == 0 ? !input->is_null() : !ReadRange(*input, &range))
    reader.Fail("input", "is not [min, max] of the samples");
  std::set<uint64_t> different;
  if (hashes->is_array()) {
    for (const json& hash : *hashes)
      if (hash.is_number_unsigned()) different.insert(hash.get<uint64_t>());
  }
  if (!hashes->is_array() || different.size() != hashes->size() ||
      std::ssize(different) > samples || different.empty() != (samples == 0))
    reader.Fail("hashes", "is not a list of the different samples' hashes");
  if (!tensors->is_object() || tensors->empty() != (samples == 0))
    reader.Fail("tensors", "is not an object of the samples' tensors");
  OCTET_RETURN_IF_ERROR(reader.status());
  part.watch = SampleWatch(samples, {range.min, range.max}, std::move(different));
  part.statistics.samples = samples;
  for (const auto& [name, value] : tensors->items()) {
    OCTET_ASSIGN_OR_RETURN(part.statistics.tensors[name],
                           ReadTensor(value, StrCat(path, ": tensor '", name, "'"), counts));
  }
  return part;
}

template <typename Number>
std::string Text(Number v) {
  char text[32];
  return std::string(text, std::to_chars(text, text + sizeof(text), v).ptr);
}

std::string Text(const Range& r) { return StrCat("[", Text(r.min), ", ", Text(r.max), "]"); }

std::string CountsText(std::span<const int64_t> counts) {
  std::string text;
  int64_t empty = 0;
  for (const int64_t count : counts) {
    if (count == 0) {
      ++empty;
      continue;
    }
    if (empty > 0) text += StrCat(text.empty() ? "" : ",", -empty);
    text += StrCat(text.empty() ? "" : ",", count);
    empty = 0;
  }
  return text;
}

Status Write(const std::string& path, const std::string& text) {
  return WriteFileAtomically(path, std::as_bytes(std::span(text.data(), text.size())));
}

/// What parts of one calibration have in common, for people.
std::array<std::string, 5> CommonOf(const CalibrationPart& p) {
  std::string method(NameOf(kCalibrationMethodNames, p.method));
  if (p.method == CalibrationMethod::kPercentile) method += " " + Text(p.percentile);
  return {StrCat("of the network ", Hex(p.network)), StrCat("of the data ", p.data),
          StrCat("of ", p.whole_samples, " samples"), "by " + method,
          p.fast_decode ? "decoded fast" : "decoded in full"};
}

}  // namespace

Result<uint64_t> FingerprintOfNetwork(Graph graph) {
  graph.metadata.name.clear();
  graph.metadata.source.clear();
  graph.metadata.options.clear();
  graph.metadata.labels.clear();
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(graph, Golden()));
  uint64_t hash = kFnv1aStart;
  for (const std::byte b : bytes) hash = Fnv1a(hash, static_cast<uint8_t>(b));
  return hash;
}

Result<std::variant<CalibrationTable, CalibrationPart>> ReadCalibrationFile(
    const std::string& path) {
  using File = std::variant<CalibrationTable, CalibrationPart>;
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxTableBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  OCTET_ASSIGN_OR_RETURN(const json root, ParseJson(text, path));
  if (root.is_object() && root.contains("shard")) {
    OCTET_ASSIGN_OR_RETURN(CalibrationPart part, ReadPart(root, path));
    return File(std::move(part));
  }
  OCTET_ASSIGN_OR_RETURN(CalibrationTable table, ReadTable(root, path));
  return File(std::move(table));
}

Status WriteCalibrationTable(const std::string& path, const CalibrationTable& table) {
  std::string text = StrCat("{\n  \"version\": 1,\n  \"method\": ", Dump(table.method),
                            ",\n  \"samples\": ", table.samples, ",\n  \"ranges\": {");
  const char* separator = "\n";
  for (const auto& [name, range] : table.ranges) {
    if (!std::isfinite(range.min) || !std::isfinite(range.max)) {
      return InvalidArgument(StrCat("range of '", name, "' is [", range.min, ", ", range.max,
                                    "], expected finite numbers"));
    }
    text += StrCat(separator, "    ", Dump(name), ": ", Text(range));
    separator = ",\n";
  }
  text += "\n  }\n}\n";
  return Write(path, text);
}

Status WriteCalibrationPart(const std::string& path, const CalibrationPart& part) {
  const CalibrationStatistics& statistics = part.statistics;
  std::string text =
      StrCat("{\n  \"version\": 1,\n  \"shard\": ", Dump(part.shard.Text()),
             ",\n  \"whole_samples\": ", part.whole_samples,
             ",\n  \"network\": ", Dump(Hex(part.network)), ",\n  \"data\": ", Dump(part.data),
             ",\n  \"method\": \"", NameOf(kCalibrationMethodNames, part.method), "\"");
  if (part.method == CalibrationMethod::kPercentile)
    text += StrCat(",\n  \"percentile\": ", Text(part.percentile));
  const ValueRange& input = part.watch.range();
  text += StrCat(",\n  \"fast_decode\": ", part.fast_decode ? "true" : "false",
                 ",\n  \"samples\": ", statistics.samples, ",\n  \"input\": ",
                 statistics.samples > 0 ? Text(Range{input.min, input.max}) : "null",
                 ",\n  \"hashes\": [");
  const char* separator = "";
  for (const uint64_t hash : part.watch.hashes()) {
    text += StrCat(separator, hash);
    separator = ",";
  }
  text += "],\n  \"tensors\": {";
  separator = "\n";
  for (const auto& [name, tensor] : statistics.tensors) {
    text += StrCat(separator, "    ", Dump(name), ": {\"halves\": [", Text(tensor.halves[0]), ", ",
                   Text(tensor.halves[1]), "]");
    if (tensor.histogram) {
      text += StrCat(", \"log2_limit\": ", tensor.histogram->log2_limit(), ", \"counts\": [",
                     CountsText(tensor.histogram->counts()), "]");
    }
    text += "}";
    separator = ",\n";
  }
  text += "\n  }\n}\n";
  if (std::ssize(text) > kMaxTableBytes) {
    return InvalidArgument(StrCat(path, ": the shard's table takes ", text.size(),
                                  " bytes, at most ", kMaxTableBytes,
                                  " are read; take fewer samples or more shards"));
  }
  return Write(path, text);
}

Result<MergedTable> ReadCalibrationTables(const std::vector<std::string>& paths,
                                          const Graph& float_graph) {
  CalibrationPart all;
  std::vector<ShardFile> places;
  for (const std::string& path : paths) {
    OCTET_ASSIGN_OR_RETURN(auto file, ReadCalibrationFile(path));
    if (CalibrationTable* table = std::get_if<CalibrationTable>(&file)) {
      if (paths.size() == 1) return MergedTable{std::move(*table), std::nullopt};
      return InvalidArgument(StrCat(path,
                                    ": is a whole calibration table, expected parts, of "
                                    "which several make one, or it alone"));
    }
    CalibrationPart& part = std::get<CalibrationPart>(file);
    places.push_back({part.shard, path});
    if (places.size() == 1) {
      OCTET_ASSIGN_OR_RETURN(const uint64_t network, FingerprintOfNetwork(float_graph));
      if (part.network != network) {
        return InvalidArgument(StrCat(path, ": is a part of a calibration of the network ",
                                      Hex(part.network), ", expected ", Hex(network),
                                      ", this one with this preprocessing"));
      }
      all = std::move(part);
      continue;
    }
    const auto common = CommonOf(part), expected = CommonOf(all);
    for (size_t i = 0; i < common.size(); ++i) {
      if (common[i] == expected[i]) continue;
      return InvalidArgument(StrCat(path, ": is ", common[i], ", ", places[0].path, " ",
                                    expected[i], "; expected parts of one calibration"));
    }
    // More than there are overlap.
    if (part.statistics.samples > all.whole_samples - all.statistics.samples) continue;
    OCTET_RETURN_IF_ERROR(all.statistics.Merge(part.statistics).WithContext(path));
    all.watch.Merge(part.watch);
  }
  OCTET_RETURN_IF_ERROR(CheckShards("calibration tables", &places));
  CalibrationOptions options;
  options.method = all.method;
  options.percentile = all.percentile;
  MergedTable merged;
  OCTET_ASSIGN_OR_RETURN(merged.table, TableOf(float_graph, all.statistics, options));
  merged.watch = std::move(all.watch);
  return merged;
}

}  // namespace octet
