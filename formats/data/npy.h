// NumPy's .npy files.
#ifndef OCTET_FORMATS_DATA_NPY_H_
#define OCTET_FORMATS_DATA_NPY_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/base/file.h"
#include "formats/base/status.h"

namespace octet {

/// Element types that are read; little-endian.
enum class NpyType { kU8, kI8, kI32, kI64, kF16, kF32, kF64, kI16 };
int64_t NpyTypeSize(NpyType type);      ///< Bytes.
const char* NpyTypeName(NpyType type);  ///< As NumPy prints it: "uint8", "float32", ...

struct NpyHeader {
  NpyType type = NpyType::kF32;
  std::vector<int64_t> shape;  ///< Outermost first, at most 8 dimensions; empty = a scalar.
  int64_t elements = 0;        ///< Product of the shape.
  int64_t data_offset = 0;     ///< In the file, bytes.

  int64_t data_bytes() const { return elements * NpyTypeSize(type); }
};

/// Parses the header at the beginning of `bytes` (the first 64 KiB of a file suffice). Versions 1
/// to 3, C order. Errors: kCorrupt, kUnsupported (Fortran order, big-endian, other element types).
Result<NpyHeader> ParseNpyHeader(std::span<const uint8_t> bytes);

/// Whether the bytes begin with the format's magic string.
bool LooksLikeNpy(std::span<const uint8_t> bytes);

/// An open file whose size agrees with its header; reads any part of the array.
class NpyReader {
 public:
  /// Errors: as ParseNpyHeader with the path in front; kCorrupt when data is missing or left over;
  /// kNotFound, kIo.
  static Result<NpyReader> Open(const std::string& path);

  const NpyHeader& header() const { return header_; }

  /// Copies `count` elements from index `first` on in their stored type; `out` has count *
  /// NpyTypeSize bytes.
  Status Read(int64_t first, int64_t count, void* out) const;

  /// The same, converted to float32 (exact for all types but int32, int64 and float64).
  Status ReadFloats(int64_t first, int64_t count, float* out) const;

  /// The same for integer types. Errors: kInvalidArgument for the others.
  Status ReadInts(int64_t first, int64_t count, int64_t* out) const;

 private:
  NpyReader(InputFile file, NpyHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}

  InputFile file_;
  NpyHeader header_;
};

/// The whole array as float32. Errors: as NpyReader, and kInvalidArgument above `max_elements`.
struct NpyFloats {
  std::vector<int64_t> shape;
  std::vector<float> values;
};
Result<NpyFloats> ReadNpyFloats(const std::string& path, int64_t max_elements = int64_t{1} << 30);

/// Replaces `path` atomically with an array in C order. `values` has as many elements as the shape
/// says. Errors: kInvalidArgument when it has not, kIo.
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const float> values);
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const uint8_t> values);
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const int16_t> values);
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const int32_t> values);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_NPY_H_
