// One decoder a format. Nothing reaches a library that was not checked before: JPEGs go through
// ReadJpegStructure, then to libjpeg, or without it to stb_image; of PNGs the chunks are parsed
// here, zlib inflates them, and stb_image gets the rows as a PNG without compression (PlainPng),
// whose palette is looked up behind it. BMP and PNM are read here. Sizes are bounded before pixels
// are allocated, and a small file cannot ask for much work.
#include "formats/data/image.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "formats/base/file.h"
#include "formats/base/macros.h"
#include "formats/data/crc32.h"
#include "formats/data/exif.h"
#include "formats/data/gray.h"
#include "formats/data/image_bytes.h"
#include "formats/data/jpeg_decoder.h"
#include "formats/data/stb_decoder.h"

namespace octet {
namespace {

using namespace data_internal;  // NOLINT: the other parts of this decoder.

bool StartsWith(Bytes bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() &&
         std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

// For the error message only.
const char* ForeignFormat(Bytes bytes) {
  if (StartsWith(bytes, "GIF8")) return "a GIF image";
  if (StartsWith(bytes, "8BPS")) return "a Photoshop image";
  if (StartsWith(bytes, "#?RADIANCE") || StartsWith(bytes, "#?RGBE")) return "a Radiance HDR image";
  if (StartsWith(bytes, "RIFF") && bytes.size() >= 12 && std::memcmp(&bytes[8], "WEBP", 4) == 0) {
    return "a WebP image";
  }
  if (StartsWith(bytes, std::string_view("II*\0", 4)) ||
      StartsWith(bytes, std::string_view("MM\0*", 4))) {
    return "a TIFF image";
  }
  if (bytes.size() >= 12 && std::memcmp(&bytes[4], "ftyp", 4) == 0) return "a HEIF or AVIF image";
  if (bytes.size() >= 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7') {
    return "a PNM variant other than P5 and P6";
  }
  return bytes.empty() ? "an empty file" : "bytes that are not an image of a known format";
}

/// What a PNG says, its image data still compressed.
struct PngParts {
  ImageSize size;
  int depth = 0, color = 0, interlaced = 0;  ///< As the header has them.
  int64_t raw_size = 0;          ///< Bytes of the uncompressed rows with their filter types.
  std::vector<uint8_t> palette;  ///< RGB; empty when there is none.
  std::vector<Bytes> compressed;
  Bytes exif;  ///< A TIFF; empty when there is none.
  /// The first ones before a palette and image data, behind which they do not count; null when
  /// there are none.
  Bytes gamma, srgb, chromaticities;
  bool profile = false, animated = false;

  bool indexed() const { return color == 3; }
};

/// Bytes of the rows, each with a filter type in front, of an image or of the seven that make up an
/// interlaced one.
int64_t PngRawSize(const ImageSize& size, int64_t pixel_bits, bool interlaced) {
  const auto bytes = [&](int64_t x, int64_t dx, int64_t y, int64_t dy) {
    const int64_t w = CeilDiv(size.width - x, dx), h = CeilDiv(size.height - y, dy);
    return w > 0 && h > 0 ? (CeilDiv(w * pixel_bits, 8) + 1) * h : 0;
  };
  if (!interlaced) return bytes(0, 1, 0, 1);
  return bytes(0, 8, 0, 8) + bytes(4, 8, 0, 8) + bytes(0, 4, 4, 8) + bytes(2, 4, 0, 4) +
         bytes(0, 2, 2, 4) + bytes(1, 2, 0, 2) + bytes(0, 1, 1, 2);
}

Status ReadPngHeader(Bytes chunk, PngParts* parts) {
  if (chunk.size() != 13)
    return Corrupt(StrCat("PNG header has ", chunk.size(), " bytes, expected 13"));
  OCTET_RETURN_IF_ERROR(CheckSize(Big32(&chunk[0]), Big32(&chunk[4])));
  parts->size = {static_cast<int>(Big32(&chunk[0])), static_cast<int>(Big32(&chunk[4]))};
  const int depth = chunk[8], color = chunk[9];
  const bool whole_bytes = depth == 8 || depth == 16,
             part_bytes = depth == 1 || depth == 2 || depth == 4;
  const bool good = color == 0   ? whole_bytes || part_bytes
                    : color == 3 ? depth == 8 || part_bytes
                                 : (color == 2 || color == 4 || color == 6) && whole_bytes;
  if (!good)
    return Corrupt(
        StrCat("PNG has color type ", color, " with ", depth, " bits, which do not go together"));
  if (chunk[10] != 0 || chunk[11] != 0 || chunk[12] > 1) {
    return Corrupt(StrCat("PNG has compression ", int{chunk[10]}, ", filter ", int{chunk[11]},
                          " and interlacing ", int{chunk[12]}, ", expected 0, 0 and 0 or 1"));
  }
  parts->depth = depth;
  parts->color = color;
  parts->interlaced = chunk[12];
  const int channels = color == 2 ? 3 : color == 4 ? 2 : color == 6 ? 4 : 1;
  parts->raw_size = PngRawSize(parts->size, int64_t{depth} * channels, parts->interlaced != 0);
  return OkStatus();
}

Result<PngParts> CheckPng(Bytes bytes) {
  PngParts parts;
  int64_t compressed = 0;
  size_t pos = kPngSignature.size();
  for (bool end = false; !end;) {
    if (bytes.size() - pos < 12) return Corrupt("PNG is truncated: it has no IEND chunk");
    const size_t length = Big32(&bytes[pos]);
    if (length > bytes.size() - pos - 12) return Corrupt("PNG is truncated inside a chunk");
    const std::string_view type(reinterpret_cast<const char*>(&bytes[pos + 4]), 4);
    const Bytes chunk = bytes.subspan(pos + 8, length);
    if (Crc32(bytes.subspan(pos + 4, length + 4)) != Big32(&bytes[pos + 8 + length])) {
      return Corrupt(StrCat("PNG chunk at byte ", pos, " has a wrong checksum"));
    }
    if ((parts.size.width == 0) != (type == "IHDR")) {
      return Corrupt("PNG does not begin with its one IHDR chunk");
    }
    if (type == "IHDR") {
      OCTET_RETURN_IF_ERROR(ReadPngHeader(chunk, &parts));
    } else if (type == "IDAT") {
      compressed += static_cast<int64_t>(length);
      parts.compressed.push_back(chunk);
    } else if (type == "PLTE") {
      if (!parts.palette.empty() || !parts.compressed.empty()) {
        return Corrupt(
            StrCat("PNG palette at byte ", pos, " is a second one, or behind image data"));
      }
      if (length == 0 || length % 3 != 0 || length > 256 * 3) {
        return Corrupt(
            StrCat("PNG palette has ", length, " bytes, expected 3 for each of 1 to 256 colors"));
      }
      parts.palette.assign(chunk.begin(), chunk.end());
    } else if (type == "eXIf") {
      parts.exif = chunk;
    } else if (parts.palette.empty() && parts.compressed.empty() &&
               (type == "gAMA" || type == "sRGB" || type == "cHRM")) {
      Bytes& kept = type == "gAMA"   ? parts.gamma
                    : type == "sRGB" ? parts.srgb
                                     : parts.chromaticities;
      if (kept.data() == nullptr) kept = chunk;
    } else if (type == "iCCP") {
      parts.profile = true;
    } else if (type == "acTL") {
      parts.animated = true;
    } else if (type != "IEND" && (type[0] & 0x20) == 0) {
      // By the rules a decoder must give up at a chunk that it does not know and that is marked as
      // critical.
      return Unsupported(StrCat("PNG chunk at byte ", pos, " is critical and of an unknown type"));
    }
    end = type == "IEND";
    pos += 12 + length;
  }
  if (parts.indexed() && parts.palette.empty())
    return Corrupt("PNG has palette indices and no palette");
  // Deflate makes at most 1032 bytes of one. This bounds the decoder's work by the size of the
  // file.
  if (compressed < parts.raw_size / 1032) {
    return Corrupt(StrCat("PNG is truncated: ", compressed, " bytes of image data cannot hold ",
                          parts.size.width, "x", parts.size.height, " pixels"));
  }
  return parts;
}

/// Ends a zlib stream on every path.
class Inflater {
 public:
  Inflater() { ready_ = inflateInit(&stream_) == Z_OK; }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// All of `pieces`, which are one stream that gives `size` bytes. What some programs write behind
  /// them is left out.
  Status Run(const std::vector<Bytes>& pieces, size_t size, std::vector<uint8_t>* out) {
    out->resize(size);
    stream_.next_out = out->data();
    stream_.avail_out = static_cast<uInt>(size);
    std::array<uint8_t, 4096> rest;
    int result = ready_ ? Z_OK : Z_MEM_ERROR;
    for (const Bytes& piece : pieces) {
      stream_.next_in = const_cast<Bytef*>(piece.data());
      stream_.avail_in = static_cast<uInt>(piece.size());
      while (result == Z_OK) {
        if (stream_.avail_out == 0) {
          stream_.next_out = rest.data();
          stream_.avail_out = static_cast<uInt>(rest.size());
        }
        result = inflate(&stream_, Z_NO_FLUSH);
        if (result == Z_BUF_ERROR ||
            (result == Z_OK && stream_.avail_in == 0 && stream_.avail_out > 0)) {
          result = Z_OK;
          break;  // It wants the next piece.
        }
      }
    }
    if (result == Z_STREAM_END && stream_.total_out >= size) return OkStatus();
    const char* reason = stream_.msg != nullptr   ? stream_.msg
                         : result == Z_STREAM_END ? "it is too short for the pixels"
                         : result == Z_MEM_ERROR  ? "out of memory"
                                                  : "it is cut off";
    return Corrupt(StrCat("PNG image data cannot be decompressed: ", reason));
  }

 private:
  z_stream stream_{};
  bool ready_ = false;
};

void AppendBig32(std::vector<uint8_t>* out, size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<uint8_t>(value >> shift));
}

/// Without its checksum, at which stb_image does not look.
void AppendChunk(std::vector<uint8_t>* out, std::string_view type, Bytes content) {
  AppendBig32(out, content.size());
  out->insert(out->end(), type.begin(), type.end());
  out->insert(out->end(), content.begin(), content.end());
  AppendBig32(out, 0);
}

/// The same image as stb_image 2.27 can be trusted with: nothing compressed, as its inflate copies
/// memory that it has not written when a distance code is invalid, no transparency, and in the
/// palette every index a color of its own, as it reads its stack for an index behind the palette
/// (nothings/stb#1861).
Result<std::vector<uint8_t>> PlainPng(Bytes bytes, const PngParts& parts) {
  std::vector<uint8_t> raw;
  OCTET_RETURN_IF_ERROR(
      Inflater().Run(parts.compressed, static_cast<size_t>(parts.raw_size), &raw));
  constexpr size_t kBlock = 65535;
  std::vector<uint8_t> stored = {0x78, 0x01};
  stored.reserve(raw.size() + raw.size() / kBlock * 5 + 16);
  for (size_t at = 0; at < raw.size(); at += kBlock) {
    const size_t n = std::min(kBlock, raw.size() - at);
    stored.push_back(at + n == raw.size() ? 1 : 0);
    for (size_t v : {n, ~n}) {
      stored.push_back(static_cast<uint8_t>(v));
      stored.push_back(static_cast<uint8_t>(v >> 8));
    }
    stored.insert(stored.end(), raw.begin() + static_cast<std::ptrdiff_t>(at),
                  raw.begin() + static_cast<std::ptrdiff_t>(at + n));
  }
  std::vector<uint8_t> png(kPngSignature.begin(), kPngSignature.end());
  png.reserve(stored.size() + 1024);
  AppendChunk(&png, "IHDR", bytes.subspan(kPngSignature.size() + 8, 13));
  if (parts.indexed()) {
    std::array<uint8_t, 256 * 3> colors;
    for (size_t i = 0; i < colors.size(); ++i) colors[i] = static_cast<uint8_t>(i / 3);
    AppendChunk(&png, "PLTE", colors);
  }
  AppendChunk(&png, "IDAT", stored);
  AppendChunk(&png, "IEND", {});
  return png;
}

template <typename T>
Result<std::vector<T>> ValuesByStb(Bytes bytes, const ImageSize& size, int channels) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return Unsupported("image file is larger than 2 GiB");
  }
  std::vector<T> values;
  int width = 0, height = 0;
  const char* error = data_internal::StbDecode(bytes, channels, DecoderMemory(size, bytes.size()),
                                               &width, &height, &values);
  if (error != nullptr) return Corrupt(StrCat("image cannot be decoded: ", error));
  if (width != size.width || height != size.height) {
    return Corrupt(StrCat("image decodes to ", width, "x", height, ", its header says ", size.width,
                          "x", size.height));
  }
  return values;
}

Result<DecodedImage> DecodeByStb(Bytes bytes, const ImageSize& size) {
  OCTET_ASSIGN_OR_RETURN(std::vector<uint8_t> rgb, ValuesByStb<uint8_t>(bytes, size, 3));
  return DecodedImage{size.width, size.height, std::move(rgb)};
}

/// Of values of 16 bits a pixel, by `channels` of them.
template <typename ToByte>
Result<DecodedImage> DecodeWide(Bytes bytes, const ImageSize& size, int channels,
                                const ToByte& to_byte) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint16_t> values,
                         ValuesByStb<uint16_t>(bytes, size, channels));
  DecodedImage image{size.width, size.height, {}};
  image.rgb.reserve(values.size() / static_cast<size_t>(channels) * 3);
  for (size_t i = 0; i < values.size(); i += static_cast<size_t>(channels))
    image.rgb.insert(image.rgb.end(), 3, static_cast<uint8_t>(to_byte(&values[i])));
  return image;
}

Result<DecodedImage> DecodeJpegByStb(Bytes bytes, const JpegStructure& structure,
                                     const Decoding& decoding, bool gray) {
  const char* missing = structure.components == 4                          ? "CMYK"
                        : decoding.dct != Dct::kAccurate                   ? "the fast DCT"
                        : decoding.upsampling != Upsampling::kFancy        ? "plain upsampling"
                        : gray && decoding.framework != Framework::kPillow ? "gray as by libjpeg"
                                                                           : nullptr;
  if (missing != nullptr)
    return Unsupported(StrCat("JPEG needs ", missing, ", which takes libjpeg; built without it"));
  OCTET_ASSIGN_OR_RETURN(DecodedImage image, DecodeByStb(bytes, structure.size));
  if (!structure.restarts) return image;
  // Where a restart marker should be and is not, stb_image leaves the rest of the scan unwritten
  // and reports success. Only what it leaves depends on what was in memory.
  data_internal::fresh_memory ^= 0xff;
  const Result<DecodedImage> again = DecodeByStb(bytes, structure.size);
  data_internal::fresh_memory ^= 0xff;
  if (!again.ok() || again->rgb != image.rgb)
    return Corrupt("JPEG is damaged: a restart marker is not where it should be");
  return image;
}

/// The fewest eighths of the size at which libjpeg is fast and neither side too small.
int Eighths(ImageSize size, const Wanted& wanted) {
  for (const int eighths : {1, 2, 4}) {
    const int64_t width = CeilDiv(int64_t{size.width} * eighths, 8),
                  height = CeilDiv(int64_t{size.height} * eighths, 8);
    if (wanted.width > 0 && width >= wanted.width && height >= wanted.height) return eighths;
  }
  return 8;
}

Result<DecodedImage> DecodeJpeg(Bytes bytes, const Decoding& decoding, Wanted wanted,
                                std::vector<uint8_t> memory) {
  OCTET_ASSIGN_OR_RETURN(const JpegStructure structure, ReadJpegStructure(bytes));
  int orientation = 1;
  if (decoding.exif_orientation) {
    OCTET_ASSIGN_OR_RETURN(orientation, ExifOrientation(structure.exif));
  }
  if (SwapsSides(orientation)) std::swap(wanted.width, wanted.height);
  Result<DecodedImage> image =
      jpeg_by_stb ? DecodeJpegByStb(bytes, structure, decoding, wanted.gray)
                  : DecodeByLibjpeg(bytes, structure, decoding, wanted.gray,
                                    Eighths(structure.size, wanted), std::move(memory));
  if (image.ok()) TurnUpright(orientation, &*image);
  return image;
}

/// A cHRM chunk of sRGB's white, red, green and blue, x and y in units of 1 / 100000.
constexpr std::array<uint32_t, 8> kSrgbChromaticities{31270, 32900, 64000, 33000,
                                                      30000, 60000, 15000, 6000};

bool IsSrgb(Bytes chromaticities) {
  for (size_t i = 0; i < kSrgbChromaticities.size(); ++i) {
    if (chromaticities.size() != 4 * kSrgbChromaticities.size() ||
        Big32(&chromaticities[4 * i]) != kSrgbChromaticities[i])
      return false;
  }
  return true;
}

/// The gamma by which libpng makes gray of colors; 0: none.
Result<int32_t> GammaOf(const PngParts& parts, Framework framework) {
  constexpr int32_t kSrgb = 45455;
  int32_t gamma = 0;
  if (parts.srgb.data() != nullptr) {
    if (parts.srgb.size() != 1 || parts.srgb[0] > 3) return Corrupt("PNG sRGB chunk is damaged");
    gamma = kSrgb;
  } else if (parts.gamma.data() != nullptr) {
    const uint32_t value = parts.gamma.size() == 4 ? Big32(parts.gamma.data()) : 0;
    // Beyond these a reciprocal does not fit libpng's numbers.
    if (value < 16 || value > 625000000) return Corrupt("PNG gAMA chunk is damaged");
    gamma = static_cast<int32_t>(value);
  }
  // Up to libpng 1.6.46, which TensorFlow has, some profiles stand for a gamma, and damaged
  // chromaticities for none.
  if (framework == Framework::kTensorflow) {
    if (parts.profile && gamma != kSrgb)
      return Unsupported(
          "PNG has a color profile and no gamma of sRGB: gray of its colors depends on libpng's "
          "version");
    if (gamma != 0 && parts.chromaticities.data() != nullptr && !IsSrgb(parts.chromaticities))
      return Unsupported("PNG has a gamma and chromaticities other than those of sRGB");
  }
  if (gamma == 0 || !IsGamma(gamma)) return 0;
  if (parts.depth == 16)
    return Unsupported(StrCat(
        "PNG has colors of 16 bits and a gamma of ", gamma,
        " / 100000, by which no gray is made of them; save it with 8 bits or without gamma"));
  return gamma;
}

Result<DecodedImage> DecodePng(Bytes bytes, const Decoding& decoding, bool gray) {
  OCTET_ASSIGN_OR_RETURN(const PngParts parts, CheckPng(bytes));
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> plain, PlainPng(bytes, parts));
  // It would compose the first frame, which need not be the image.
  if (parts.animated && decoding.framework == Framework::kOpencv)
    return Unsupported("PNG is animated, of which OpenCV makes other pixels by its version");
  const bool pillow = decoding.framework == Framework::kPillow, wide = parts.depth == 16;
  const bool by_libpng = gray && !pillow && (parts.color & 2) != 0;  // Of colors.
  int32_t gamma = 0;
  if (by_libpng) {
    OCTET_ASSIGN_OR_RETURN(gamma, GammaOf(parts, decoding.framework));
  }
  OCTET_ASSIGN_OR_RETURN(
      DecodedImage image,
      // The others keep the upper 8 bits.
      pillow && wide && parts.color == 0
          ? DecodeWide(plain, parts.size, 1,
                       [](const uint16_t* v) { return std::min<uint16_t>(*v, 255); })
      : by_libpng && wide ? DecodeWide(plain, parts.size, 3,
                                       [](const uint16_t* v) { return kLibpngGray16.Of(v) >> 8; })
                          : DecodeByStb(plain, parts.size));
  if (parts.indexed()) {
    const size_t colors = parts.palette.size() / 3;
    for (size_t i = 0; i < image.rgb.size(); i += 3) {
      const size_t index = image.rgb[i];
      if (index >= colors) {
        return Corrupt(StrCat("PNG palette index of pixel ", i / 3, ": found ", index,
                              ", expected less than ", colors, ", the number of colors"));
      }
      std::memcpy(&image.rgb[i], &parts.palette[3 * index], 3);
    }
  }
  if (by_libpng && gamma != 0) {
    MakeGrayByGamma(gamma, image.rgb);
  } else if (by_libpng) {
    MakeGray(kLibpngGray, image.rgb);
  }
  if (decoding.exif_orientation) {
    OCTET_ASSIGN_OR_RETURN(const int orientation, ExifOrientation(parts.exif));
    TurnUpright(orientation, &image);
  }
  return image;
}

/// A sentence when the framework does not read such a BMP as its header says.
const char* ProblemOfBmp(Framework framework, bool gray, bool old, int bits) {
  if (framework != Framework::kTensorflow) return nullptr;
  return gray       ? "BMP is of colors, which tf.io.decode_bmp does not decode to one channel"
         : old      ? "BMP has an OS/2 header, which tf.io.decode_bmp refuses"
         : bits < 8 ? "BMP has less than 8 bits a pixel, which tf.io.decode_bmp refuses"
                    : nullptr;
}

using Palette = std::array<std::array<uint8_t, 3>, 256>;

/// What the frameworks take for pixels without a palette; false when that is not what they are.
bool WithoutPalette(Framework framework, int bits, int64_t colors, Palette* palette) {
  if (framework == Framework::kPillow) {
    // Two colors are black and white.
    for (int64_t i = 0; i < colors; ++i) {
      const std::array<uint8_t, 3>& c = (*palette)[static_cast<size_t>(i)];
      if (c[0] != c[1] || c[0] != c[2] || c[0] != (colors == 2 ? 255 * i : i)) return true;
    }
    if (colors <= 2 || bits < 8) return colors == 2 && bits == 1;
  } else if (framework != Framework::kTensorflow) {
    return true;
  }
  for (size_t i = 0; i < palette->size(); ++i) (*palette)[i].fill(static_cast<uint8_t>(i));
  return true;
}

Result<DecodedImage> DecodeBmp(Bytes bytes, Framework framework, bool gray) {
  if (bytes.size() < 26) return Corrupt("BMP is truncated inside its header");
  const int64_t pixel_offset = Little32(&bytes[10]);
  const int64_t header_size = Little32(&bytes[14]);
  const bool old = header_size == 12;  // OS/2: 16-bit sizes, palette entries of 3 bytes.
  if (!old && header_size != 40 && header_size != 52 && header_size != 56 && header_size != 108 &&
      header_size != 124) {
    return Unsupported(
        StrCat("BMP header has ", header_size, " bytes, expected 12, 40, 52, 56, 108 or 124"));
  }
  if (static_cast<int64_t>(bytes.size()) < 14 + header_size) {
    return Corrupt("BMP is truncated inside its header");
  }
  const int64_t width =
      old ? int64_t{Little16(&bytes[18])} : int64_t{static_cast<int32_t>(Little32(&bytes[18]))};
  const int64_t signed_height =
      old ? int64_t{Little16(&bytes[20])} : int64_t{static_cast<int32_t>(Little32(&bytes[22]))};
  const bool bottom_up = signed_height > 0;
  const int64_t height = bottom_up ? signed_height : -signed_height;
  OCTET_RETURN_IF_ERROR(CheckSize(width, height));
  const int bits = static_cast<int>(Little16(&bytes[old ? 24 : 28]));
  const uint32_t compression = old ? 0 : Little32(&bytes[30]);
  if (bits != 1 && bits != 4 && bits != 8 && bits != 24 && bits != 32) {
    return Unsupported(StrCat("BMP has ", bits, " bits a pixel, expected 1, 4, 8, 24 or 32"));
  }
  if (const char* problem = ProblemOfBmp(framework, gray, old, bits); problem != nullptr)
    return Unsupported(problem);
  int64_t header_end = 14 + header_size;
  if (compression == 3 && bits == 32) {
    // Masks follow a 40-byte header and are part of the larger ones; the same place in both.
    if (header_size == 40) header_end += 12;
    if (static_cast<int64_t>(bytes.size()) < header_end) {
      return Corrupt("BMP is truncated inside its header");
    }
    if (Little32(&bytes[54]) != 0xff0000 || Little32(&bytes[58]) != 0xff00 ||
        Little32(&bytes[62]) != 0xff) {
      return Unsupported("BMP channel masks are not those of 8-bit BGR");
    }
    const uint32_t alpha = header_size >= 56 ? Little32(&bytes[66]) : 0;
    if (alpha != 0 && alpha != 0xff000000)
      return Unsupported("BMP alpha mask is neither none nor the highest 8 bits");
    if (gray && framework == Framework::kOpencv && header_size >= 56)
      return Unsupported("BMP has channel masks in its header, of which OpenCV makes another gray");
  } else if (compression != 0) {
    return Unsupported(StrCat("BMP has compression ", compression, ", expected none"));
  }
  const int64_t row_bytes = CeilDiv(width * bits, 32) * 4;
  if (pixel_offset < header_end ||
      pixel_offset + row_bytes * height > static_cast<int64_t>(bytes.size())) {
    return Corrupt(StrCat("BMP is truncated: ", row_bytes * height, " bytes of pixels at byte ",
                          pixel_offset, " of ", bytes.size()));
  }
  Palette palette{};
  if (bits <= 8) {
    const int64_t entry = old ? 3 : 4;
    const int64_t declared = old ? 0 : int64_t{Little32(&bytes[46])};
    const int64_t colors = declared != 0 ? declared : int64_t{1} << bits;
    if (colors > 256 || header_end + colors * entry > pixel_offset) {
      return Corrupt(StrCat("BMP palette of ", colors, " colors overlaps the pixels"));
    }
    for (int64_t i = 0; i < colors; ++i) {
      const uint8_t* p = &bytes[static_cast<size_t>(header_end + i * entry)];
      palette[static_cast<size_t>(i)] = {p[2], p[1], p[0]};
    }
    if (!WithoutPalette(framework, bits, colors, &palette))
      return Unsupported(StrCat("BMP palette of ", colors, " grays is one that Pillow leaves out, ",
                                "but not with ", bits, " bits a pixel"));
  }
  DecodedImage image{static_cast<int>(width), static_cast<int>(height), {}};
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  for (int64_t y = 0; y < height; ++y) {
    const int64_t file_row = bottom_up ? height - 1 - y : y;
    const uint8_t* in = &bytes[static_cast<size_t>(pixel_offset + file_row * row_bytes)];
    uint8_t* out = &image.rgb[static_cast<size_t>(y * width * 3)];
    if (bits >= 24) {
      for (int64_t x = 0; x < width; ++x, in += bits / 8, out += 3) {
        out[0] = in[2];
        out[1] = in[1];
        out[2] = in[0];
      }
    } else {
      const int mask = (1 << bits) - 1;
      for (int64_t x = 0; x < width; ++x, out += 3) {
        const int64_t bit = x * bits;
        const int index = in[bit / 8] >> (8 - bits - bit % 8) & mask;
        std::memcpy(out, palette[static_cast<size_t>(index)].data(), 3);
      }
    }
  }
  return image;
}

// The next number of a PNM header; skips white space and comments in front. Nothing when there is
// none.
std::optional<int64_t> PnmNumber(Bytes bytes, size_t* pos) {
  while (*pos < bytes.size()) {
    const uint8_t c = bytes[*pos];
    if (c == '#') {
      while (*pos < bytes.size() && bytes[*pos] != '\n' && bytes[*pos] != '\r') ++*pos;
    } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
      ++*pos;
    } else {
      break;
    }
  }
  int64_t value = 0;
  const size_t begin = *pos;
  for (; *pos < bytes.size() && bytes[*pos] >= '0' && bytes[*pos] <= '9'; ++*pos) {
    value = value * 10 + (bytes[*pos] - '0');
    if (value > std::numeric_limits<int32_t>::max()) return std::nullopt;
  }
  if (*pos == begin) return std::nullopt;
  return value;
}

/// A PNM's value as the framework has it, when the largest is not 255. TensorFlow has no PNM.
uint8_t PnmValue(int64_t value, int64_t largest, bool gray, Framework framework) {
  if (framework == Framework::kOpencv)
    return static_cast<uint8_t>(largest > 255 ? value >> 8 : value);
  // Pillow cuts its wide grays off where they are made RGB.
  const double full = gray && largest > 255 ? 65535.0 : 255.0;
  const double scaled = static_cast<double>(value) / static_cast<double>(largest) * full;
  return static_cast<uint8_t>(std::min(std::nearbyint(scaled), 255.0));
}

Result<DecodedImage> DecodePnm(Bytes bytes, Framework framework) {
  const int64_t channels = bytes[1] == '6' ? 3 : 1;
  size_t pos = 2;
  std::array<int64_t, 3> header{};
  for (int64_t& value : header) {
    const std::optional<int64_t> number = PnmNumber(bytes, &pos);
    if (!number) return Corrupt(StrCat("PNM header has no number at byte ", pos));
    value = *number;
  }
  const auto [width, height, max_value] = header;
  OCTET_RETURN_IF_ERROR(CheckSize(width, height));
  if (max_value < 1 || max_value > 65535) {
    return Corrupt(StrCat("PNM maximum value is ", max_value, ", expected 1 to 65535"));
  }
  ++pos;  // One white space character ends the header.
  const int64_t sample_bytes = max_value > 255 ? 2 : 1;
  const int64_t samples = width * height * channels;
  const int64_t found = static_cast<int64_t>(bytes.size()) - static_cast<int64_t>(pos);
  if (found < samples * sample_bytes) {
    return Corrupt(StrCat("PNM is truncated: ", std::max<int64_t>(found, 0),
                          " bytes of pixels, expected ", samples * sample_bytes));
  }
  DecodedImage image{static_cast<int>(width), static_cast<int>(height), {}};
  image.rgb.resize(static_cast<size_t>(width * height * 3));
  const uint8_t* in = &bytes[pos];
  const int64_t repeat = 3 / channels;
  uint8_t* out = image.rgb.data();
  for (int64_t i = 0; i < samples; ++i, in += sample_bytes) {
    const int64_t value = sample_bytes == 2 ? Big16(in) : in[0];
    const uint8_t scaled = max_value == 255 ? static_cast<uint8_t>(value)
                                            : PnmValue(value, max_value, channels == 1, framework);
    for (int64_t r = 0; r < repeat; ++r) *out++ = scaled;
  }
  return image;
}

Result<DecodedImage> Decode(Bytes bytes, const Decoding& decoding, const Wanted& wanted,
                            std::vector<uint8_t> memory) {
  switch (DetectImageFormat(bytes)) {
    case ImageFormat::kJpeg:
      return DecodeJpeg(bytes, decoding, wanted, std::move(memory));
    case ImageFormat::kPng:
      return DecodePng(bytes, decoding, wanted.gray);
    case ImageFormat::kBmp:
      return DecodeBmp(bytes, decoding.framework, wanted.gray);
    case ImageFormat::kPnm:
      return DecodePnm(bytes, decoding.framework);
    case ImageFormat::kUnknown:
      break;
  }
  return Unsupported(
      StrCat("found ", ForeignFormat(bytes), ", expected JPEG, PNG, BMP or PNM (P5, P6)"));
}

}  // namespace

ImageFormat DetectImageFormat(std::span<const uint8_t> bytes) {
  if (StartsWith(bytes, "\xff\xd8\xff")) return ImageFormat::kJpeg;
  if (StartsWith(bytes, kPngSignature)) return ImageFormat::kPng;
  if (StartsWith(bytes, "BM")) return ImageFormat::kBmp;
  if (bytes.size() >= 3 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6') &&
      (bytes[2] == ' ' || bytes[2] == '#' || (bytes[2] >= '\t' && bytes[2] <= '\r'))) {
    return ImageFormat::kPnm;
  }
  return ImageFormat::kUnknown;
}

Wanted WantedBy(const Preprocessing& preprocessing, int height, int width, int channels,
                bool fast) {
  Wanted wanted{2 * width, 2 * height, channels == 1};
  if (preprocessing.resize == ResizeRule::kCenterCrop)
    wanted.width = wanted.height = 2 * preprocessing.resize_shorter;
  if (!fast || preprocessing.resize == ResizeRule::kNone) wanted.width = wanted.height = 0;
  return wanted;
}

Result<DecodedImage> DecodeImage(std::span<const uint8_t> bytes, const std::string& name,
                                 const Decoding& decoding, const Wanted& wanted,
                                 std::vector<uint8_t> memory) {
  Result<DecodedImage> image = Decode(bytes, decoding, wanted, std::move(memory));
  if (!image.ok()) return Status(image.status()).WithContext(name);
  // What is gray stays as it is.
  if (wanted.gray)
    MakeGray(decoding.framework == Framework::kOpencv ? kOpencvGray : kPillowGray, image->rgb);
  return image;
}

Result<DecodedImage> LoadImage(const std::string& path, const Decoding& decoding,
                               const Wanted& wanted) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, ReadFileBytes(path, kMaxImageFileBytes));
  return DecodeImage(bytes, path, decoding, wanted);
}

}  // namespace octet
