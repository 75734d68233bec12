// One number that says whether integers are computed as they were: on another machine, by another
// compiler, before a change.
#ifndef OCTET_BENCH_SIGNATURE_H_
#define OCTET_BENCH_SIGNATURE_H_

#include <cstdint>
#include <set>
#include <string>

#include "formats/base/fnv1a.h"
#include "formats/base/status.h"
#include "formats/model/graph.h"

namespace octet::bench {

struct Signature {
  uint64_t hash = kFnv1aStart;  ///< FNV-1a of all values.
  int networks = 0;
  int64_t values = 0;
  std::set<OpType> operators;  ///< Those that gave some.
};

/// Runs a fixed set of int8 networks (graph_generator.h, by seed: every operator that computes with
/// codes, odd shapes, with and without TFLite's rounding) on batches of two made-up images, each
/// once as it is planned for use and once with every activation as an output, and hashes what they
/// give. Codes, and the floats that are made of codes alone, have the same bits on every
/// instruction set and any number of threads. Errors: those of Session::Create.
Result<Signature> ComputeSignature(const std::string& isa, int num_threads);

}  // namespace octet::bench

#endif  // OCTET_BENCH_SIGNATURE_H_
