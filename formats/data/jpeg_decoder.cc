// libjpeg reports errors by a longjmp out of its own frames to Jpeg::Try, so nothing in between may
// own anything, and most of its warnings are errors. Rows of RGB are decoded straight into the
// image; others go through a buffer of one row.
#include "formats/data/jpeg_decoder.h"

#ifdef OCTET_HAVE_LIBJPEG

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

// After <cstdio>, which it needs.
#include <jpeglib.h>
// After the former.
#include <jerror.h>

namespace octet::data_internal {

constinit thread_local bool jpeg_by_stb = false;

namespace {

struct ErrorManager {
  jpeg_error_mgr base;  ///< First: libjpeg knows this pointer alone.
  std::jmp_buf back;
  std::array<char, JMSG_LENGTH_MAX> message;
};

// libjpeg's way to report an error must not return. Nothing but its own frames, which have nothing
// to destroy, lies between this and Jpeg::Try.
[[noreturn]] void Fail(j_common_ptr jpeg) {
  ErrorManager* errors = reinterpret_cast<ErrorManager*>(jpeg->err);
  errors->base.format_message(jpeg, errors->message.data());
  std::longjmp(errors->back, 1);
}

void FailAtWarning(j_common_ptr jpeg, int level) {
  if (level >= 0) return;  // Not a warning.
  switch (jpeg->err->msg_code) {
    case JWRN_JFIF_MAJOR:
    case JWRN_NOT_SEQUENTIAL:  // Of fields that have no meaning there, which some cameras fill.
    case JWRN_ADOBE_XFORM:
      return;
    case JWRN_EXTRANEOUS_DATA: {
      // Where a restart was due, the data before it was damaged.
      const int marker = jpeg->err->msg_parm.i[1];
      if (marker < 0xd0 || marker > 0xd7) return;
      break;
    }
    default:
      break;
  }
  Fail(jpeg);
}

/// A decompressor that is released on every path.
class Jpeg {
 public:
  Jpeg() {
    info.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = Fail;
    errors_.base.emit_message = FailAtWarning;
  }
  ~Jpeg() { jpeg_destroy_decompress(&info); }
  Jpeg(const Jpeg&) = delete;
  Jpeg& operator=(const Jpeg&) = delete;

  /// Runs `step`, which must own nothing while it is in libjpeg; false when that failed.
  template <typename Step>
  [[gnu::noinline]] bool Try(const Step& step) {
    if (setjmp(errors_.back) != 0) return false;
    step();
    return true;
  }

  Status Error() const {
    std::string message = StrCat("JPEG cannot be decoded: ", errors_.message.data());
    switch (errors_.base.msg_code) {
      case JERR_OUT_OF_MEMORY:
      case JERR_NO_BACKING_STORE:  // More than max_memory_to_use.
        return OutOfMemory(std::move(message));
      case JERR_CCIR601_NOTIMPL:
      case JERR_CONVERSION_NOTIMPL:
      case JERR_FRACT_SAMPLE_NOTIMPL:
        return Unsupported(std::move(message));
      default:
        return Corrupt(std::move(message));
    }
  }

  jpeg_decompress_struct info{};

 private:
  ErrorManager errors_{};
};

// CMYK as the frameworks make RGB of it. Adobe's programs store it inverted.
void FromCmyk(Framework framework, bool adobe, const uint8_t* in, int width, uint8_t* out) {
  for (const uint8_t* end = in + 4 * static_cast<std::ptrdiff_t>(width); in != end; in += 4) {
    const int k = in[3];
    for (int i = 0; i < 3; ++i) {
      const int c = in[i];
      int color = 0;
      switch (framework) {
        case Framework::kPillow: {  // Takes all of them for Adobe's.
          const int product = (255 - c) * k + 128;
          color = k - (((product >> 8) + product) >> 8);
          break;
        }
        case Framework::kOpencv:  // So does it.
          color = k - ((255 - c) * k >> 8);
          break;
        case Framework::kTensorflow:
          color = adobe ? k * c / 255 : (255 - k) * (255 - c) / 255;
          break;
      }
      *out++ = static_cast<uint8_t>(color);
    }
  }
}

}  // namespace

Result<DecodedImage> DecodeByLibjpeg(Bytes bytes, const JpegStructure& structure,
                                     const Decoding& decoding, bool gray, int eighths,
                                     std::vector<uint8_t> memory) {
  Jpeg jpeg;
  jpeg_decompress_struct& info = jpeg.info;
  const Framework framework = decoding.framework;
  const bool cmyk = structure.components == 4;
  if (cmyk && gray && framework == Framework::kTensorflow)
    return Unsupported("JPEG is CMYK, of which tf.io.decode_jpeg makes no gray");
  // CMYK and Pillow's gray are made of RGB.
  const bool luma = gray && !cmyk && framework != Framework::kPillow;
  const bool started = jpeg.Try([&] {
    jpeg_create_decompress(&info);
    info.mem->max_memory_to_use = static_cast<long>(DecoderMemory(structure.size, bytes.size()));
    jpeg_mem_src(&info, bytes.data(), bytes.size());
    jpeg_read_header(&info, TRUE);
    info.out_color_space = cmyk ? JCS_CMYK : luma ? JCS_GRAYSCALE : JCS_RGB;
    info.dct_method = decoding.dct == Dct::kFast ? JDCT_IFAST : JDCT_ISLOW;
    info.do_fancy_upsampling = decoding.upsampling == Upsampling::kFancy ? TRUE : FALSE;
    info.scale_num = static_cast<unsigned>(eighths);
    info.scale_denom = 8;
    jpeg_start_decompress(&info);
  });
  if (!started) return jpeg.Error();
  DecodedImage image{static_cast<int>(info.output_width), static_cast<int>(info.output_height),
                     std::move(memory)};
  if (image.width != CeilDiv(structure.size.width * eighths, 8) ||
      image.height != CeilDiv(structure.size.height * eighths, 8)) {
    return Corrupt(StrCat("JPEG decodes to ", image.width, "x", image.height, ", its header says ",
                          structure.size.width, "x", structure.size.height));
  }
  const size_t width = info.output_width, height = info.output_height;
  image.rgb.resize(width * height * 3);
  std::vector<uint8_t> other_row(cmyk ? width * 4 : luma ? width : 0);
  const bool done = jpeg.Try([&] {
    while (info.output_scanline < height) {
      // As many as libjpeg has at once, lest it copies them.
      std::array<uint8_t*, 16> rows;
      const size_t at = info.output_scanline,
                   count = std::min(other_row.empty() ? rows.size() : 1, height - at);
      for (size_t i = 0; i < count; ++i) rows[i] = &image.rgb[(at + i) * width * 3];
      uint8_t* other = other_row.data();
      jpeg_read_scanlines(&info, other_row.empty() ? rows.data() : &other,
                          static_cast<unsigned>(count));
      if (cmyk)
        FromCmyk(framework, info.saw_Adobe_marker != 0, other, static_cast<int>(width), rows[0]);
      for (size_t i = 0; luma && i < width; ++i) std::fill_n(rows[0] + 3 * i, 3, other[i]);
    }
  });
  if (!done) return jpeg.Error();
  return image;
}

}  // namespace octet::data_internal

#else

namespace octet::data_internal {

constinit thread_local bool jpeg_by_stb = true;

Result<DecodedImage> DecodeByLibjpeg(Bytes, const JpegStructure&, const Decoding&, bool, int,
                                     std::vector<uint8_t>) {
  return InternalError("built without libjpeg");
}

}  // namespace octet::data_internal

#endif
