// Runs a graph through everything that a user's network goes through (validation, file, planner,
// kernels) and holds the answers against the naive interpreter's.
#ifndef OCTET_TESTS_FUZZ_GRAPH_ORACLE_H_
#define OCTET_TESTS_FUZZ_GRAPH_ORACLE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "formats/model/graph.h"

namespace octet::testing {

/// One way to run a graph.
struct RunMode {
  std::string isa;
  int threads = 1;
  int batch = 1;      ///< 1 to kMaxImages.
  int max_batch = 1;  ///< At least `batch`.
  bool winograd = true;

  std::string ToString() const;
};
inline constexpr int kMaxImages = 3;

class Choices;
/// Two instruction sets out of `isas`, each with one image on one thread and with several images
/// and threads. Those that are slow (the reference and emulated ones) come more rarely.
std::vector<RunMode> ChooseModes(Choices* choices, const Graph& graph,
                                 const std::vector<std::string>& isas);

/// What was run; added up over graphs.
struct Coverage {
  int64_t graphs = 0, unsupported = 0, sessions = 0, runs = 0;
  int64_t exact = 0;    ///< Elements that had to be the interpreter's and were.
  int64_t bounded = 0;  ///< Elements that were within a bound above 0.
  int64_t moved = 0;    ///< uint8 elements among them that were not the interpreter's.
  /// Outputs whose widest bound was at most a thousandth of their largest value, and others, most
  /// of them nearly 0 everywhere.
  int64_t tight = 0, loose = 0;
  std::map<std::string, int64_t> nodes;    ///< "conv2d int8" and so on.
  std::map<std::string, int64_t> kernels;  ///< "avx2 conv_u8_u8", operators in sessions.
  std::map<std::string, int64_t> modes;    ///< "avx2", "2 threads", "batch 3", ...
  std::map<std::string, int64_t> pairs;    ///< Of modes: "avx2 + 2 threads".
  /// "shared tensor", "panel row of a tensor with other readers", ...
  std::map<std::string, int64_t> features;

  void Add(const Coverage& other);
};

/// Precision of a node as the table has it: fp32, fp16, hybrid, int8, u8 to f32; "u8" and "f32" for
/// operators without weights; " tflite" behind integer ones that are rounded so.
std::string NodePrecision(const Graph& graph, const Node& node);

/// Instruction sets that can run on this machine, natively or emulated, the reference among them.
/// With OCTET_TEST_TABLE set, that and the reference.
std::vector<std::string> OracleIsas();

/// Checks `graph` in each mode: it must be valid, survive being written and read, and
/// - integer results must be the interpreter's bit for bit, those of floats within the bound that
/// the
///   interpreter derives (NaiveInterpreter::errors), image by image;
/// - one session must give the same bits again after it has computed other images;
/// - the modes of one instruction set and `winograd` must agree bit for bit, floats too, whatever
///   threads and batch.
/// Inputs are made from `seed`. Returns what is wrong, one line, or "" when all is well. `coverage`
/// may be null.
std::string CheckGraph(const Graph& graph, uint64_t seed, const std::vector<RunMode>& modes,
                       Coverage* coverage);

/// The same when the answers of `expected` are wanted instead, a graph with the same inputs and
/// outputs; for tests of the oracle itself.
std::string CheckGraph(const Graph& graph, const Graph& expected, uint64_t seed,
                       const std::vector<RunMode>& modes, Coverage* coverage);

}  // namespace octet::testing

#endif  // OCTET_TESTS_FUZZ_GRAPH_ORACLE_H_
