// The part of HDF5 that Keras writes, read strictly from bytes in memory.
//
// The HDF5 library is not used: it is large, its releases are known to crash and to hang on damaged
// files, and it would have to be fenced off in a process of its own. What Keras (h5py) writes is a
// small part of the format: groups, attributes of numbers and strings, and contiguous arrays.
// Everything else is refused by name.
#ifndef OCTET_CONVERTER_IMPORT_KERAS_HDF5_READER_H_
#define OCTET_CONVERTER_IMPORT_KERAS_HDF5_READER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Element type of a dataset or attribute.
struct Hdf5Type {
  enum class Kind {
    kFloat,       ///< IEEE little-endian of `size` 2, 4 or 8 bytes.
    kInteger,     ///< Little-endian.
    kString,      ///< Of `size` bytes each.
    kTextVector,  ///< Variable-length strings in the global heap.
    kOther,
  };
  Kind kind = Kind::kOther;
  uint32_t size = 0;  ///< Bytes of an element in the file.
};

/// An array in the file.
struct Hdf5Array {
  Hdf5Type type;
  std::vector<int64_t> shape;       ///< Empty for a scalar.
  std::span<const std::byte> data;  ///< Elements times size bytes.
  std::string problem;              ///< Not empty: why the data cannot be had (compression, ...).

  int64_t elements() const;  ///< Checked when the file was read: it fits.
};

/// A group or a dataset.
struct Hdf5Object {
  bool is_dataset = false;
  Hdf5Array dataset;
  std::map<std::string, Hdf5Array, std::less<>> attributes;
  std::map<std::string, std::unique_ptr<Hdf5Object>, std::less<>> children;

  /// The object at "a/b/c" below this one, or null.
  const Hdf5Object* Find(std::string_view path) const;
  const Hdf5Array* Attribute(std::string_view name) const;
};

class Hdf5GlobalHeap;

/// A file read as a whole: its tree, whose arrays are parts of the bytes.
class Hdf5File {
 public:
  /// `bytes` must outlive the file. Errors: kCorrupt (place, what is wrong), kUnsupported (part of
  /// HDF5 that Keras does not use).
  static Result<Hdf5File> Read(std::span<const std::byte> bytes);

  const Hdf5Object& root() const { return *root_; }

  /// An array of fixed or variable-length strings. Errors: kCorrupt, kUnsupported (other types).
  Result<std::vector<std::string>> Strings(const Hdf5Array& array) const;

  /// An array of floats of any size, as float32. Errors: kUnsupported (other types, compressed
  /// data).
  static Result<std::vector<float>> Floats(const Hdf5Array& array);

 private:
  std::unique_ptr<Hdf5Object> root_;
  std::shared_ptr<Hdf5GlobalHeap> heap_;  ///< Indexed as strings are read.
};

}  // namespace octet

#endif  // OCTET_CONVERTER_IMPORT_KERAS_HDF5_READER_H_
