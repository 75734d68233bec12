// Reading and writing .octet files. SPEC.md beside this folder gives the format byte by byte.
#ifndef OCTET_FORMATS_MODEL_OCTET_FILE_H_
#define OCTET_FORMATS_MODEL_OCTET_FILE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
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
  /// Of these, what is in memory of its own.
  int64_t copied_bytes = 0;
};

/// A file's address must be a multiple of this for its constants to be used in place, but for those
/// of 64 bits, which are copied where theirs is no multiple of 8. Kernels load weights from
/// anywhere; that 16-bit and 32-bit numbers are aligned is C++'s rule.
inline constexpr size_t kFileAlignment = 4;

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

/// The same of `length` bytes from `offset` of an open file, of which a duplicate is closed before
/// the call returns; a length of -1 stands for all up to the end. They are mapped where the offset
/// is a multiple of kFileAlignment, else copied. Errors: also kInvalidArgument for a descriptor
/// that is not open, and for bytes that are not in the file.
Result<OctetFile> ReadOctetDescriptor(int descriptor, int64_t offset, int64_t length,
                                      const ReadOptions& options = {});

/// The same from memory, which, unless it is copied, must be aligned to kFileAlignment and outlive
/// the graph or be kept by `owner`.
Result<OctetFile> ReadOctetBytes(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner,
                                 const ReadOptions& options = {});

/// Fills `out` with the bytes from `offset` on; false when it cannot.
using ReadBytes = std::function<bool(int64_t offset, std::span<std::byte> out)>;

/// The same of `size` bytes that `read` gives, from the first to the last, at most kMostReadAtOnce
/// at a time; always a copy. Errors: kInvalidArgument for a negative size, kIo where `read` fails.
Result<OctetFile> ReadOctetPieces(int64_t size, const ReadBytes& read,
                                  const ReadOptions& options = {});
inline constexpr int64_t kMostReadAtOnce = int64_t{1} << 20;

/// The file's bytes; packs weights on the way. Same inputs, same bytes. Errors: kInvalidArgument
/// from ValidateGraph.
Result<std::vector<std::byte>> SerializeOctet(const Graph& graph, const Golden& golden);

/// Serializes, and replaces `path` as WriteFileAtomically does.
Status WriteOctetFile(const std::string& path, const Graph& graph, const Golden& golden);

}  // namespace octet

#endif  // OCTET_FORMATS_MODEL_OCTET_FILE_H_
