// The header is a Python dict, of which the subset that NumPy writes is parsed. The array stays in
// the file: NpyReader reads the elements that are asked for, and converts those of another type in
// pieces through a buffer on the stack. Files are written as version 1.0.
#include "formats/data/npy.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>

#include "formats/base/dtype.h"
#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"

namespace octet {
namespace {

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr size_t kMaxHeaderBytes = 1 << 16;
constexpr size_t kMaxRank = 8;

struct TypeInfo {
  NpyType type;
  const char* descr;
  const char* name;
  int64_t size;
};
constexpr TypeInfo kTypes[] = {
    {NpyType::kU8, "|u1", "uint8", 1},    {NpyType::kI8, "|i1", "int8", 1},
    {NpyType::kI32, "<i4", "int32", 4},   {NpyType::kI64, "<i8", "int64", 8},
    {NpyType::kF16, "<f2", "float16", 2}, {NpyType::kF32, "<f4", "float32", 4},
    {NpyType::kF64, "<f8", "float64", 8}, {NpyType::kI16, "<i2", "int16", 2},
};

const TypeInfo& Info(NpyType type) { return kTypes[static_cast<size_t>(type)]; }

// The header is a Python dictionary literal; this reads exactly the subset that NumPy writes.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  Result<NpyHeader> Parse() {
    NpyHeader header;
    bool have_descr = false, have_order = false, have_shape = false;
    if (!Take('{')) return Fail("'{'");
    while (!Take('}')) {
      std::string_view key;
      if (!TakeString(&key) || !Take(':')) return Fail("a key and ':'");
      bool* have = key == "descr"           ? &have_descr
                   : key == "fortran_order" ? &have_order
                   : key == "shape"         ? &have_shape
                                            : nullptr;
      if (have == nullptr) return Corrupt(StrCat("npy header has the unknown key '", key, "'"));
      if (*have) return Corrupt(StrCat("npy header has the key '", key, "' twice"));
      *have = true;
      if (have == &have_descr) {
        std::string_view descr;
        if (Peek() == '[') return Unsupported("npy file holds records, expected plain numbers");
        if (!TakeString(&descr)) return Fail("a type");
        const TypeInfo* info = FindType(descr);
        if (info == nullptr) {
          return Unsupported(StrCat("npy element type is '", descr,
                                    "', expected one of |u1 |i1 <i4 <i8 <f2 <f4 <f8"));
        }
        header.type = info->type;
      } else if (have == &have_order) {
        if (TakeWord("True")) return Unsupported("npy file is in Fortran order, expected C order");
        if (!TakeWord("False")) return Fail("True or False");
      } else if (!TakeShape(&header.shape)) {
        return Fail("a tuple of at most 8 sizes");
      }
      if (!Take(',') && Peek() != '}') return Fail("',' or '}'");
    }
    SkipSpace();
    if (pos_ != text_.size()) return Fail("the end");
    if (!have_descr || !have_order || !have_shape) {
      return Corrupt("npy header lacks one of descr, fortran_order and shape");
    }
    header.elements = 1;
    int64_t bytes = 0;
    for (int64_t d : header.shape) {
      if (!CheckedMul(header.elements, d, &header.elements)) header.elements = -1;
      if (header.elements < 0) break;
    }
    if (header.elements < 0 || !CheckedMul(header.elements, Info(header.type).size, &bytes)) {
      return Corrupt("npy shape is too large");
    }
    return header;
  }

 private:
  static const TypeInfo* FindType(std::string_view descr) {
    for (const TypeInfo& info : kTypes) {
      if (descr == info.descr) return &info;
      // Byte order has no meaning for one byte, and some writers give one.
      if (info.size == 1 && descr.size() == 3 && descr[0] == '<' &&
          descr.substr(1) == info.descr + 1) {
        return &info;
      }
    }
    return nullptr;
  }

  void SkipSpace() {
    while (pos_ < text_.size() && (text_[pos_] == ' ' || text_[pos_] == '\n')) ++pos_;
  }
  char Peek() {
    SkipSpace();
    return pos_ < text_.size() ? text_[pos_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++pos_;
    return true;
  }
  bool TakeWord(std::string_view word) {
    SkipSpace();
    if (text_.substr(pos_, word.size()) != word) return false;
    pos_ += word.size();
    return true;
  }
  bool TakeString(std::string_view* out) {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return false;
    const size_t end = text_.find(quote, pos_ + 1);
    if (end == std::string_view::npos) return false;
    *out = text_.substr(pos_ + 1, end - pos_ - 1);
    pos_ = end + 1;
    return true;
  }
  bool TakeShape(std::vector<int64_t>* shape) {
    if (!Take('(')) return false;
    while (!Take(')')) {
      int64_t value = 0;
      if (Peek() < '0' || Peek() > '9') return false;
      for (; pos_ < text_.size() && text_[pos_] >= '0' && text_[pos_] <= '9'; ++pos_) {
        if (!CheckedMul(value, 10, &value) || !CheckedAdd(value, text_[pos_] - '0', &value)) {
          return false;
        }
      }
      shape->push_back(value);
      if (shape->size() > kMaxRank) return false;
      if (!Take(',') && Peek() != ')') return false;
    }
    return true;
  }
  Status Fail(const char* expected) {
    return Corrupt(StrCat("npy header at character ", pos_, ": expected ", expected));
  }

  std::string_view text_;
  size_t pos_ = 0;
};

template <typename From, typename To>
void Convert(const uint8_t* in, int64_t n, To* out) {
  for (int64_t i = 0; i < n; ++i) {
    From value;
    std::memcpy(&value, in + i * static_cast<int64_t>(sizeof(From)), sizeof(From));
    out[i] = static_cast<To>(value);
  }
}

// Piece by piece, so that conversions need no second copy of the array.
template <typename To>
Status ReadAs(const NpyReader& reader, int64_t first, int64_t count, To* out) {
  constexpr int64_t kPiece = 4096;
  alignas(8) std::array<uint8_t, kPiece * 8> buffer;
  const uint8_t* in = buffer.data();
  for (int64_t done = 0; done < count; done += kPiece) {
    const int64_t n = std::min(kPiece, count - done);
    OCTET_RETURN_IF_ERROR(reader.Read(first + done, n, buffer.data()));
    To* const to = out + done;
    switch (reader.header().type) {
      case NpyType::kU8:
        Convert<uint8_t>(in, n, to);
        break;
      case NpyType::kI8:
        Convert<int8_t>(in, n, to);
        break;
      case NpyType::kI16:
        Convert<int16_t>(in, n, to);
        break;
      case NpyType::kI32:
        Convert<int32_t>(in, n, to);
        break;
      case NpyType::kI64:
        Convert<int64_t>(in, n, to);
        break;
      case NpyType::kF64:
        Convert<double>(in, n, to);
        break;
      case NpyType::kF32:
        Convert<float>(in, n, to);
        break;
      case NpyType::kF16:
        for (int64_t i = 0; i < n; ++i)
          to[i] =
              static_cast<To>(HalfToFloat(static_cast<uint16_t>(in[2 * i] | in[2 * i + 1] << 8)));
        break;
    }
  }
  return OkStatus();
}

template <typename T>
Status Write(const std::string& path, const std::vector<int64_t>& shape, std::span<const T> values,
             NpyType type) {
  std::string dims;
  int64_t elements = 1;
  for (int64_t d : shape) {
    if (d < 0 || !CheckedMul(elements, d, &elements)) elements = -1;
    if (elements < 0) break;
    dims += std::to_string(d) + (shape.size() == 1 || &d != &shape.back() ? "," : "");
  }
  if (elements < 0 || static_cast<size_t>(elements) != values.size()) {
    return InvalidArgument(
        StrCat(path, ": ", values.size(), " values do not fill the shape (", dims, ")"));
  }
  std::string header = StrCat("{'descr': '", Info(type).descr,
                              "', 'fortran_order': False, 'shape': (", dims, "), }");
  // NumPy pads with spaces and a line end to a multiple of 64, so that the data is aligned.
  const size_t prefix = kMagic.size() + 4;
  header.resize(static_cast<size_t>(RoundUp(static_cast<int64_t>(prefix + header.size() + 1), 64)) -
                    prefix - 1,
                ' ');
  header += '\n';
  std::string bytes(kMagic);
  bytes += {'\x01', '\x00', static_cast<char>(header.size() & 0xff),
            static_cast<char>(header.size() >> 8)};
  bytes += header;
  const size_t data_offset = bytes.size();
  bytes.resize(data_offset + values.size_bytes());
  if (!values.empty()) std::memcpy(bytes.data() + data_offset, values.data(), values.size_bytes());
  return WriteFileAtomically(path, std::as_bytes(std::span<const char>(bytes)));
}

}  // namespace

int64_t NpyTypeSize(NpyType type) { return Info(type).size; }
const char* NpyTypeName(NpyType type) { return Info(type).name; }

bool LooksLikeNpy(std::span<const uint8_t> bytes) {
  return bytes.size() >= kMagic.size() &&
         std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0;
}

Result<NpyHeader> ParseNpyHeader(std::span<const uint8_t> bytes) {
  if (!LooksLikeNpy(bytes)) return Corrupt("not an npy file: wrong magic string");
  if (bytes.size() < 10) return Corrupt("npy file is truncated inside its header");
  const int major = bytes[6], minor = bytes[7];
  if (major < 1 || major > 3 || minor != 0) {
    return Unsupported(StrCat("npy version is ", major, ".", minor, ", expected 1.0, 2.0 or 3.0"));
  }
  const size_t prefix = major == 1 ? 10 : 12;
  if (bytes.size() < prefix) return Corrupt("npy file is truncated inside its header");
  size_t length = bytes[8] | size_t{bytes[9]} << 8;
  if (major > 1) length |= size_t{bytes[10]} << 16 | size_t{bytes[11]} << 24;
  if (length > kMaxHeaderBytes - prefix) {
    return Corrupt(StrCat("npy header has ", length, " bytes, at most ", kMaxHeaderBytes - prefix,
                          " are read"));
  }
  if (bytes.size() - prefix < length) return Corrupt("npy file is truncated inside its header");
  HeaderParser parser({reinterpret_cast<const char*>(bytes.data()) + prefix, length});
  OCTET_ASSIGN_OR_RETURN(NpyHeader header, parser.Parse());
  header.data_offset = static_cast<int64_t>(prefix + length);
  return header;
}

Result<NpyReader> NpyReader::Open(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(InputFile file, InputFile::Open(path));
  std::vector<uint8_t> start(
      static_cast<size_t>(std::min<int64_t>(file.size(), static_cast<int64_t>(kMaxHeaderBytes))));
  OCTET_RETURN_IF_ERROR(file.ReadAt(0, start));
  Result<NpyHeader> header = ParseNpyHeader(start);
  if (!header.ok()) return Status(header.status()).WithContext(path);
  const int64_t found = file.size() - header->data_offset;
  if (found != header->data_bytes()) {
    return Corrupt(
        StrCat(path, ": has ", found, " bytes of data, its shape needs ", header->data_bytes()));
  }
  return NpyReader(std::move(file), std::move(header).value());
}

Status NpyReader::Read(int64_t first, int64_t count, void* out) const {
  if (first < 0 || count < 0 || first > header_.elements - count) {
    return InvalidArgument(StrCat(file_.path(), ": ", count, " elements from ", first,
                                  " on were asked for, it has ", header_.elements));
  }
  const int64_t size = NpyTypeSize(header_.type);
  return file_.ReadAt(header_.data_offset + first * size,
                      {static_cast<uint8_t*>(out), static_cast<size_t>(count * size)});
}

Status NpyReader::ReadFloats(int64_t first, int64_t count, float* out) const {
  if (header_.type == NpyType::kF32) return Read(first, count, out);
  return ReadAs(*this, first, count, out);
}

Status NpyReader::ReadInts(int64_t first, int64_t count, int64_t* out) const {
  if (header_.type == NpyType::kF16 || header_.type == NpyType::kF32 ||
      header_.type == NpyType::kF64) {
    return InvalidArgument(
        StrCat(file_.path(), ": holds ", NpyTypeName(header_.type), ", expected integers"));
  }
  return ReadAs(*this, first, count, out);
}

Result<NpyFloats> ReadNpyFloats(const std::string& path, int64_t max_elements) {
  OCTET_ASSIGN_OR_RETURN(const NpyReader reader, NpyReader::Open(path));
  const NpyHeader& header = reader.header();
  if (header.elements > max_elements) {
    return InvalidArgument(
        StrCat(path, ": has ", header.elements, " elements, at most ", max_elements, " are read"));
  }
  NpyFloats array{header.shape, std::vector<float>(static_cast<size_t>(header.elements))};
  OCTET_RETURN_IF_ERROR(reader.ReadFloats(0, header.elements, array.values.data()));
  return array;
}

Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const float> values) {
  return Write(path, shape, values, NpyType::kF32);
}
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const uint8_t> values) {
  return Write(path, shape, values, NpyType::kU8);
}
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const int16_t> values) {
  return Write(path, shape, values, NpyType::kI16);
}
Status WriteNpy(const std::string& path, const std::vector<int64_t>& shape,
                std::span<const int32_t> values) {
  return Write(path, shape, values, NpyType::kI32);
}

}  // namespace octet
