// Damaged Keras and TFLite files give an error or a valid graph, never a crash or a hang: run it
// under AddressSanitizer. OCTET_FUZZ_FACTOR multiplies the number of mutations. The files are
// TensorFlow's own (tests/golden/export_keras_tflite.py, case tiny and fp32.tflite of case
// dilated).
#include <gtest/gtest.h>

#include <cstdint>
#include <ctime>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "converter/import/importer.h"
#include "converter/import/zip_reader.h"
#include "formats/model/graph.h"
#include "tests/fuzz/mutation.h"
#include "tests/unit/pytorch_builder.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using testing::FuzzIterations;
using testing::Mutator;
using Bytes = std::vector<uint8_t>;
using Importer = Result<Graph> (*)(std::string_view);

constexpr size_t kMostBytes = size_t{66}
                              << 20;  // Per-channel constants that a few bytes may ask for.
constexpr double kMostSeconds = 5.0;

Bytes ReadTiny(const std::string& name) {
  std::ifstream file(OCTET_SOURCE_DIR "/tests/data/tiny/" + name, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

std::string_view Text(const Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// True when the file was imported; whatever is must be valid.
bool Import(Importer import, std::string_view bytes) {
  testing::largest_allocation = 0;
  // The processor's time: others may be using the machine.
  const std::clock_t begin = std::clock();
  const Result<Graph> graph = import(bytes);
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  EXPECT_LE(testing::largest_allocation, kMostBytes);
  EXPECT_LE(seconds, kMostSeconds);
  if (!graph.ok()) {
    EXPECT_FALSE(graph.status().message().empty());
    return false;
  }
  EXPECT_TRUE(ValidateGraph(*graph).ok());
  return true;
}

struct Case {
  const char* file;
  Importer import;
};

class FileFuzz : public ::testing::TestWithParam<Case> {};

TEST_P(FileFuzz, Mutations) {
  const Bytes file = ReadTiny(GetParam().file);
  ASSERT_TRUE(Import(GetParam().import, Text(file))) << GetParam().file;
  Mutator mutator(file.size());
  int64_t good = 0;
  const int64_t n = FuzzIterations(10000);
  for (int64_t i = 0; i < n; ++i) good += Import(GetParam().import, Text(mutator.Mutate(file)));
  EXPECT_LT(good, n);
}

/// Numbers changed where they stand, so that everything else is still found: this gets past the
/// formats' own checks most often.
TEST_P(FileFuzz, NumbersInPlace) {
  const Bytes file = ReadTiny(GetParam().file);
  static constexpr uint32_t kSpecial[] = {
      0,    1,    2,    3,      4,      5,       7,          8,          16,
      0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff};
  Mutator random(file.size() + 1);
  int64_t good = 0;
  for (int64_t i = FuzzIterations(20000); i > 0; --i) {
    Bytes bytes = file;
    for (size_t changes = 1 + random.Below(3); changes > 0; --changes) {
      const size_t width = size_t{1} << random.Below(3),
                   at = random.Below(bytes.size() / width) * width;
      uint32_t value = kSpecial[random.Below(std::size(kSpecial))];
      if (random.Below(3) == 0) value = bytes[at] + static_cast<uint32_t>(random.Below(9)) - 4;
      for (size_t k = 0; k < width; ++k) bytes[at + k] = static_cast<uint8_t>(value >> (8 * k));
    }
    good += Import(GetParam().import, Text(bytes));
  }
  EXPECT_GT(good, 0);
}

TEST_P(FileFuzz, Truncations) {
  const Bytes file = ReadTiny(GetParam().file);
  for (size_t size = 0; size < file.size(); size += 1 + file.size() / 4000) {
    const Bytes part(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    Import(GetParam().import, Text(part));
  }
}

INSTANTIATE_TEST_SUITE_P(All, FileFuzz,
                         ::testing::Values(Case{"fp32.tflite", ImportTfliteBytes},
                                           Case{"fp16.tflite", ImportTfliteBytes},
                                           Case{"int8.tflite", ImportTfliteBytes},
                                           Case{"dilated.tflite", ImportTfliteBytes},
                                           Case{"int8_float.tflite", ImportTfliteBytes},
                                           Case{"model.h5", ImportKerasH5Bytes},
                                           Case{"model.keras", ImportKerasZipBytes}),
                         [](const auto& param_info) {
                           std::string name = param_info.param.file;
                           for (char& c : name) c = c == '.' ? '_' : c;
                           return name;
                         });

/// The archive's entries, so that damage inside of them gets past their checksums.
struct Archive {
  Archive() {
    file = ReadTiny("model.keras");
    const auto zip = ZipReader::Open({std::as_bytes(std::span(file)), nullptr}, "model.keras");
    EXPECT_TRUE(zip.ok());
    for (const ZipEntry& entry : zip->entries()) {
      const auto data = zip->Read(entry);
      EXPECT_TRUE(data.ok());
      if (entry.name == "config.json") config = Bytes(data->text().begin(), data->text().end());
      if (entry.name == "model.weights.h5")
        weights = Bytes(data->text().begin(), data->text().end());
    }
  }
  static std::string Build(const Bytes& config, const Bytes& weights, bool deflate) {
    testing::ZipBuilder zip;
    zip.Add("config.json", std::string(Text(config)), deflate);
    zip.Add("model.weights.h5", std::string(Text(weights)), deflate);
    return zip.Build();
  }
  Bytes file, config, weights;
};

TEST(KerasArchiveFuzz, Configuration) {
  const Archive archive;
  ASSERT_TRUE(Import(ImportKerasZipBytes, Archive::Build(archive.config, archive.weights, true)));
  Mutator mutator(1);
  for (int64_t i = FuzzIterations(10000); i > 0; --i) {
    Import(ImportKerasZipBytes,
           Archive::Build(mutator.Mutate(archive.config), archive.weights, false));
  }
}

TEST(KerasArchiveFuzz, ConfigurationOfValidJson) {
  // Numbers, words and brackets exchanged, so that most of it still parses.
  const Archive archive;
  const std::string text(Text(archive.config));
  const std::vector<std::string> words{
      "0",        "-1",   "1",        "null",     "2147483647", "1e30",
      "[]",       "{}",   "\"relu\"", "false",    "true",       "[1, 2]",
      "\"conv\"", "4096", "0.5",      "\"same\"", "\"Conv2D\"", "99999999999"};
  Mutator random(2);
  int64_t good = 0;
  for (int64_t i = FuzzIterations(10000); i > 0; --i) {
    std::string changed = text;
    for (size_t changes = 1 + random.Below(3); changes > 0; --changes) {
      // One value: what follows a colon, bracket or comma, up to the next of them.
      size_t begin = changed.find_first_of(":[,", random.Below(changed.size()));
      if (begin == std::string::npos) continue;
      ++begin;
      const size_t end = changed.find_first_of(",]}", begin);
      if (end == std::string::npos) continue;
      changed.replace(begin, end - begin, words[random.Below(words.size())]);
    }
    good += Import(ImportKerasZipBytes,
                   Archive::Build(Bytes(changed.begin(), changed.end()), archive.weights, false));
  }
  EXPECT_GT(good, 0);
}

TEST(KerasArchiveFuzz, Weights) {
  const Archive archive;
  Mutator mutator(3);
  int64_t good = 0;
  for (int64_t i = FuzzIterations(10000); i > 0; --i) {
    good += Import(ImportKerasZipBytes,
                   Archive::Build(archive.config, mutator.Mutate(archive.weights), false));
  }
  EXPECT_GT(good, 0);  // Values may change.
}

}  // namespace
}  // namespace octet
