// Networks with deterministic weights, converted in memory.
#ifndef OCTET_BENCH_SYNTHETIC_MODEL_H_
#define OCTET_BENCH_SYNTHETIC_MODEL_H_

#include <memory>
#include <string>

#include "converter/calibrate/calibration.h"
#include "engine/include/octet/octet.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet::bench {

/// A float network that ships as a graph description, with weights drawn from a fixed seed, optimized and calibrated on two smooth
/// synthetic images.
struct SyntheticNetwork {
  Graph graph;
  CalibrationTable table;
};
Result<SyntheticNetwork> MakeSyntheticNetwork(const std::string& description);

/// The network in one precision, through the bytes of a file as a user would have it.
Result<std::shared_ptr<const Model>> ConvertInMemory(const SyntheticNetwork& network, Precision precision);

}  // namespace octet::bench

#endif  // OCTET_BENCH_SYNTHETIC_MODEL_H_
