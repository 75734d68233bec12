// Photos of any size through any rule of scaling: what is refused says so, and every instruction
// set and any number of threads give the reference's values.
#include "engine/src/preprocess.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "formats/model/preprocessing.h"
#include "kernels/dispatch.h"
#include "kernels/tables.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

namespace {

struct Choices {
  uint16_t width, height, out_width, out_height, shorter;
  uint8_t format, rotation, mirror, channels;
  uint8_t rule, framework, filter, antialias, coordinates, passes, gap, to_float, order, threads;
};

std::vector<float> Values(const Image& image, const Preprocessing& p, const Choices& c, int threads,
                          const kernels::KernelTable& table, std::string* error) {
  const int channels = c.channels % 2 == 0 ? 3 : 1;
  Workforce workforce(*ThreadPool::Create(threads), {}, threads);
  Preprocessor preprocessor(p, c.out_height, c.out_width, channels, table, int64_t{1} << 28,
                            &workforce);
  std::vector<float> values(static_cast<size_t>(c.out_width) * c.out_height * channels);
  for (int i = 0; i < 2; ++i) {  // The second time with what the first has worked out.
    const Status status = preprocessor.ToFloat(image, values.data());
    if (!status.ok()) *error = status.message();
  }
  return values;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Choices c;
  if (size < sizeof(c) + 1) return 0;
  std::memcpy(&c, data, sizeof(c));
  data += sizeof(c);
  size -= sizeof(c);
  c.width = static_cast<uint16_t>(c.width % 300 + 1);
  c.height = static_cast<uint16_t>(c.height % 300 + 1);
  c.out_width = static_cast<uint16_t>(c.out_width % 70 + 1);
  c.out_height = static_cast<uint16_t>(c.out_height % 70 + 1);
  constexpr PixelFormat kFormats[] = {PixelFormat::kRgb, PixelFormat::kGray, PixelFormat::kBgra,
                                      PixelFormat::kNv12};
  Preprocessing p;
  p.resize = static_cast<ResizeRule>(c.rule % 5);
  p.resize_shorter = c.shorter % 400;
  p.order = static_cast<ChannelOrder>(c.order % 2);
  p.resampling = {static_cast<Framework>(c.framework % 3),
                  static_cast<ResizeFilter>(c.filter % 8),
                  c.antialias % 2 == 1,
                  static_cast<Coordinates>(c.coordinates % 3),
                  static_cast<Passes>(c.passes % 2),
                  c.gap % 4 == 0 ? static_cast<float>(c.gap % 3 + 1) : 0.0f,
                  c.to_float % 2 == 1};
  if (p.resize == ResizeRule::kLetterbox) p.pad_color = {1, 200, 30};
  if (!ProblemOf(p.resampling).empty()) return 0;

  // Exactly the image's bytes.
  Image image;
  image.width = c.width;
  image.height = c.height;
  image.format = kFormats[c.format % 4];
  image.rotation = c.rotation % 4;
  image.mirror = c.mirror % 2 == 1;
  const size_t pixels = static_cast<size_t>(c.width) * c.height;
  const size_t chroma = static_cast<size_t>((c.width + 1) / 2) * 2 * ((c.height + 1) / 2);
  const size_t stride = static_cast<size_t>(c.width) + c.width % 2;
  const size_t bytes = image.format == PixelFormat::kGray   ? pixels
                       : image.format == PixelFormat::kBgra ? 4 * pixels
                       : image.format == PixelFormat::kNv12 ? stride * c.height + chroma
                                                            : 3 * pixels;
  if (image.format == PixelFormat::kNv12) image.row_stride = static_cast<int64_t>(stride);
  const std::unique_ptr<uint8_t[]> memory(new uint8_t[bytes]);
  for (size_t i = 0; i < bytes; ++i) memory[i] = static_cast<uint8_t>(data[i % size] + i / 251);
  image.pixels = memory.get();

  ++deep_inputs;
  std::string refused;
  const std::vector<float> expected = Values(image, p, c, 1, kernels::kReferenceTable, &refused);
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability == kernels::Availability::kUnavailable) continue;
    std::string error;
    const std::vector<float> found = Values(image, p, c, c.threads % 3 + 1, *info.table, &error);
    FUZZ_CHECK(error == refused, error + " or " + refused);
    FUZZ_CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0,
               info.name);
  }
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (uint8_t framework = 0; framework < 3; ++framework) {
    for (uint8_t filter = 0; filter < 8; ++filter) {
      Choices c{};
      c.framework = framework;
      c.filter = filter;
      c.gap = 1;
      Resampling r;
      r.framework = static_cast<Framework>(framework);
      r.filter = static_cast<ResizeFilter>(filter);
      if (!ProblemOf(r).empty()) continue;
      for (uint8_t n = 0; n < 6; ++n) {
        c.width = static_cast<uint16_t>(n * 37 + 20);
        c.height = static_cast<uint16_t>(n * 23 + 30);
        c.out_width = static_cast<uint16_t>(n * 11 + 7);
        c.out_height = static_cast<uint16_t>(n * 5 + 30);
        c.shorter = 80;
        c.rule = static_cast<uint8_t>(n == 0 ? 1 : n % 5 == 0 ? 1 : n % 5);
        c.to_float = n % 2;
        c.format = n % 4;
        c.rotation = n == 4;
        std::vector<uint8_t>& seed = seeds.emplace_back(sizeof(c) + 40);
        std::memcpy(seed.data(), &c, sizeof(c));
        for (size_t i = sizeof(c); i < seed.size(); ++i)
          seed[i] = static_cast<uint8_t>(i * 97 + i * i);
      }
    }
  }
  return seeds;
}
