// Reading and writing .octet files. SPEC.md beside this folder gives the format byte by byte.
#ifndef OCTET_FORMATS_MODEL_OCTET_FILE_H_
#define OCTET_FORMATS_MODEL_OCTET_FILE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "formats/base/file.h"
#include "formats/base/status.h"
#include "formats/model/checksum.h"
#include "formats/model/graph.h"

namespace octet {

/// A known input and the output it must give. The input is not stored but generated from `seed`
/// (GenerateGoldenInput), which keeps it at 8 bytes.
struct Golden {
  uint64_t seed = 0;
  std::vector<float> output;  ///< Of the first output for one image; empty = the file has none. u8
                              ///< outputs as numbers.
};

/// Fills `out` with the golden input: SplitMix64(seed) drawn per element, top 8 bits p. u8 inputs:
/// p itself; float inputs: (p - 128) / 64.
void GenerateGoldenInput(uint64_t seed, std::span<uint8_t> out);
void GenerateGoldenInput(uint64_t seed, std::span<int16_t> out);
void GenerateGoldenInput(uint64_t seed, std::span<float> out);

struct OctetFile {
  Graph graph;
  Golden golden;
  int64_t file_size = 0;
};

struct ReadOptions {
  /// Off saves one pass over the weights; structure is always validated.
  bool verify_checksum = true;
  decltype(&ChecksumAround) checksum = &ChecksumAround;  ///< By which it is verified.
  /// Constants point into a copy, not into the mapped file or the caller's memory.
  bool copy = false;
  bool lock = false;  ///< The copy is locked in memory.
  /// Bytes of the copy and of the decoded tables.
  int64_t max_memory = std::numeric_limits<int64_t>::max();
  int64_t max_nodes = std::numeric_limits<int64_t>::max();
};

/// Maps or copies `path` and validates everything before returning. Constants point into the
/// mapping or copy, which lives as long as any of them. Errors: kNotFound, kIo, kCorrupt (names the
/// field, what was found, what was expected), kUnsupported (version, required feature, max_nodes),
/// kOutOfMemory (max_memory; no memory for the copy, or it cannot be locked).
Result<OctetFile> ReadOctetFile(const std::string& path, const ReadOptions& options = {});

/// The same from memory, which, unless it is copied, must be 64-byte aligned and outlive the graph
/// or be kept by `owner`.
Result<OctetFile> ReadOctetBytes(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner,
                                 const ReadOptions& options = {});

/// The file's bytes; packs weights on the way. Same inputs, same bytes. Errors: kInvalidArgument
/// from ValidateGraph.
Result<std::vector<std::byte>> SerializeOctet(const Graph& graph, const Golden& golden);

/// Serializes, and replaces `path` as WriteFileAtomically does.
Status WriteOctetFile(const std::string& path, const Graph& graph, const Golden& golden);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_OCTET_FILE_H_
