// JPEG, PNG, BMP and PNM files, whose last byte chooses how they are decoded. PNG's checksums are
// made right first.
#include "formats/data/image.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "formats/base/file.h"
#include "formats/data/jpeg_decoder.h"
#include "tests/fuzz/data_seeds.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::vector<uint8_t> bytes(data, data + size - 1);
  FixPng(&bytes);
  bytes.shrink_to_fit();
  unsigned choices = data[size - 1];
  const auto choose = [&](unsigned count) {
    const unsigned choice = choices % count;
    choices /= count;
    return choice;
  };
  Decoding decoding;
  decoding.dct = static_cast<Dct>(choose(2));
  decoding.upsampling = static_cast<Upsampling>(choose(2));
  decoding.exif_orientation = choose(2) == 1;
  const int smallest[] = {0, 1, 3, 20};
  const int side = smallest[choose(4)];
  decoding.framework = static_cast<Framework>(choose(3));
#ifdef OCTET_HAVE_LIBJPEG
  data_internal::jpeg_by_stb = choose(2) == 1;
#endif
  const bool gray = choose(2) == 1;
  const Result<DecodedImage> image = DecodeImage(bytes, "fuzz", decoding, {side, side, gray});
  if (!image.ok()) return 0;
  ++deep_inputs;
  const size_t expected =
      size_t{3} * static_cast<size_t>(image->width) * static_cast<size_t>(image->height);
  FUZZ_CHECK(image->rgb.size() == expected, "size of the pixels");
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (const auto& some : {JpegSeeds(), PngSeeds(), BmpSeeds(), PnmSeeds()}) {
    seeds.insert(seeds.end(), some.begin(), some.end());
  }
  for (std::vector<uint8_t>& seed : seeds) seed.push_back(0);
#ifdef OCTET_HAVE_LIBJPEG
  uint8_t choices = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(OCTET_SOURCE_DIR "/tests/data/pixels/decoding")) {
    std::vector<uint8_t> bytes = *ReadFileBytes(entry.path().string(), 1 << 20);
    if (DetectImageFormat(bytes) == ImageFormat::kUnknown) continue;
    // All choices of decoding in turn, by libjpeg, but for those that refuse the file.
    bytes.push_back(choices++);
    for (int i = 0; i < 96; ++i, ++bytes.back()) {
      bytes.back() %= 96;
      const auto before = deep_inputs;
      LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
      if (deep_inputs != before) break;
    }
    seeds.push_back(std::move(bytes));
  }
#endif
  return seeds;
}
