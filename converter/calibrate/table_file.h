// Calibration tables and their parts as files.
#ifndef OCTET_CONVERTER_CALIBRATE_TABLE_FILE_H_
#define OCTET_CONVERTER_CALIBRATE_TABLE_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "converter/calibrate/calibration.h"
#include "converter/calibrate/sample_watch.h"
#include "formats/base/status.h"
#include "formats/data/shard.h"
#include "formats/model/graph.h"

namespace octet {

/// What one shard of the calibration data showed, from which, with the others, the very table of a
/// single run is made, and what those others must have in common with it.
struct CalibrationPart {
  Shard shard;
  int whole_samples = 0;  ///< Of all shards.
  uint64_t network = 0;   ///< FingerprintOfNetwork.
  std::string data;       ///< FingerprintOfData.
  CalibrationMethod method = CalibrationMethod::kMinMax;
  double percentile = CalibrationOptions().percentile;  ///< Of kPercentile.
  bool fast_decode = false;
  CalibrationStatistics statistics;
  SampleWatch watch;

  /// That the shard has.
  int samples() const {
    return static_cast<int>(shard.End(whole_samples) - shard.Begin(whole_samples));
  }
};

/// A hash of all that decides what its activations are: of a float graph before it is quantized,
/// and of what it makes of pixels; not of its names. Errors: those of SerializeOctet.
Result<uint64_t> FingerprintOfNetwork(Graph graph);

/// A file of either kind. Errors: those of ReadFileBytes; kCorrupt and kInvalidArgument, with the
/// path in front.
Result<std::variant<CalibrationTable, CalibrationPart>> ReadCalibrationFile(
    const std::string& path);

/// Whole files or none, the same bytes of the same content. Errors: kInvalidArgument for ranges
/// that are not finite, and for a part that would be too long to be read; kIo.
Status WriteCalibrationTable(const std::string& path, const CalibrationTable& table);
Status WriteCalibrationPart(const std::string& path, const CalibrationPart& part);

struct MergedTable {
  CalibrationTable table;
  std::optional<SampleWatch> watch;  ///< Over all samples; of a table that was read there is none.
};

/// Of one path at least: a table, or all parts of one, in any order, also of different numbers of
/// shards: the table of a single run over the same data. Errors: those of ReadCalibrationFile;
/// kInvalidArgument, with the files' names, for parts that overlap or are missing, and for what is
/// not of one calibration or not of `float_graph`.
Result<MergedTable> ReadCalibrationTables(const std::vector<std::string>& paths,
                                          const Graph& float_graph);

}  // namespace octet

#endif  // OCTET_CONVERTER_CALIBRATE_TABLE_FILE_H_
