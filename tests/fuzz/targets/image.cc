// JPEG, PNG, BMP and PNM files. PNG's checksums are made right first.
#include "formats/data/image.h"

#include <vector>

#include "tests/fuzz/data_seeds.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  FixPng(&bytes);
  bytes.shrink_to_fit();
  const Result<DecodedImage> image = DecodeImage(bytes, "fuzz");
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
  return seeds;
}
