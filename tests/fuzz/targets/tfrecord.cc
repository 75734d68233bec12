// TFRecord files of examples, whose checksums are made right first unless the first byte is odd;
// that byte is not part of the file.
#include "formats/data/tfrecord.h"

#include <memory>
#include <vector>

#include "formats/data/dataset.h"
#include "tests/fuzz/data_seeds.h"
#include "tests/fuzz/targets/fuzz_target.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 1) return 0;
  std::vector<uint8_t> bytes(data + 1, data + size);
  (void)ParseExample(bytes);
  if (data[0] % 2 == 0) FixTfRecord(&bytes);
  const MemoryFile file(bytes.data(), bytes.size());
  const auto dataset = OpenDataset(
      file.path(),
      {.labels = {"roses", "tulips"}, .max_samples = data[0] / 2 % 4, .need_labels = true});
  if (!dataset.ok()) return 0;
  // At most one record per 16 bytes.
  for (size_t n = 0;; ++n) {
    FUZZ_CHECK(n <= bytes.size() / 16 + 1, "more records than the file has room for");
    Sample sample;
    const Result<bool> more = (*dataset)->Next(&sample);
    if (!more.ok()) return 0;
    if (!*more) break;
    FUZZ_CHECK(sample.label >= -1 && sample.label <= 1, "a label out of range");
  }
  ++deep_inputs;
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  std::vector<uint8_t> records = TfRecordSeed(), example = MakeTfRecord({ExampleSeed()});
  records.insert(records.begin(), 0);
  std::vector<uint8_t> some = records;
  some[0] = 4;
  return {records, some};
}
