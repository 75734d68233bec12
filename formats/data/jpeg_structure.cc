// One pass over the markers. The frame header gives the size and the components, tables are noted
// as bits, a scan's header is checked against both, and its compressed bytes are passed over to the
// next marker and counted. At the end every component must have been scanned, in progressive files
// to the last bit.
#include "formats/data/jpeg_structure.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "formats/base/macros.h"

namespace octet::data_internal {
namespace {

/// What a JPEG has defined and scanned so far. Whatever is used without a definition, stb_image
/// takes from memory that it has not written.
struct JpegState {
  struct Component {
    uint8_t id = 0, quantization = 0;
    bool begun = false;     ///< A scan has set its blocks, or in progressive files the first
                            ///< coefficient of each.
    uint64_t complete = 0;  ///< Progressive: coefficients that have all their bits.
  };
  ImageSize size;
  std::vector<Component> components;
  bool progressive = false;
  int scans = 0;
  int64_t blocks = 0, scan_bytes = 0;
  uint32_t quantization = 0, dc_codes = 0, ac_codes = 0;  ///< Tables by bits.
};

// stb_image 2.27 writes behind its tables when the counts of codes add up to more than 256.
Status CheckHuffmanTables(Bytes segment, size_t offset, JpegState* state) {
  constexpr size_t kCounts = 16;
  while (!segment.empty()) {
    size_t codes = 0;
    if (segment.size() < 1 + kCounts)
      return Corrupt(StrCat("JPEG Huffman tables at byte ", offset, " are cut off"));
    for (size_t i = 1; i <= kCounts; ++i) codes += segment[i];
    if (codes > 256 || codes > segment.size() - 1 - kCounts) {
      return Corrupt(StrCat("JPEG Huffman table at byte ", offset, " has ", codes,
                            " codes, expected at most ",
                            std::min<size_t>(256, segment.size() - 1 - kCounts)));
    }
    (segment[0] >= 0x10 ? state->ac_codes : state->dc_codes) |= 1u << (segment[0] & 15);
    segment = segment.subspan(1 + kCounts + codes);
  }
  return OkStatus();
}

void NoteQuantizationTables(Bytes segment, JpegState* state) {
  while (!segment.empty()) {
    const size_t size = 1 + (segment[0] >= 0x10 ? 128u : 64u);
    if (segment.size() < size) return;  // stb_image refuses it.
    state->quantization |= 1u << (segment[0] & 15);
    segment = segment.subspan(size);
  }
}

/// A scan header: its components exist, and the tables that it needs were defined.
Status CheckScan(Bytes segment, size_t offset, JpegState* state) {
  const size_t count = segment.empty() ? 0 : segment[0];
  if (count < 1 || count > state->components.size() || segment.size() != 4 + 2 * count) {
    return Corrupt(StrCat("JPEG scan header at byte ", offset, " has ", count, " components in ",
                          segment.size(), " bytes"));
  }
  const int first = segment[1 + 2 * count], last = segment[2 + 2 * count],
            refines = segment[3 + 2 * count] >> 4, bits_left = segment[3 + 2 * count] & 15;
  if (state->progressive && (first > last || last > 63)) {
    return Corrupt(StrCat("JPEG scan at byte ", offset, " has coefficients ", first, " to ", last,
                          ", expected 0 to 63"));
  }
  const bool dc = !state->progressive || first == 0, ac = !state->progressive || last > 0;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t id = segment[1 + 2 * i], tables = segment[2 + 2 * i];
    const auto component = std::find_if(state->components.begin(), state->components.end(),
                                        [&](const JpegState::Component& c) { return c.id == id; });
    if (component == state->components.end()) {
      return Corrupt(StrCat("JPEG scan at byte ", offset, " has component ", int{id},
                            ", which the image has not"));
    }
    const auto need = [&](const char* what, uint32_t defined, int table) {
      if ((defined >> table & 1) != 0) return OkStatus();
      return Corrupt(StrCat("JPEG scan at byte ", offset, " uses ", what, " table ", table,
                            ", which is not defined"));
    };
    OCTET_RETURN_IF_ERROR(need("quantization", state->quantization, component->quantization & 15));
    if (dc && refines == 0) OCTET_RETURN_IF_ERROR(need("DC Huffman", state->dc_codes, tables >> 4));
    if (ac) OCTET_RETURN_IF_ERROR(need("AC Huffman", state->ac_codes, tables & 15));
    component->begun |= dc && refines == 0;
    if (state->progressive && bits_left == 0)
      component->complete |= ~uint64_t{0} >> (63 - last + first) << first;
    // Refinements of nothing; decoders do not agree what that means.
    if (!component->begun) {
      return Corrupt(StrCat("JPEG scan at byte ", offset, " refines component ", int{id},
                            " before its first scan"));
    }
  }
  return OkStatus();
}

/// A frame header: the size, and the components with their blocks.
Status ReadFrame(uint8_t marker, Bytes segment, JpegState* state) {
  if (marker > 0xc2)
    return Unsupported("JPEG is neither baseline nor progressive (lossless or arithmetic coding)");
  if (state->size.width != 0) return Corrupt("JPEG has two frame headers");
  state->progressive = marker == 0xc2;
  if (segment.size() < 6) return Corrupt("JPEG frame header is too short");
  if (segment[0] != 8)
    return Unsupported(StrCat("JPEG has ", int{segment[0]}, " bits a sample, expected 8"));
  const int height = static_cast<int>(Big16(&segment[1]));
  const int width = static_cast<int>(Big16(&segment[3]));
  const size_t components = segment[5];
  OCTET_RETURN_IF_ERROR(CheckSize(width, height));
  if (components < 1 || components > 4 || segment.size() != 6 + 3 * components) {
    return Corrupt(
        StrCat("JPEG frame header has ", components, " components in ", segment.size(), " bytes"));
  }
  if (components == 2)
    return Unsupported("JPEG has 2 components, expected 1 (gray), 3 (colors) or 4 (CMYK)");
  int64_t h_max = 1, v_max = 1;
  for (size_t i = 0; i < components; ++i) {
    const int h = segment[7 + 3 * i] >> 4, v = segment[7 + 3 * i] & 15;
    if (h < 1 || h > 4 || v < 1 || v > 4)
      return Corrupt(StrCat("JPEG sampling factors are ", h, "x", v));
    state->components.push_back({segment[6 + 3 * i], segment[8 + 3 * i], false});
    h_max = std::max<int64_t>(h_max, h);
    v_max = std::max<int64_t>(v_max, v);
  }
  for (size_t i = 0; i < components; ++i) {
    const int64_t h = segment[7 + 3 * i] >> 4, v = segment[7 + 3 * i] & 15;
    state->blocks += CeilDiv(CeilDiv(width * h, h_max), 8) * CeilDiv(CeilDiv(height * v, v_max), 8);
  }
  state->size = {width, height};
  return OkStatus();
}

/// The first marker from `pos` on that is none of a scan's bytes: escapes, restarts and fill bytes.
size_t EndOfScan(Bytes bytes, size_t pos) {
  while (pos + 1 < bytes.size()) {
    const uint8_t* escape =
        static_cast<const uint8_t*>(std::memchr(&bytes[pos], 0xff, bytes.size() - 1 - pos));
    if (escape == nullptr) return bytes.size() - 1;
    pos = static_cast<size_t>(escape - bytes.data());
    const uint8_t next = bytes[pos + 1];
    if (next != 0x00 && next != 0xff && !(next >= 0xd0 && next <= 0xd7)) break;
    pos += next == 0xff ? 1 : 2;
  }
  return pos;
}

/// At the end: all that the frame header has was scanned.
Status CheckComplete(const JpegState& state) {
  if (state.scans == 0) return Corrupt("JPEG ends before its image data");
  for (const JpegState::Component& c : state.components) {
    if (!c.begun) return Corrupt(StrCat("JPEG has no scan for component ", int{c.id}));
    // Decoders guess what is missing, each in its own way.
    if (state.progressive && ~c.complete != 0)
      return Corrupt(StrCat("JPEG is truncated: it lacks the last scans of component ", int{c.id}));
  }
  // A block needs a bit for its first coefficient and, in sequential files, one for "no more
  // coefficients".
  if (state.scan_bytes * 8 < state.blocks * (state.progressive ? 1 : 2)) {
    return Corrupt(StrCat("JPEG is truncated: ", state.scan_bytes,
                          " bytes of image data cannot hold ", state.size.width, "x",
                          state.size.height, " pixels"));
  }
  return OkStatus();
}

}  // namespace

Result<JpegStructure> ReadJpegStructure(Bytes bytes) {
  // Decoders walk all coefficients in every scan; real progressive files have about ten.
  constexpr int kMaxScans = 256;
  constexpr std::string_view kExif("Exif\0\0", 6);
  JpegState state;
  JpegStructure found;
  size_t pos = 2;
  for (;;) {
    // Markers are 0xff (repeated at will) and a byte that is neither 0x00 nor 0xff.
    while (pos + 1 < bytes.size() &&
           !(bytes[pos] == 0xff && bytes[pos + 1] != 0x00 && bytes[pos + 1] != 0xff)) {
      ++pos;
    }
    if (pos + 1 >= bytes.size()) return Corrupt("JPEG is truncated: it has no end marker");
    const uint8_t marker = bytes[pos + 1];
    pos += 2;
    if (marker == 0xd9) break;
    if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) continue;  // Without content.
    if (bytes.size() - pos < 2) return Corrupt("JPEG is truncated inside a segment");
    const size_t length = Big16(&bytes[pos]);
    if (length < 2) return Corrupt(StrCat("JPEG segment at byte ", pos, " has length ", length));
    if (bytes.size() - pos < length) return Corrupt("JPEG is truncated inside a segment");
    const Bytes segment = bytes.subspan(pos + 2, length - 2);
    const size_t segment_offset = pos;
    pos += length;
    const bool is_frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame) {
      OCTET_RETURN_IF_ERROR(ReadFrame(marker, segment, &state));
    } else if (marker == 0xc4) {
      OCTET_RETURN_IF_ERROR(CheckHuffmanTables(segment, segment_offset, &state));
    } else if (marker == 0xdb) {
      NoteQuantizationTables(segment, &state);
    } else if (marker == 0xe1 && found.exif.empty() &&
               std::equal(kExif.begin(), kExif.end(), segment.begin(),
                          segment.begin() + std::min(segment.size(), kExif.size()))) {
      found.exif = segment.subspan(kExif.size());
    } else if (marker == 0xdd) {
      found.restarts = true;
    } else if (marker == 0xda) {
      if (state.size.width == 0) return Corrupt("JPEG scan comes before the frame header");
      OCTET_RETURN_IF_ERROR(CheckScan(segment, segment_offset, &state));
      if (++state.scans > kMaxScans)
        return Unsupported(StrCat("JPEG has more than ", kMaxScans, " scans"));
      const size_t begin = pos;
      pos = EndOfScan(bytes, pos);
      state.scan_bytes += static_cast<int64_t>(pos - begin);
    } else if (marker == 0xdc) {
      return Unsupported(StrCat("JPEG defines its height late, at byte ", segment_offset));
    }
  }
  OCTET_RETURN_IF_ERROR(CheckComplete(state));
  found.size = state.size;
  found.components = state.components.size();
  return found;
}

}  // namespace octet::data_internal
