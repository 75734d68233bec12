// NumPy arrays, as numbers and as a data set.
#include "formats/data/npy.h"

#include <vector>

#include "formats/data/dataset.h"
#include "tests/fuzz/targets/fuzz_target.h"
#include "tests/unit/data_test_util.h"

using namespace octet;           // NOLINT: a program of its own.
using namespace octet::testing;  // NOLINT

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Result<NpyHeader> header = ParseNpyHeader({data, size});
  const MemoryFile file(data, size);
  const Result<NpyFloats> floats = ReadNpyFloats(file.path(), int64_t{1} << 20);
  if (floats.ok()) {
    ++deep_inputs;
    FUZZ_CHECK(header.ok(), header.status().message());
    FUZZ_CHECK(static_cast<int64_t>(floats->values.size()) == header->elements,
               "number of elements");
  }
  const auto reader = NpyReader::Open(file.path());
  if (reader.ok() && reader->header().elements < 1 << 16) {
    std::vector<int64_t> values(static_cast<size_t>(reader->header().elements));
    (void)reader->ReadInts(0, reader->header().elements, values.data());
  }
  const auto dataset = OpenDataset(file.path());
  if (!dataset.ok()) return 0;
  Sample sample;
  for (int64_t n = 0; n < 1000; ++n) {
    const Result<bool> more = (*dataset)->Next(&sample);
    if (!more.ok() || !*more) break;
  }
  return 0;
}

std::vector<std::vector<uint8_t>> octet::testing::SeedCorpus() {
  // As NumPy writes them.
  std::vector<std::vector<uint8_t>> seeds;
  const auto add = [&](const char* type, const char* shape, size_t bytes) {
    std::string header =
        std::string("{'descr': '") + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    header.resize(117, ' ');
    header += '\n';
    std::vector<uint8_t>& seed = seeds.emplace_back();
    Append(&seed, std::string_view("\x93NUMPY\x01\x00", 8));
    AppendLittle(&seed, header.size(), 2);
    Append(&seed, header);
    seed.resize(seed.size() + bytes, 0x3f);
  };
  add("|u1", "(2, 2, 3, 3)", 36);
  add("<f4", "(2, 1, 2, 4)", 64);
  add("<f8", "(3,)", 24);
  add("<f2", "(2, 3)", 12);
  add("<i4", "()", 4);
  add("<i8", "(5,)", 40);
  add("|i1", "(1, 4, 4, 1)", 16);
  return seeds;
}
