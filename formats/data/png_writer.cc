#include "formats/data/png_writer.h"

#include <span>
#include <vector>

#include "formats/base/file.h"

#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>

namespace octet {

Status WritePng(const std::string& path, const DecodedImage& image) {
  std::vector<std::byte> bytes;
  const auto append = [](void* to, void* data, int size) {
    const auto* p = static_cast<const std::byte*>(data);
    static_cast<std::vector<std::byte>*>(to)->insert(
        static_cast<std::vector<std::byte>*>(to)->end(), p, p + size);
  };
  if (stbi_write_png_to_func(append, &bytes, image.width, image.height, 3, image.rgb.data(),
                             image.width * 3) == 0) {
    return OutOfMemory(path + ": no memory to make a PNG");
  }
  return WriteFileAtomically(path, bytes);
}

}  // namespace octet
