#include "formats/data/image_writer.h"

#include <span>

#include "formats/base/file.h"
#include "formats/base/macros.h"

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

namespace octet {
namespace {

void Append(void* to, void* data, int size) {
  static_cast<std::string*>(to)->append(static_cast<const char*>(data), static_cast<size_t>(size));
}

}  // namespace

Result<std::string> EncodePng(const DecodedImage& image) {
  std::string bytes;
  if (stbi_write_png_to_func(Append, &bytes, image.width, image.height, 3, image.rgb.data(),
                             image.width * 3) == 0)
    return OutOfMemory("no memory to make a PNG");
  return bytes;
}

Result<std::string> EncodeJpeg(const DecodedImage& image, int quality) {
  std::string bytes;
  if (stbi_write_jpg_to_func(Append, &bytes, image.width, image.height, 3, image.rgb.data(),
                             quality) == 0)
    return OutOfMemory("no memory to make a JPEG");
  return bytes;
}

Status WritePng(const std::string& path, const DecodedImage& image) {
  Result<std::string> bytes = EncodePng(image);
  if (!bytes.ok()) {
    Status status = bytes.status();
    return std::move(status).WithContext(path);
  }
  return WriteFileAtomically(path, std::as_bytes(std::span(*bytes)));
}

}  // namespace octet
