// Images in memory with any fields: what CheckImage accepts is read within its planes, which are
// as small as they may be, and every instruction set makes the reference's pixels of it.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/src/pixels/pixel_rows.h"
#include "kernels/dispatch.h"
#include "kernels/tables.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

namespace {

constexpr int64_t kMostBytes = int64_t{1} << 18, kMostPixels = 1 << 14;

/// The fields come first, as they are in memory.
struct Fields {
  int32_t width, height, format, rotation, matrix, range;
  int64_t row_stride, chroma_stride;
  Rectangle roi;
  uint8_t mirror, planes;  ///< Bit i: chroma[i] is given.
  uint8_t channels, framework;
};

/// Memory of `bytes` with the input's in turn.
std::unique_ptr<uint8_t[]> Fill(const uint8_t* data, size_t size, int64_t bytes) {
  auto memory = std::make_unique<uint8_t[]>(static_cast<size_t>(bytes));
  for (int64_t i = 0; i < bytes && size > 0; ++i)
    memory[i] = static_cast<uint8_t>(data[static_cast<size_t>(i) % size] + i / 251);
  return memory;
}

std::vector<uint8_t> Rows(const Image& image, const Fields& f, const kernels::KernelTable& table) {
  const auto bytes = static_cast<size_t>(ImageRows::ScratchBytes(image));
  const std::unique_ptr<void, decltype(&std::free)> scratch(std::aligned_alloc(64, bytes),
                                                            &std::free);
  ImageRows rows(image, f.channels % 2 == 0 ? 3 : 1, static_cast<Framework>(f.framework % 3),
                 table.pixels->rows, static_cast<uint8_t*>(scratch.get()));
  const size_t row_bytes = static_cast<size_t>(rows.width()) * static_cast<size_t>(rows.channels());
  std::vector<uint8_t> all;
  volatile uint8_t behind = 0;  // For AddressSanitizer.
  for (int y = 0; y < rows.height(); ++y) {
    const uint8_t* row = rows.Row(y);
    all.insert(all.end(), row, row + row_bytes);
    for (int i = 0; i < kPixelOverread; ++i) behind = row[row_bytes + static_cast<size_t>(i)];
  }
  (void)behind;
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Fields f;
  if (size < sizeof(f)) return 0;
  std::memcpy(&f, data, sizeof(f));
  data += sizeof(f);
  size -= sizeof(f);
  const uint8_t none = 0;
  Image image;
  image.pixels = &none;
  image.width = f.width;
  image.height = f.height;
  image.format = static_cast<PixelFormat>(f.format);
  image.row_stride = f.row_stride;
  for (int i = 0; i < 2; ++i) image.chroma[i] = (f.planes >> i) % 2 != 0 ? &none : nullptr;
  image.chroma_stride = f.chroma_stride;
  image.roi = f.roi;
  image.rotation = f.rotation;
  image.mirror = f.mirror % 2 != 0;
  image.matrix = static_cast<YuvMatrix>(f.matrix);
  image.range = static_cast<YuvRange>(f.range);
  const Status status = CheckImage(image);
  if (!status.ok()) {
    FUZZ_CHECK(status.code() == StatusCode::kInvalidArgument, status.message());
    return 0;
  }

  // Planes of exactly the bytes that octet.h says.
  constexpr int kPixelBytes[] = {3, 3, 4, 4, 1, 1, 1, 1, 2};
  const int64_t w = image.width, h = image.height, half_w = (w + 1) / 2, half_h = (h + 1) / 2;
  const int64_t row = w * kPixelBytes[f.format];
  const int64_t stride = image.row_stride != 0 ? image.row_stride : row;
  const bool planes = image.format == PixelFormat::kI420;
  const bool pairs = image.format == PixelFormat::kNv12 || image.format == PixelFormat::kNv21;
  const int64_t chroma_row = pairs ? 2 * half_w : half_w;
  const int64_t chroma_stride = image.chroma_stride != 0 ? image.chroma_stride
                                : pairs                  ? stride + stride % 2
                                                         : (stride + 1) / 2;
  const int64_t chroma_bytes = chroma_stride * (half_h - 1) + chroma_row;
  int64_t bytes[3] = {stride * (h - 1) + row, 0, 0};
  int holder = 0;              // Whose memory the next plane is in, unless it has its own,
  int64_t begin = stride * h;  // and where.
  for (int i = 0; i < (planes ? 2 : pairs ? 1 : 0); ++i) {
    if (image.chroma[i] != nullptr) {
      holder = i + 1;
      begin = 0;
    }
    bytes[holder] = begin + chroma_bytes;
    begin += chroma_stride * half_h;
  }
  if (bytes[0] + bytes[1] + bytes[2] > kMostBytes || w * h > kMostPixels) return 0;
  std::unique_ptr<uint8_t[]> memory[3];
  for (int i = 0; i < 3; ++i) memory[i] = Fill(data, size, bytes[i]);
  image.pixels = memory[0].get();
  for (int i = 0; i < 2; ++i) {
    if (image.chroma[i] != nullptr) image.chroma[i] = memory[i + 1].get();
  }

  ++deep_inputs;
  const std::vector<uint8_t> expected = Rows(image, f, kernels::kReferenceTable);
  const auto [width, height] = UprightSize(image);
  FUZZ_CHECK(!expected.empty() && expected.size() % static_cast<size_t>(width * height) == 0,
             "size of the pixels");
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability == kernels::Availability::kUnavailable) continue;
    FUZZ_CHECK(Rows(image, f, *info.table) == expected, info.name);
  }
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<std::vector<uint8_t>> seeds;
  for (int32_t format = 0; format < 9; ++format) {
    for (int32_t n = 0; n < 8; ++n) {
      Fields f{};
      f.width = 2 * (n * 9 + 5);
      f.height = n * 7 + 3;
      f.format = format;
      f.rotation = n % 4;
      f.matrix = n / 2 % 2;
      f.range = n / 4;
      if (n % 3 == 1) f.row_stride = 4 * f.width + n;
      if (n % 2 == 1) f.roi = {3, 1, f.width - 4, f.height - 2};
      f.mirror = n > 3;
      if (format == 5 || format == 6) f.planes = n % 2 != 0 ? 1 : 0;
      if (format == 7) f.planes = static_cast<uint8_t>(n % 3 == 2 ? 3 : n % 3);
      f.channels = n == 5;
      f.framework = static_cast<uint8_t>(n % 3);
      std::vector<uint8_t>& seed = seeds.emplace_back(sizeof(f) + 40);
      std::memcpy(seed.data(), &f, sizeof(f));
      for (size_t i = sizeof(f); i < seed.size(); ++i)
        seed[i] = static_cast<uint8_t>(i * 97 + i * i);
    }
  }
  return seeds;
}
