// A network of integers gives the same bits on every machine. Every activation of the flower model
// (OCTET_BITS_MODEL, converted on this machine to int8, and beside it to int16x8) is digested with
// every instruction set, and all must agree. The digests are stored beside the model; a cross build
// (tests/aarch64) reads model and digests of the machine that built them and must arrive at the
// same.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/src/model_impl.h"
#include "formats/base/fnv1a.h"
#include "kernels/kernel_table.h"
#include "tests/kernels/tested_tables.h"

namespace octet {
namespace {

using Digests = std::map<std::string, std::string>;  // Of tensors, by name.

std::string Digest(const Tensor& t, const kernels::ActivationView& view) {
  uint64_t hash = kFnv1aStart;
  std::vector<uint8_t> pixel(static_cast<size_t>(view.c) * DTypeSize(t.dtype));
  for (int y = 0; y < view.h; ++y) {
    for (int x = 0; x < view.w; ++x) {
      ReadPixel(t, view, y, x, pixel.data());
      for (const uint8_t byte : pixel) hash = Fnv1a(hash, byte);
    }
  }
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

Digests DigestActivations(const std::shared_ptr<const Model>& model, const char* isa) {
  Digests digests;
  SessionOptions options;
  options.isa = isa;
  auto session = Session::Create(model, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  if (!session.ok()) return digests;
  Internals::Of(**session).observer = [&](TensorId id, const kernels::ActivationView& view) {
    const Tensor& t = GraphOf(*model).tensor(id);
    digests[t.name] = Digest(t, view);
  };
  const auto output = RunGolden(session->get(), 11);
  EXPECT_TRUE(output.ok()) << output.status().message();
  return digests;
}

// Plans may keep different tensors to themselves, so those that both show are compared: at least
// half of all.
void ExpectSame(const Digests& expected, const Digests& actual, size_t nodes) {
  size_t compared = 0;
  for (const auto& [name, digest] : actual) {
    const auto other = expected.find(name);
    if (other == expected.end()) continue;
    ++compared;
    EXPECT_EQ(other->second, digest) << name;
  }
  std::printf("%zu activations compared\n", compared);
  EXPECT_GE(compared, nodes / 2);
}

class SameBits : public ::testing::TestWithParam<Precision> {
 protected:
  static std::string Path() {
    std::string path = OCTET_BITS_MODEL;
    return path.replace(path.rfind("int8"), 4, PrecisionName(GetParam()));
  }
};
INSTANTIATE_TEST_SUITE_P(All, SameBits, ::testing::Values(Precision::kInt8, Precision::kInt16x8),
                         [](const auto& p) { return PrecisionName(p.param); });

TEST_P(SameBits, EveryActivationOnEveryInstructionSet) {
  testing::ExpectTestedTables();
  const auto model = Model::Load(Path());
  ASSERT_TRUE(model.ok()) << model.status().message();
  ASSERT_EQ((*model)->Describe().precision, GetParam());
  EXPECT_TRUE((*model)->Verify().ok()) << (*model)->Verify().message();
  const size_t nodes = GraphOf(**model).nodes.size();
  const std::string path = Path() + ".digests";

  Digests expected;
#ifdef OCTET_BITS_COMPARE
  std::ifstream file(path);
  for (std::string digest, name; file >> digest && std::getline(file >> std::ws, name);)
    expected[name] = digest;
  ASSERT_FALSE(expected.empty()) << path;
#endif
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    // The reference's softmax computes in double precision.
    if (!testing::IsTested(info) || info.name == std::string("reference")) continue;
    SCOPED_TRACE(info.name);
    const Digests digests = DigestActivations(*model, info.name);
    ASSERT_FALSE(digests.empty());
    if (expected.empty()) expected = digests;
    std::printf("%s: ", info.name);
    ExpectSame(expected, digests, nodes);
  }
#ifndef OCTET_BITS_COMPARE
  std::ofstream file(path);
  for (const auto& [name, digest] : expected) file << digest << ' ' << name << '\n';
  EXPECT_TRUE(file.flush()) << path;
#endif
}

// The work is split differently for each number of threads, and threads take over each other's
// parts.
TEST_P(SameBits, WithAnyNumberOfThreads) {
  const auto model = Model::Load(Path());
  ASSERT_TRUE(model.ok()) << model.status().message();
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (!testing::IsTested(info) || info.availability != kernels::Availability::kNative) continue;
    if (info.name == std::string("reference")) continue;
    std::vector<float> expected;
    for (int threads : {1, 2, 4}) {
      SessionOptions options;
      options.isa = info.name;
      options.num_threads = threads;
      auto session = Session::Create(*model, options);
      ASSERT_TRUE(session.ok()) << session.status().message();
      for (int repeat = 0; repeat < 2; ++repeat) {
        const auto output = RunGolden(session->get(), 12);
        ASSERT_TRUE(output.ok()) << output.status().message();
        if (expected.empty()) expected = *output;
        EXPECT_EQ(expected, *output) << info.name << ", " << threads << " threads";
      }
    }
  }
}

}  // namespace
}  // namespace octet
