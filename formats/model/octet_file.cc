// Writing validates, packs the weights, gives each constant its place, and puts tables, constants
// and header into one buffer; the checksum comes last. Reading trusts nothing: every field is
// checked where it is read, memory is counted against max_memory before it is taken, each byte of
// the file is of one field or constant or a zero of padding, and the graph is validated at the end.
// Constants are not copied out: they are spans of the mapping or copy, which all tensors own
// together.
#include "formats/model/octet_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/base/random.h"
#include "formats/base/str_cat.h"
#include "formats/model/checksum.h"
#include "formats/model/operators.h"
#include "formats/model/panel.h"

namespace octet {
namespace {

static_assert(std::endian::native == std::endian::little,
              "constants are used in place, as little-endian");

// The header, SPEC.md "Header". Offsets in bytes.
constexpr std::array<uint8_t, 8> kMagic = {'O', 'C', 'T', 'E', 'T', 0x00, 0x1a, 0x0a};
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderSize = 128;
constexpr uint64_t kTfliteRoundingFeature = 1;
constexpr uint64_t kSourceOrderFeature = 2;
constexpr uint64_t kPixelRulesFeature = 4;
constexpr uint64_t kInt16Feature = 8;
constexpr uint64_t kPixelCodesFeature = 16;
constexpr uint64_t kBf16Feature = 32;
constexpr size_t kVersionAt = 8, kHeaderSizeAt = 12, kFileSizeAt = 16, kFeaturesAt = 24,
                 kChecksumAt = 32;
constexpr size_t kConstantsAt = 40, kSectionsAt = 56, kReservedAt = 116;
constexpr size_t kAlignment = 64;

enum Section { kMetadataSection, kTensorSection, kNodeSection, kInterfaceSection, kGoldenSection };
constexpr int kNumSections = 5;
constexpr const char* kSectionNames[kNumSections] = {"metadata", "tensors", "nodes", "interface",
                                                     "golden"};

/// Where in the byte of a node's activation TfliteKernel stands.
constexpr int kTfliteKernelShift = 4;
constexpr uint64_t kMaxString = 1 << 16;
constexpr uint64_t kMaxInt = std::numeric_limits<int32_t>::max();

struct SectionEntry {
  uint32_t offset = 0, size = 0, count = 0;
};

/// What is wrong with a name, label or note; empty when it is well-formed UTF-8 without control
/// characters, so that it can stand in a line of text and in JSON.
const char* StringProblem(const std::string& s) {
  if (s.size() > kMaxString) return "more than 65536 bytes";
  for (size_t i = 0; i < s.size();) {
    const auto byte = [&](size_t k) {
      return i + k < s.size() ? static_cast<uint8_t>(s[i + k]) : 0u;
    };
    const uint32_t lead = byte(0);
    if (lead < 0x20 || lead == 0x7f) return "a control character";
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const int tail = lead >= 0xc2 && lead < 0xe0   ? 1
                     : lead >= 0xe0 && lead < 0xf0 ? 2
                     : lead >= 0xf0 && lead < 0xf5 ? 3
                                                   : 0;
    uint32_t code = lead & (0x3fu >> tail);
    bool valid = tail > 0;
    for (int k = 1; k <= tail; ++k) {
      valid = valid && (byte(k) & 0xc0) == 0x80;
      code = code << 6 | (byte(k) & 0x3f);
    }
    const uint32_t smallest = tail == 3 ? 0x10000 : tail == 2 ? 0x800 : 0x80;
    if (!valid || code < smallest || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
      return "invalid UTF-8";
    i += 1 + tail;
  }
  return "";
}

// --- writing ---

class ByteWriter {
 public:
  void U8(uint8_t v) { bytes_.push_back(std::byte{v}); }
  void Varint(uint64_t v) {
    for (; v >= 0x80; v >>= 7) U8(static_cast<uint8_t>(v | 0x80));
    U8(static_cast<uint8_t>(v));
  }
  void F32(float v) { Fixed(std::bit_cast<uint32_t>(v)); }
  template <typename T>
  void Fixed(T v) {
    for (size_t i = 0; i < sizeof(T); ++i) U8(static_cast<uint8_t>(v >> (8 * i)));
  }
  void String(const std::string& s) {
    Varint(s.size());
    Raw(std::as_bytes(std::span(s)));
  }
  void Raw(std::span<const std::byte> s) { bytes_.insert(bytes_.end(), s.begin(), s.end()); }
  size_t size() const { return bytes_.size(); }
  std::vector<std::byte>& bytes() { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

template <typename T>
void StoreAt(std::vector<std::byte>* bytes, size_t at, T v) {
  std::memcpy(bytes->data() + at, &v, sizeof(T));
}

/// Whether the first version of the metadata cannot say it.
bool NeedsPixelRules(const Preprocessing& p) {
  Resampling first;
  first.filter = p.resampling.filter;
  return p.resize > ResizeRule::kCenterCrop || first.filter > ResizeFilter::kBicubic ||
         p.resampling != first || p.decoding != Decoding() ||
         p.pad_color != Preprocessing().pad_color;
}

/// Whether the first version of the format cannot say it.
bool NeedsInt16(const Graph& g) {
  return g.metadata.precision == Precision::kInt16x8 ||
         std::any_of(g.tensors.begin(), g.tensors.end(), [](const Tensor& t) {
           return t.dtype == DType::kI16 || t.dtype == DType::kI64;
         });
}
bool NeedsBf16(const Graph& g) {
  return g.metadata.precision == Precision::kBf16 ||
         std::any_of(g.tensors.begin(), g.tensors.end(),
                     [](const Tensor& t) { return t.dtype == DType::kBF16; });
}

void WriteMetadata(const Metadata& m, ByteWriter* w) {
  w->String(m.name);
  w->String(m.source);
  w->String(m.options);
  w->U8(static_cast<uint8_t>(m.precision));
  const Preprocessing& p = m.preprocessing;
  w->U8(static_cast<uint8_t>(p.resize));
  w->U8(static_cast<uint8_t>(p.resampling.filter));
  w->U8(static_cast<uint8_t>(p.order));
  w->Varint(static_cast<uint64_t>(p.resize_shorter));
  w->F32(p.scale);
  for (float v : p.mean) w->F32(v);
  for (float v : p.stddev) w->F32(v);
  if (NeedsPixelRules(p)) {
    w->U8(static_cast<uint8_t>(p.decoding.framework));
    w->U8(static_cast<uint8_t>(p.decoding.dct));
    w->U8(static_cast<uint8_t>(p.decoding.upsampling));
    w->U8(p.decoding.exif_orientation ? 1 : 0);
    w->U8(static_cast<uint8_t>(p.resampling.framework));
    w->U8(p.resampling.antialias ? 1 : 0);
    w->U8(static_cast<uint8_t>(p.resampling.coordinates));
    w->U8(static_cast<uint8_t>(p.resampling.passes));
    w->F32(p.resampling.reducing_gap);
    w->U8(p.resampling.to_float ? 1 : 0);
    for (uint8_t v : p.pad_color) w->U8(v);
  }
  for (const std::string& label : m.labels) w->String(label);
}

void WriteTensor(const Tensor& t, uint64_t constant_offset, ByteWriter* w) {
  w->U8(t.is_constant() ? 1 : 0);
  w->String(t.name);
  w->U8(static_cast<uint8_t>(t.dtype));
  w->U8(static_cast<uint8_t>(t.shape.rank()));
  for (int i = 0; i < t.shape.rank(); ++i) w->Varint(static_cast<uint64_t>(t.shape[i]));
  if (t.is_constant()) {
    w->U8(static_cast<uint8_t>(t.layout));
    w->Varint(constant_offset / kAlignment);
  } else if (IsCodes(t.dtype)) {
    w->F32(t.quantization.scale);
    if (t.dtype == DType::kU8) w->U8(static_cast<uint8_t>(t.quantization.zero_point));
  }
}

struct AttributeWriter {
  ByteWriter* w;
  void Count(const char*, int v) const { w->Varint(static_cast<uint64_t>(v)); }
  void Flag(const char*, bool v) const { w->U8(v ? 1 : 0); }
  void Dimension(const char*, int v) const { w->U8(static_cast<uint8_t>(v)); }
  void Real(const char*, float v) const { w->F32(v); }
  void Amounts(const char*, const std::array<int32_t, Shape::kMaxRank>& values) const {
    for (int32_t v : values) w->Fixed(static_cast<uint32_t>(v));
  }
};

void WriteNode(const Node& n, ByteWriter* w) {
  w->U8(static_cast<uint8_t>(n.type));
  w->U8(static_cast<uint8_t>(static_cast<int>(n.activation) | static_cast<int>(n.tflite_kernel)
                                                                  << kTfliteKernelShift));
  w->String(n.name);
  w->Varint(n.inputs.size());
  for (TensorId id : n.inputs) w->Varint(static_cast<uint64_t>(int64_t{id} + 1));
  w->Varint(static_cast<uint64_t>(n.output));
  VisitAttributes(n, AttributeWriter{w});
}

Status CheckStrings(const Graph& graph) {
  const auto check = [](const std::string& where, const std::string& s) {
    const char* problem = StringProblem(s);
    return *problem == '\0'
               ? OkStatus()
               : InvalidArgument(StrCat(where, ": found ", problem, ", expected a line of UTF-8"));
  };
  OCTET_RETURN_IF_ERROR(check("metadata: name", graph.metadata.name));
  OCTET_RETURN_IF_ERROR(check("metadata: source", graph.metadata.source));
  OCTET_RETURN_IF_ERROR(check("metadata: options", graph.metadata.options));
  for (size_t i = 0; i < graph.metadata.labels.size(); ++i) {
    OCTET_RETURN_IF_ERROR(check(StrCat("metadata: label ", i), graph.metadata.labels[i]));
  }
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    OCTET_RETURN_IF_ERROR(check(StrCat("tensor ", i, ": name"), graph.tensors[i].name));
  }
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    OCTET_RETURN_IF_ERROR(check(StrCat("node ", i, ": name"), graph.nodes[i].name));
  }
  return OkStatus();
}

Status CheckGolden(const Graph& graph, const Golden& golden) {
  if (golden.output.empty()) return OkStatus();
  const Tensor& out = graph.tensor(graph.outputs[0]);
  if (static_cast<int64_t>(golden.output.size()) != out.shape.num_elements()) {
    return InvalidArgument(StrCat("golden: number of values: found ", golden.output.size(),
                                  ", expected ", out.shape.num_elements(), " or none"));
  }
  const CodeRange codes = CodesOf(out.dtype);
  for (float v : golden.output) {
    const bool valid = IsCodes(out.dtype)
                           ? v >= static_cast<float>(codes.low) &&
                                 v <= static_cast<float>(codes.high) && v == std::floor(v)
                           : std::isfinite(v);
    if (!valid) {
      return InvalidArgument(
          StrCat("golden: value: found ", v, ", expected ",
                 IsCodes(out.dtype) ? StrCat("a whole number from ", codes.low, " to ", codes.high)
                                    : "a finite number"));
    }
  }
  return OkStatus();
}

/// Constants in the order they are stored: first everything that is no weight and is read at load
/// (biases, scales), then the weights, each in the order of execution, so that both loading and
/// running walk through the file once.
std::vector<TensorId> StorageOrder(const Graph& graph) {
  std::vector<TensorId> small, weights;
  std::vector<bool> done(graph.tensors.size(), false);
  for (const Node& node : graph.nodes) {
    const bool has_weights = TraitsOf(node.type).has_weights;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const TensorId id = node.inputs[i];
      if (id == kNoTensor || done[id] || !graph.tensor(id).is_constant()) continue;
      done[id] = true;
      (has_weights && i == kInputWeights ? weights : small).push_back(id);
    }
  }
  for (size_t i = 0; i < graph.tensors.size(); ++i) {
    if (!done[i] && graph.tensors[i].is_constant()) small.push_back(static_cast<TensorId>(i));
  }
  small.insert(small.end(), weights.begin(), weights.end());
  return small;
}

// --- reading ---

/// "a: b: found c, expected d".
template <typename... Found>
Status Bad(const std::string& where, const std::string& expected, const Found&... found) {
  return Corrupt(StrCat(where, ": found ", StrCat(found...), ", expected ", expected));
}

template <typename T>
T LoadAt(std::span<const std::byte> bytes, size_t at) {
  T v;
  std::memcpy(&v, bytes.data() + at, sizeof(T));
  return v;
}

/// Reads one section from its beginning to its end. The first error sticks and makes everything
/// after it read as 0, so that a record is checked once at its end. Names given to it must be
/// literals.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// What is being read, for messages: "tensor 3", or only "golden".
  void SetPlace(const char* what, std::optional<size_t> index = {}) {
    what_ = what;
    index_ = index;
  }

  uint8_t U8(const char* field, uint8_t max = 255) {
    if (!Has(field, 1)) return 0;
    const auto v = static_cast<uint8_t>(bytes_[at_++]);
    if (v <= max) return v;
    Fail(field, StrCat(int{v}), StrCat("at most ", int{max}));
    return 0;
  }

  /// LEB128 in its shortest form, at most `max`.
  uint64_t Varint(const char* field, uint64_t max) {
    uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (!Has(field, 1)) return 0;
      const auto byte = static_cast<uint64_t>(bytes_[at_++]);
      if (shift == 63 && byte > 1) break;
      v |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      if (byte == 0 && shift > 0) break;
      if (v <= max) return v;
      Fail(field, StrCat(v), StrCat("at most ", max));
      return 0;
    }
    Fail(field, "a number in more bytes than it needs", "the shortest form");
    return 0;
  }

  template <typename T>
  T Fixed(const char* field) {
    if (!Has(field, sizeof(T))) return T{};
    const T v = LoadAt<T>(bytes_, at_);
    at_ += sizeof(T);
    return v;
  }

  int Int(const char* field) { return static_cast<int>(Varint(field, kMaxInt)); }

  int FixedInt(const char* field) {
    const uint32_t v = Fixed<uint32_t>(field);
    if (v <= kMaxInt) return static_cast<int>(v);
    Fail(field, StrCat(v), StrCat("at most ", kMaxInt));
    return 0;
  }

  std::string String(const char* field) {
    const uint64_t size = Varint(field, kMaxString);
    if (!Has(field, size)) return "";
    std::string s(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    const char* problem = StringProblem(s);
    if (*problem == '\0') return s;
    Fail(field, problem, "a line of UTF-8");
    return "";
  }

  /// A number of records of at least `min_bytes` each; no more than can follow, so that it is safe
  /// to allocate for them.
  uint64_t Count(const char* field, size_t min_bytes) {
    const uint64_t count = Varint(field, kMaxInt);
    return CheckCount(field, count, min_bytes) ? count : 0;
  }
  bool CheckCount(const char* field, uint64_t count, size_t min_bytes) {
    if (!status_.ok()) return false;
    const size_t room = (bytes_.size() - at_) / min_bytes;
    if (count > room)
      Fail(field, StrCat(count), StrCat("at most ", room, ", which the section has room for"));
    return status_.ok();
  }

  Status Finish() {
    if (status_.ok() && at_ != bytes_.size()) {
      status_ = Bad(StrCat("end of the section behind ", Place()), "nothing", bytes_.size() - at_,
                    " more bytes");
    }
    return status_;
  }
  const Status& status() const { return status_; }

 private:
  bool Has(const char* field, uint64_t size) {
    if (!status_.ok()) return false;
    if (size <= bytes_.size() - at_) return true;
    Fail(field, StrCat(bytes_.size() - at_, " bytes left in the section"), StrCat(size));
    return false;
  }
  void Fail(const char* field, const std::string& found, const std::string& expected) {
    if (status_.ok()) status_ = Bad(StrCat(Place(), ": ", field), expected, found);
  }
  std::string Place() const { return index_ ? StrCat(what_, " ", *index_) : what_; }

  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  const char* what_ = "";
  std::optional<size_t> index_;
  Status status_;
};

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
         const ReadOptions& options)
      : bytes_(bytes), owner_(std::move(owner)), options_(options) {
    if (options.copy) memory_ = file_.copied_bytes = static_cast<int64_t>(bytes.size());
  }

  Result<OctetFile> Read() {
    OCTET_RETURN_IF_ERROR(ReadHeader());
    if (options_.verify_checksum) {
      const uint64_t stored = LoadAt<uint64_t>(bytes_, kChecksumAt),
                     actual = options_.checksum(bytes_.data(), bytes_.size(), kChecksumAt);
      if (stored != actual) return Bad("checksum", StrCat(actual), stored);
    }
    OCTET_RETURN_IF_ERROR(ReadSections());
    OCTET_RETURN_IF_ERROR(ReadMetadata());
    OCTET_RETURN_IF_ERROR(ReadTensors());
    OCTET_RETURN_IF_ERROR(ReadNodes());
    OCTET_RETURN_IF_ERROR(ReadInterface());
    OCTET_RETURN_IF_ERROR(ReadGolden());
    OCTET_RETURN_IF_ERROR(CheckConstants());
    OCTET_RETURN_IF_ERROR(AlignConstants());
    if (Status s = ValidateGraph(file_.graph); !s.ok()) return Corrupt(s.message());
    if (Status s = CheckGolden(file_.graph, file_.golden); !s.ok()) return Corrupt(s.message());
    if (int16_ != NeedsInt16(file_.graph)) {
      return Bad("required features", "bit 3 exactly where something is of 16 bits",
                 "it without such");
    }
    if (bf16_ != NeedsBf16(file_.graph)) {
      return Bad("required features", "bit 5 exactly where something is bfloat16",
                 "it without such");
    }
    OCTET_RETURN_IF_ERROR(CheckLayouts());
    file_.file_size = static_cast<int64_t>(bytes_.size());
    return std::move(file_);
  }

 private:
  Status ReadHeader() {
    const size_t magic_bytes = std::min(bytes_.size(), kMagic.size());
    if (magic_bytes == 0 || std::memcmp(bytes_.data(), kMagic.data(), magic_bytes) != 0) {
      constexpr char kHex[] = "0123456789abcdef";
      std::string found;
      for (size_t i = 0; i < magic_bytes; ++i) {
        const auto b = static_cast<uint8_t>(bytes_[i]);
        found += {kHex[b >> 4], kHex[b & 15], ' '};
      }
      return Bad("magic", "4f 43 54 45 54 00 1a 0a of an .octet file",
                 found.empty() ? "an empty file" : found.substr(0, found.size() - 1));
    }
    if (bytes_.size() < kHeaderSize)
      return Bad("file size", StrCat("at least ", kHeaderSize), bytes_.size());
    const auto version = LoadAt<uint32_t>(bytes_, kVersionAt);
    if (version != kVersion) {
      return Unsupported(StrCat("version: found ", version, ", expected ", kVersion));
    }
    const auto features = LoadAt<uint64_t>(bytes_, kFeaturesAt);
    const uint64_t unknown =
        features & ~(kTfliteRoundingFeature | kSourceOrderFeature | kPixelRulesFeature |
                     kInt16Feature | kPixelCodesFeature | kBf16Feature);
    if (unknown != 0) {
      return Unsupported(StrCat("required features: found bit ", std::countr_zero(unknown),
                                ", expected none but bits 0 to 5"));
    }
    if ((features & kTfliteRoundingFeature) != 0) file_.graph.metadata.rounding = Rounding::kTflite;
    source_order_ = (features & kSourceOrderFeature) != 0;
    pixel_rules_ = (features & kPixelRulesFeature) != 0;
    int16_ = (features & kInt16Feature) != 0;
    bf16_ = (features & kBf16Feature) != 0;
    file_.graph.metadata.pixel_codes = (features & kPixelCodesFeature) != 0;
    const auto header_size = LoadAt<uint32_t>(bytes_, kHeaderSizeAt);
    if (header_size != kHeaderSize) return Bad("header size", StrCat(kHeaderSize), header_size);
    const auto file_size = LoadAt<uint64_t>(bytes_, kFileSizeAt);
    if (file_size != bytes_.size())
      return Bad("file size", StrCat(file_size, " as the header says"), bytes_.size());
    return OkStatus();
  }

  Status ReadSections() {
    uint64_t at = kHeaderSize;
    for (int i = 0; i < kNumSections; ++i) {
      const size_t entry = kSectionsAt + i * sizeof(SectionEntry);
      sections_[i] = LoadAt<SectionEntry>(bytes_, entry);
      const SectionEntry& s = sections_[i];
      if (s.offset != at)
        return Bad(StrCat("section ", kSectionNames[i], ": offset"), StrCat(at), s.offset);
      if (s.size > bytes_.size() - at) {
        return Bad(StrCat("section ", kSectionNames[i], ": size"),
                   StrCat("at most ", bytes_.size() - at), s.size);
      }
      at += s.size;
    }
    OCTET_RETURN_IF_ERROR(CheckZeros("reserved bytes of the header", kReservedAt, kHeaderSize));
    const auto offset = LoadAt<uint64_t>(bytes_, kConstantsAt),
               size = LoadAt<uint64_t>(bytes_, kConstantsAt + 8);
    const auto expected = static_cast<uint64_t>(RoundUp(static_cast<int64_t>(at), kAlignment));
    if (offset != expected) return Bad("constants: offset", StrCat(expected), offset);
    if (offset > bytes_.size() || size != bytes_.size() - offset) {
      return Bad("constants: size",
                 StrCat("what follows offset ", offset, " in ", bytes_.size(), " bytes"), size);
    }
    OCTET_RETURN_IF_ERROR(CheckZeros("padding in front of the constants", at, offset));
    constants_ = bytes_.subspan(offset);
    // Of each byte of the tables at most so many remain: a tensor id takes 1 byte and becomes 4, a
    // label is kept twice.
    constexpr size_t kDecoded = 6;
    return Reserve("bytes of tables", at, kDecoded);
  }

  /// Counts memory that is about to be taken, `count` times `size` bytes, against max_memory.
  Status Reserve(const char* what, uint64_t count, size_t size) {
    int64_t bytes = 0;
    if (CheckedMul(static_cast<int64_t>(count), static_cast<int64_t>(size), &bytes) &&
        CheckedAdd(memory_, bytes, &memory_) && memory_ <= options_.max_memory)
      return OkStatus();
    return OutOfMemory(StrCat(what, ": found ", count,
                              ", expected no more than fit in max_memory = ", options_.max_memory,
                              " bytes"));
  }

  Status CheckZeros(const std::string& what, size_t begin, size_t end) const {
    for (size_t i = begin; i < end; ++i) {
      if (bytes_[i] != std::byte{0}) return Bad(what, "0", static_cast<int>(bytes_[i]));
    }
    return OkStatus();
  }

  ByteReader Open(Section section, const char* place) const {
    ByteReader r(bytes_.subspan(sections_[section].offset, sections_[section].size));
    r.SetPlace(place);
    return r;
  }

  Status ReadMetadata() {
    Metadata& m = file_.graph.metadata;
    ByteReader r = Open(kMetadataSection, "metadata");
    m.name = r.String("name");
    m.source = r.String("source");
    m.options = r.String("options");
    m.precision = static_cast<Precision>(r.U8("precision", bf16_ ? 5 : int16_ ? 4 : 3));
    Preprocessing& p = m.preprocessing;
    p.resize = static_cast<ResizeRule>(r.U8("resize rule", pixel_rules_ ? 4 : 2));
    p.resampling.filter = static_cast<ResizeFilter>(r.U8("resize filter", pixel_rules_ ? 7 : 1));
    p.order = static_cast<ChannelOrder>(r.U8("channel order", 1));
    p.resize_shorter = r.Int("resize_shorter");
    p.scale = r.Fixed<float>("preprocessing scale");
    for (float& v : p.mean) v = r.Fixed<float>("preprocessing mean");
    for (float& v : p.stddev) v = r.Fixed<float>("preprocessing stddev");
    if (pixel_rules_) {
      p.decoding.framework = static_cast<Framework>(r.U8("decoder", 2));
      p.decoding.dct = static_cast<Dct>(r.U8("DCT", 1));
      p.decoding.upsampling = static_cast<Upsampling>(r.U8("upsampling", 1));
      p.decoding.exif_orientation = r.U8("EXIF orientation", 1) == 1;
      p.resampling.framework = static_cast<Framework>(r.U8("resampling", 2));
      p.resampling.antialias = r.U8("antialias", 1) == 1;
      p.resampling.coordinates = static_cast<Coordinates>(r.U8("coordinates", 2));
      p.resampling.passes = static_cast<Passes>(r.U8("passes", 1));
      p.resampling.reducing_gap = r.Fixed<float>("reducing_gap");
      p.resampling.to_float = r.U8("float result", 1) == 1;
      for (uint8_t& v : p.pad_color) v = r.U8("pad color", 255);
      if (r.status().ok() && !NeedsPixelRules(p))
        return Corrupt("metadata: pixel rules are those of a file without them");
    }
    const uint32_t count = sections_[kMetadataSection].count;
    if (!r.CheckCount("number of labels", count, 1)) return r.status();
    OCTET_RETURN_IF_ERROR(Reserve("labels", count, 2 * sizeof(std::string)));
    m.labels.resize(count);
    for (uint32_t i = 0; i < count && r.status().ok(); ++i) {
      r.SetPlace("label", i);
      m.labels[i] = r.String("text");
    }
    return r.Finish();
  }

  Status ReadTensors() {
    ByteReader r = Open(kTensorSection, "tensor");
    const uint32_t count = sections_[kTensorSection].count;
    if (!r.CheckCount("number of tensors", count, 5)) return r.status();
    OCTET_RETURN_IF_ERROR(Reserve("tensors", count, sizeof(Tensor) + kHeapBytes));
    file_.graph.tensors.resize(count);
    for (uint32_t i = 0; i < count && r.status().ok(); ++i) {
      r.SetPlace("tensor", i);
      OCTET_RETURN_IF_ERROR(ReadTensor(&r, i));
    }
    return r.Finish();
  }

  Status ReadTensor(ByteReader* r, uint32_t index) {
    Tensor& t = file_.graph.tensors[index];
    const bool constant = r->U8("kind", 1) == 1;
    t.name = r->String("name");
    const DType last = bf16_ ? DType::kBF16 : int16_ ? DType::kI64 : DType::kI32;
    t.dtype = static_cast<DType>(r->U8("data type", static_cast<uint8_t>(last)));
    const int rank = r->U8("rank", Shape::kMaxRank);
    for (int i = 0; i < rank; ++i) t.shape.push_back(r->Int("dimension"));
    if (!constant) {
      if (IsCodes(t.dtype)) t.quantization.scale = r->Fixed<float>("scale");
      if (t.dtype == DType::kU8) t.quantization.zero_point = r->U8("zero point");
      return r->status();
    }
    t.layout = static_cast<Layout>(r->U8("layout", static_cast<uint8_t>(Layout::kDepthwise)));
    const uint64_t offset = r->Varint("offset", constants_.size() / kAlignment) * kAlignment;
    OCTET_RETURN_IF_ERROR(r->status());
    const int64_t size = ConstantBytes(t.shape, t.dtype, t.layout);
    const std::string place = StrCat("tensor ", index, " ('", t.name, "')");
    if (size <= 0)
      return Bad(StrCat(place, ": shape"), "one of a size that fits", t.shape.ToString());
    if (offset > constants_.size() || static_cast<uint64_t>(size) > constants_.size() - offset) {
      return Bad(StrCat(place, ": end of data"), StrCat("at most ", constants_.size()), offset,
                 " + ", size);
    }
    t.data = constants_.subspan(offset, static_cast<size_t>(size));
    t.owner = owner_;
    return OkStatus();
  }

  Status ReadNodes() {
    ByteReader r = Open(kNodeSection, "node");
    const uint32_t count = sections_[kNodeSection].count;
    if (!r.CheckCount("number of nodes", count, 6)) return r.status();
    if (count > options_.max_nodes) {
      return Unsupported(StrCat("number of nodes: found ", count,
                                ", expected at most max_nodes = ", options_.max_nodes));
    }
    OCTET_RETURN_IF_ERROR(Reserve("nodes", count, sizeof(Node) + kHeapBytes));
    file_.graph.nodes.resize(count);
    for (uint32_t i = 0; i < count && r.status().ok(); ++i) {
      r.SetPlace("node", i);
      ReadNode(&r, &file_.graph.nodes[i]);
    }
    return r.Finish();
  }

  struct AttributeReader {
    ByteReader* r;
    void Count(const char* name, int& v) const { v = r->Int(name); }
    void Flag(const char* name, bool& v) const { v = r->U8(name, 1) == 1; }
    void Dimension(const char* name, int& v) const { v = r->U8(name, Shape::kMaxRank - 1); }
    void Real(const char* name, float& v) const { v = r->Fixed<float>(name); }
    void Amounts(const char* name, std::array<int32_t, Shape::kMaxRank>& values) const {
      for (int32_t& v : values) v = r->FixedInt(name);
    }
  };

  static void ReadNode(ByteReader* r, Node* n) {
    n->type = static_cast<OpType>(r->U8("type", kNumOpTypes - 1));
    // Which values there are is checked with the graph.
    const uint8_t rounded = r->U8("activation");
    n->activation = static_cast<Activation>(rounded & ((1 << kTfliteKernelShift) - 1));
    n->tflite_kernel = static_cast<TfliteKernel>(rounded >> kTfliteKernelShift);
    n->name = r->String("name");
    n->inputs.resize(r->Count("number of inputs", 1));
    for (TensorId& id : n->inputs) id = r->Int("input") - 1;
    n->output = r->Int("output");
    VisitAttributes(*n, AttributeReader{r});
  }

  Status ReadInterface() {
    ByteReader r = Open(kInterfaceSection, "interface");
    Graph& g = file_.graph;
    g.inputs.resize(r.Count("number of inputs", 1));
    for (TensorId& id : g.inputs) id = r.Int("input");
    g.outputs.resize(r.Count("number of outputs", 1));
    for (TensorId& id : g.outputs) id = r.Int("output");
    if (source_order_) {
      for (const auto& [ids, flags] : {std::pair(&g.inputs, &g.inputs_channels_first),
                                       std::pair(&g.outputs, &g.outputs_channels_first)}) {
        flags->resize(ids->size());
        for (size_t i = 0; i < ids->size(); ++i) (*flags)[i] = r.U8("order of the source", 1) != 0;
      }
    }
    OCTET_RETURN_IF_ERROR(r.Finish());
    const uint64_t count = g.inputs.size() + g.outputs.size();
    if (sections_[kInterfaceSection].count != count) {
      return Bad("section interface: count", StrCat(count), sections_[kInterfaceSection].count);
    }
    // The engine describes each to its user.
    constexpr size_t kDescription = 128;
    return Reserve("inputs and outputs", count, kDescription + kHeapBytes);
  }

  Status ReadGolden() {
    ByteReader r = Open(kGoldenSection, "golden");
    file_.golden.seed = r.Fixed<uint64_t>("seed");
    const uint32_t count = sections_[kGoldenSection].count;
    if (!r.CheckCount("number of values", count, sizeof(float))) return r.status();
    file_.golden.output.resize(count);
    for (float& v : file_.golden.output) v = r.Fixed<float>("value");
    return r.Finish();
  }

  /// Every byte behind the tables belongs to one constant or is a zero in front of the next.
  Status CheckConstants() const {
    std::vector<const Tensor*> constants;
    for (const Tensor& t : file_.graph.tensors) {
      if (t.is_constant()) constants.push_back(&t);
    }
    std::sort(constants.begin(), constants.end(),
              [](const Tensor* a, const Tensor* b) { return a->data.data() < b->data.data(); });
    const size_t base = static_cast<size_t>(constants_.data() - bytes_.data());
    size_t end = 0;
    for (const Tensor* t : constants) {
      const auto begin = static_cast<size_t>(t->data.data() - constants_.data());
      const auto expected = static_cast<size_t>(RoundUp(static_cast<int64_t>(end), kAlignment));
      if (begin != expected)
        return Bad(StrCat("tensor '", t->name, "': offset of data"), StrCat(expected), begin);
      OCTET_RETURN_IF_ERROR(CheckZeros(StrCat("padding in front of tensor '", t->name, "'"),
                                       base + end, base + begin));
      end = begin + t->data.size();
    }
    if (end != constants_.size()) return Bad("constants: size", StrCat(end), constants_.size());
    return OkStatus();
  }

  /// Copies what cannot be read where it is (kFileAlignment).
  Status AlignConstants() {
    for (Tensor& t : file_.graph.tensors) {
      if (!t.is_constant() || reinterpret_cast<uintptr_t>(t.data.data()) % DTypeSize(t.dtype) == 0)
        continue;
      OCTET_RETURN_IF_ERROR(Reserve("bytes of unaligned constants", t.data.size(), 1));
      std::byte* data = nullptr;
      std::shared_ptr<const void> copy = MakeAlignedBuffer(t.data.size(), &data);
      std::copy(t.data.begin(), t.data.end(), data);
      file_.copied_bytes += static_cast<int64_t>(t.data.size());
      t.data = {data, t.data.size()};
      t.owner = std::move(copy);
    }
    return OkStatus();
  }

  /// A file holds weights as the kernels want them; the engine never packs.
  Status CheckLayouts() const {
    for (const Node& node : file_.graph.nodes) {
      if (!TraitsOf(node.type).has_weights) continue;
      const Tensor& weights = file_.graph.tensor(node.inputs[kInputWeights]);
      const Layout expected = ChooseLayout(node, weights.shape);
      if (weights.layout != expected) {
        return Bad(StrCat("node '", node.name, "': layout of weights"),
                   StrCat(static_cast<int>(expected)), static_cast<int>(weights.layout));
      }
    }
    return OkStatus();
  }

  /// A small allocation of a record (a name, a list of inputs), and what validation keeps of it.
  static constexpr size_t kHeapBytes = 96;

  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
  ReadOptions options_;
  int64_t memory_ = 0;  ///< Counted by Reserve.
  std::array<SectionEntry, kNumSections> sections_;
  std::span<const std::byte> constants_;
  bool source_order_ = false, pixel_rules_ = false, int16_ = false, bf16_ = false;
  OctetFile file_;
};

/// Memory of the model's own, which `fill` writes; read-only from then on, so that nothing in the
/// process can change weights by mistake.
template <typename Fill>
Result<FileBytes> MakeCopy(size_t size, const ReadOptions& options, Fill fill) {
  if (static_cast<int64_t>(size) > options.max_memory) {
    return OutOfMemory(StrCat("file size: found ", size,
                              ", expected at most max_memory = ", options.max_memory, " bytes"));
  }
  if (size == 0) return FileBytes{};
  OCTET_ASSIGN_OR_RETURN(Pages pages, Pages::Allocate(size));
  OCTET_RETURN_IF_ERROR(fill(pages.bytes()));
  pages.MakeReadOnly();
  if (options.lock) OCTET_RETURN_IF_ERROR(pages.Lock());
  return FileBytes{pages.bytes(), pages.owner()};
}

Result<FileBytes> CopyFile(const InputFile& input, int64_t offset, int64_t length,
                           const ReadOptions& options) {
  Status read;  // Names the file, as others do not.
  Result<FileBytes> copy =
      MakeCopy(static_cast<size_t>(length), options, [&](std::span<std::byte> out) {
        read = input.ReadAt(offset, {reinterpret_cast<uint8_t*>(out.data()), out.size()});
        return read;
      });
  OCTET_RETURN_IF_ERROR(read);
  if (!copy.ok()) return Status(copy.status()).WithContext(input.path());
  return copy;
}

/// `length` bytes from `offset`, which are in the file.
Result<OctetFile> ReadPart(const InputFile& input, int64_t offset, int64_t length,
                           const ReadOptions& options) {
  if (length == 0)
    return Corrupt(StrCat(input.path(), ": file size: found 0, expected at least ", kHeaderSize));
  OCTET_ASSIGN_OR_RETURN(FileBytes bytes, options.copy ? CopyFile(input, offset, length, options)
                                                       : input.Map(offset, length));
  Result<OctetFile> file = Reader(bytes.bytes, std::move(bytes.owner), options).Read();
  if (!file.ok()) return Status(file.status()).WithContext(input.path());
  return file;
}

}  // namespace

void GenerateGoldenInput(uint64_t seed, std::span<uint8_t> out) {
  SplitMix64 random(seed);
  for (uint8_t& v : out) v = static_cast<uint8_t>(random.Next() >> 56);
}

void GenerateGoldenInput(uint64_t seed, std::span<int16_t> out) {
  SplitMix64 random(seed);
  for (int16_t& v : out)
    v = static_cast<int16_t>((static_cast<int>(random.Next() >> 56) - 128) * 256);
}

void GenerateGoldenInput(uint64_t seed, std::span<float> out) {
  SplitMix64 random(seed);
  for (float& v : out) v = (static_cast<float>(random.Next() >> 56) - 128.0f) / 64.0f;
}

Result<OctetFile> ReadOctetFile(const std::string& path, const ReadOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const InputFile input, InputFile::Open(path));
  return ReadPart(input, 0, input.size(), options);
}

Result<OctetFile> ReadOctetDescriptor(int descriptor, int64_t offset, int64_t length,
                                      const ReadOptions& options) {
  OCTET_ASSIGN_OR_RETURN(const InputFile input, InputFile::FromDescriptor(descriptor));
  const std::string& name = input.path();
  if (offset < 0 || offset > input.size()) {
    return InvalidArgument(
        StrCat(name, ": offset: found ", offset, ", expected 0 to ", input.size()));
  }
  const int64_t rest = input.size() - offset;
  if (length < -1 || length > rest) {
    return InvalidArgument(StrCat(name, ": length: found ", length, ", expected at most ", rest,
                                  ", which follow offset ", offset, ", or -1 for all"));
  }
  ReadOptions read = options;
  read.copy = read.copy || offset % static_cast<int64_t>(kFileAlignment) != 0;
  return ReadPart(input, offset, length < 0 ? rest : length, read);
}

Result<OctetFile> ReadOctetPieces(int64_t size, const ReadBytes& read, const ReadOptions& options) {
  if (size < 0)
    return InvalidArgument(StrCat("size of the model: found ", size, ", expected 0 or more"));
  ReadOptions copied = options;
  copied.copy = true;
  const auto fill = [&](std::span<std::byte> out) {
    for (int64_t at = 0; at < size;) {
      const int64_t bytes = std::min(size - at, kMostReadAtOnce);
      if (!read(at, out.subspan(static_cast<size_t>(at), static_cast<size_t>(bytes)))) {
        return IoError(StrCat("the model's reader failed: found no ", bytes, " bytes at offset ",
                              at, ", expected ", size, " bytes in all"));
      }
      at += bytes;
    }
    return OkStatus();
  };
  OCTET_ASSIGN_OR_RETURN(FileBytes copy, MakeCopy(static_cast<size_t>(size), copied, fill));
  return Reader(copy.bytes, std::move(copy.owner), copied).Read();
}

Result<OctetFile> ReadOctetBytes(std::span<const std::byte> bytes,
                                 std::shared_ptr<const void> owner, const ReadOptions& options) {
  if (options.copy) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes copy,
                           MakeCopy(bytes.size(), options, [&](std::span<std::byte> out) {
                             std::copy(bytes.begin(), bytes.end(), out.begin());
                             return OkStatus();
                           }));
    return Reader(copy.bytes, copy.owner, options).Read();
  }
  if (reinterpret_cast<uintptr_t>(bytes.data()) % kFileAlignment != 0) {
    return InvalidArgument(StrCat(
        "address of the model: found an unaligned one, expected a multiple of ", kFileAlignment));
  }
  return Reader(bytes, std::move(owner), options).Read();
}

Result<std::vector<std::byte>> SerializeOctet(const Graph& graph, const Golden& golden) {
  OCTET_RETURN_IF_ERROR(ValidateGraph(graph));
  OCTET_RETURN_IF_ERROR(CheckStrings(graph));
  OCTET_RETURN_IF_ERROR(CheckGolden(graph, golden));
  Graph packed = graph;
  PackGraph(&packed);

  const std::vector<TensorId> order = StorageOrder(packed);
  std::vector<uint64_t> offsets(packed.tensors.size(), 0);
  uint64_t constants_size = 0;
  for (TensorId id : order) {
    offsets[id] = static_cast<uint64_t>(RoundUp(static_cast<int64_t>(constants_size), kAlignment));
    constants_size = offsets[id] + packed.tensor(id).data.size();
  }

  ByteWriter w;
  w.bytes().resize(kHeaderSize);
  std::array<SectionEntry, kNumSections> sections;
  uint64_t section_begin = kHeaderSize;
  const auto end_section = [&](Section section, size_t count) {
    sections[section] = {static_cast<uint32_t>(section_begin),
                         static_cast<uint32_t>(w.size() - section_begin),
                         static_cast<uint32_t>(count)};
    section_begin = w.size();
  };
  WriteMetadata(packed.metadata, &w);
  end_section(kMetadataSection, packed.metadata.labels.size());
  for (size_t i = 0; i < packed.tensors.size(); ++i) WriteTensor(packed.tensors[i], offsets[i], &w);
  end_section(kTensorSection, packed.tensors.size());
  for (const Node& node : packed.nodes) WriteNode(node, &w);
  end_section(kNodeSection, packed.nodes.size());
  w.Varint(packed.inputs.size());
  for (TensorId id : packed.inputs) w.Varint(static_cast<uint64_t>(id));
  w.Varint(packed.outputs.size());
  for (TensorId id : packed.outputs) w.Varint(static_cast<uint64_t>(id));
  const auto any = [](const std::vector<bool>& flags) {
    return std::find(flags.begin(), flags.end(), true) != flags.end();
  };
  const bool source_order = any(packed.inputs_channels_first) || any(packed.outputs_channels_first);
  if (source_order) {
    for (const auto& [ids, flags] : {std::pair(&packed.inputs, &packed.inputs_channels_first),
                                     std::pair(&packed.outputs, &packed.outputs_channels_first)}) {
      for (size_t i = 0; i < ids->size(); ++i) w.U8(i < flags->size() && (*flags)[i]);
    }
  }
  end_section(kInterfaceSection, packed.inputs.size() + packed.outputs.size());
  w.Fixed(golden.seed);
  for (float v : golden.output) w.F32(v);
  end_section(kGoldenSection, golden.output.size());
  if (w.size() > std::numeric_limits<uint32_t>::max()) {
    return InvalidArgument(StrCat("tables: found ", w.size(), " bytes, expected less than 4 GiB"));
  }

  std::vector<std::byte> bytes = std::move(w.bytes());
  const auto constants_offset =
      static_cast<uint64_t>(RoundUp(static_cast<int64_t>(bytes.size()), kAlignment));
  bytes.resize(constants_offset + constants_size);
  for (TensorId id : order) {
    const std::span<const std::byte> data = packed.tensor(id).data;
    std::memcpy(bytes.data() + constants_offset + offsets[id], data.data(), data.size());
  }
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  StoreAt(&bytes, kVersionAt, kVersion);
  StoreAt(&bytes, kHeaderSizeAt, static_cast<uint32_t>(kHeaderSize));
  StoreAt(&bytes, kFileSizeAt, static_cast<uint64_t>(bytes.size()));
  StoreAt(&bytes, kFeaturesAt,
          (graph.metadata.rounding == Rounding::kTflite ? kTfliteRoundingFeature : uint64_t{0}) |
              (source_order ? kSourceOrderFeature : uint64_t{0}) |
              (NeedsPixelRules(graph.metadata.preprocessing) ? kPixelRulesFeature : uint64_t{0}) |
              (NeedsInt16(graph) ? kInt16Feature : uint64_t{0}) |
              (NeedsBf16(graph) ? kBf16Feature : uint64_t{0}) |
              (graph.metadata.pixel_codes ? kPixelCodesFeature : uint64_t{0}));
  StoreAt(&bytes, kConstantsAt, constants_offset);
  StoreAt(&bytes, kConstantsAt + 8, constants_size);
  StoreAt(&bytes, kSectionsAt, sections);
  StoreAt(&bytes, kChecksumAt, ChecksumAround(bytes.data(), bytes.size(), kChecksumAt));
  return bytes;
}

Status WriteOctetFile(const std::string& path, const Graph& graph, const Golden& golden) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, SerializeOctet(graph, golden));
  return WriteFileAtomically(path, bytes);
}

}  // namespace octet
