#include "formats/data/image.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/shape.h"
#include "formats/base/str_cat.h"
#include "formats/data/crc32.h"
#include "formats/data/file.h"
#include "formats/data/stb_decoder.h"

namespace octet {
namespace {

using Bytes = std::span<const uint8_t>;

uint32_t Little16(const uint8_t* p) { return uint32_t{p[0]} | uint32_t{p[1]} << 8; }
uint32_t Little32(const uint8_t* p) { return Little16(p) | Little16(p + 2) << 16; }
uint32_t Big16(const uint8_t* p) { return uint32_t{p[0]} << 8 | uint32_t{p[1]}; }
uint32_t Big32(const uint8_t* p) { return Big16(p) << 16 | Big16(p + 2); }

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
  return bytes.empty() ? "an empty file" : "not an image that is known here";
}

Status CheckSize(int64_t width, int64_t height) {
  if (width < 1 || height < 1) return Corrupt(StrCat("image size is ", width, "x", height));
  int64_t pixels = 0;
  if (!CheckedMul(width, height, &pixels) || pixels > kMaxImagePixels) {
    return Unsupported(StrCat("image is ", width, "x", height, ", at most ", kMaxImagePixels,
                              " pixels are decoded"));
  }
  return OkStatus();
}

struct ImageSize {
  int width = 0, height = 0;
};

// stb_image 2.27 writes behind its tables when the counts of codes add up to more than 256.
Status CheckHuffmanTables(Bytes segment, size_t offset) {
  constexpr size_t kCounts = 16;
  while (!segment.empty()) {
    size_t codes = 0;
    if (segment.size() < 1 + kCounts) return Corrupt(StrCat("JPEG Huffman tables at byte ", offset, " are cut off"));
    for (size_t i = 1; i <= kCounts; ++i) codes += segment[i];
    if (codes > 256 || codes > segment.size() - 1 - kCounts) {
      return Corrupt(StrCat("JPEG Huffman table at byte ", offset, " has ", codes, " codes, expected at most ",
                            std::min<size_t>(256, segment.size() - 1 - kCounts)));
    }
    segment = segment.subspan(1 + kCounts + codes);
  }
  return OkStatus();
}

// stb_image fills whatever is missing with gray and reports success, so the structure is walked first: every segment
// must lie inside the file, and the image must end with its end marker. The compressed data must also be long enough
// for the number of blocks, which is what bounds the decoder's work by the size of the file.
Result<ImageSize> CheckJpeg(Bytes bytes) {
  // Decoders walk all coefficients in every scan; real progressive files have about ten.
  constexpr int kMaxScans = 256;
  ImageSize size;
  bool progressive = false;
  int scans = 0;
  int64_t blocks = 0, scan_bytes = 0;
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
    const bool is_frame = marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 &&
                          marker != 0xcc;
    if (is_frame) {
      if (marker > 0xc2) {
        return Unsupported("JPEG is neither baseline nor progressive (lossless or arithmetic coding)");
      }
      if (size.width != 0) return Corrupt("JPEG has two frame headers");
      progressive = marker == 0xc2;
      if (segment.size() < 6) return Corrupt("JPEG frame header is too short");
      if (segment[0] != 8) {
        return Unsupported(StrCat("JPEG has ", int{segment[0]}, " bits a sample, expected 8"));
      }
      const int height = static_cast<int>(Big16(&segment[1]));
      const int width = static_cast<int>(Big16(&segment[3]));
      const size_t components = segment[5];
      OCTET_RETURN_IF_ERROR(CheckSize(width, height));
      if (components < 1 || components > 4 || segment.size() != 6 + 3 * components) {
        return Corrupt(StrCat("JPEG frame header has ", components, " components in ",
                              segment.size(), " bytes"));
      }
      int64_t h_max = 1, v_max = 1;
      for (size_t i = 0; i < components; ++i) {
        const int h = segment[7 + 3 * i] >> 4, v = segment[7 + 3 * i] & 15;
        if (h < 1 || h > 4 || v < 1 || v > 4) {
          return Corrupt(StrCat("JPEG sampling factors are ", h, "x", v));
        }
        h_max = std::max<int64_t>(h_max, h);
        v_max = std::max<int64_t>(v_max, v);
      }
      for (size_t i = 0; i < components; ++i) {
        const int64_t h = segment[7 + 3 * i] >> 4, v = segment[7 + 3 * i] & 15;
        blocks += CeilDiv(CeilDiv(width * h, h_max), 8) * CeilDiv(CeilDiv(height * v, v_max), 8);
      }
      size = {width, height};
    } else if (marker == 0xc4) {
      OCTET_RETURN_IF_ERROR(CheckHuffmanTables(segment, segment_offset));
    } else if (marker == 0xda) {
      if (size.width == 0) return Corrupt("JPEG scan comes before the frame header");
      if (++scans > kMaxScans) return Unsupported(StrCat("JPEG has more than ", kMaxScans, " scans"));
      const size_t begin = pos;
      while (pos + 1 < bytes.size()) {
        const uint8_t* escape = static_cast<const uint8_t*>(
            std::memchr(&bytes[pos], 0xff, bytes.size() - 1 - pos));
        if (escape == nullptr) {
          pos = bytes.size() - 1;
          break;
        }
        pos = static_cast<size_t>(escape - bytes.data());
        const uint8_t next = bytes[pos + 1];
        if (next != 0x00 && next != 0xff && !(next >= 0xd0 && next <= 0xd7)) break;
        pos += next == 0xff ? 1 : 2;
      }
      scan_bytes += static_cast<int64_t>(pos - begin);
    } else if (marker == 0xdc) {
      return Unsupported(StrCat("JPEG defines its height late, at byte ", segment_offset));
    }
  }
  if (scans == 0) return Corrupt("JPEG ends before its image data");
  // A block needs a bit for its first coefficient and, in sequential files, one for "no more coefficients".
  if (scan_bytes * 8 < blocks * (progressive ? 1 : 2)) {
    return Corrupt(StrCat("JPEG is truncated: ", scan_bytes, " bytes of image data cannot hold ",
                          size.width, "x", size.height, " pixels"));
  }
  return size;
}

// stb_image ignores the chunks' checksums, and IEND.
Result<ImageSize> CheckPng(Bytes bytes) {
  ImageSize size;
  int64_t row_bits = 0, compressed = 0;
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
    if ((size.width == 0) != (type == "IHDR")) {
      return Corrupt("PNG does not begin with its one IHDR chunk");
    }
    if (type == "IHDR") {
      if (length != 13) return Corrupt(StrCat("PNG header has ", length, " bytes, expected 13"));
      OCTET_RETURN_IF_ERROR(CheckSize(Big32(&chunk[0]), Big32(&chunk[4])));
      const int depth = chunk[8], color = chunk[9];
      const int channels = color == 2 ? 3 : color == 4 ? 2 : color == 6 ? 4 : 1;
      size = {static_cast<int>(Big32(&chunk[0])), static_cast<int>(Big32(&chunk[4]))};
      row_bits = int64_t{size.width} * channels * depth;
    } else if (type == "IDAT") {
      compressed += static_cast<int64_t>(length);
    } else if (type != "PLTE" && type != "IEND" && (type[0] & 0x20) == 0) {
      // By the rules a decoder must give up at a chunk that it does not know and that is marked as critical. stb_image
      // would put the chunk's name, whatever it is, into a message shared by all threads.
      return Unsupported(StrCat("PNG chunk at byte ", pos, " is critical and of an unknown type"));
    }
    end = type == "IEND";
    pos += 12 + length;
  }
  // Deflate makes at most 1032 bytes of one. This bounds the decoder's work by the size of the file.
  const int64_t raw = CeilDiv(row_bits, 8) * size.height;
  if (compressed < raw / 1032) {
    return Corrupt(StrCat("PNG is truncated: ", compressed, " bytes of image data cannot hold ",
                          size.width, "x", size.height, " pixels"));
  }
  return size;
}

Result<DecodedImage> DecodeWithStb(Bytes bytes, const ImageSize& size) {
  if (bytes.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
    return Unsupported("image file is larger than 2 GiB");
  }
  // The largest honest buffer is a 16-bit RGBA image, or a JPEG's coefficients with the padding of its last blocks.
  const size_t limit = (static_cast<size_t>(size.width) + 64) *
                           (static_cast<size_t>(size.height) + 64) * 16 +
                       2 * bytes.size() + (size_t{1} << 16);
  DecodedImage image;
  const char* error =
      data_internal::StbDecode(bytes, limit, &image.width, &image.height, &image.rgb);
  if (error != nullptr) return Corrupt(StrCat("image cannot be decoded: ", error));
  if (image.width != size.width || image.height != size.height) {
    return Corrupt(StrCat("image decodes to ", image.width, "x", image.height, ", its header says ",
                          size.width, "x", size.height));
  }
  return image;
}

Result<DecodedImage> DecodeBmp(Bytes bytes) {
  if (bytes.size() < 26) return Corrupt("BMP is truncated inside its header");
  const int64_t pixel_offset = Little32(&bytes[10]);
  const int64_t header_size = Little32(&bytes[14]);
  const bool old = header_size == 12;  // OS/2: 16-bit sizes, palette entries of 3 bytes.
  if (!old && header_size != 40 && header_size != 52 && header_size != 56 && header_size != 108 &&
      header_size != 124) {
    return Unsupported(StrCat("BMP header has ", header_size, " bytes, expected 12, 40, 52, 56, 108 or 124"));
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
  } else if (compression != 0) {
    return Unsupported(StrCat("BMP has compression ", compression, ", expected none"));
  }
  const int64_t row_bytes = CeilDiv(width * bits, 32) * 4;
  if (pixel_offset < header_end ||
      pixel_offset + row_bytes * height > static_cast<int64_t>(bytes.size())) {
    return Corrupt(StrCat("BMP is truncated: ", row_bytes * height, " bytes of pixels at byte ",
                          pixel_offset, " of ", bytes.size()));
  }
  std::array<std::array<uint8_t, 3>, 256> palette{};
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

// The next number of a PNM header; skips white space and comments in front. Nothing when there is none.
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

Result<DecodedImage> DecodePnm(Bytes bytes) {
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
    const int64_t scaled =
        max_value == 255 ? value : (std::min(value, max_value) * 255 + max_value / 2) / max_value;
    for (int64_t r = 0; r < repeat; ++r) *out++ = static_cast<uint8_t>(scaled);
  }
  return image;
}

Result<DecodedImage> Decode(Bytes bytes) {
  switch (DetectImageFormat(bytes)) {
    case ImageFormat::kJpeg: {
      OCTET_ASSIGN_OR_RETURN(const ImageSize size, CheckJpeg(bytes));
      return DecodeWithStb(bytes, size);
    }
    case ImageFormat::kPng: {
      OCTET_ASSIGN_OR_RETURN(const ImageSize size, CheckPng(bytes));
      return DecodeWithStb(bytes, size);
    }
    case ImageFormat::kBmp: return DecodeBmp(bytes);
    case ImageFormat::kPnm: return DecodePnm(bytes);
    case ImageFormat::kUnknown: break;
  }
  return Unsupported(StrCat("found ", ForeignFormat(bytes),
                            ", expected JPEG, PNG, BMP or PNM (P5, P6)"));
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

Result<DecodedImage> DecodeImage(std::span<const uint8_t> bytes, const std::string& name) {
  Result<DecodedImage> image = Decode(bytes);
  if (!image.ok()) return Status(image.status()).WithContext(name);
  return image;
}

Result<DecodedImage> LoadImage(const std::string& path) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes,
                         ReadFileBytes(path, kMaxImageFileBytes));
  return DecodeImage(bytes, path);
}

}  // namespace octet
