// The trained flower model in every precision: where its bytes lie does not change an answer, and
// neither does an arena that other networks use in between.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "formats/base/file.h"
#include "formats/base/str_cat.h"
#include "tests/kernels/tested_tables.h"

namespace octet {
namespace {

constexpr Precision kPrecisions[] = {Precision::kFp32,   Precision::kFp16,    Precision::kBf16,
                                     Precision::kHybrid, Precision::kInt16x8, Precision::kInt8};

std::vector<uint8_t> FlowerFile(Precision precision) {
  const auto bytes = ReadFileBytes(StrCat(OCTET_FLOWERS, "_", PrecisionName(precision), ".octet"),
                                   int64_t{1} << 26);
  EXPECT_TRUE(bytes.ok()) << bytes.status().message();
  return bytes.ok() ? *bytes : std::vector<uint8_t>();
}

/// The probabilities of a picture of random pixels.
std::vector<float> Answer(Session* session, uint32_t seed) {
  std::vector<uint8_t> pixels(160 * 160 * 3);
  for (uint8_t& p : pixels) {
    seed = seed * 1664525u + 1013904223u;
    p = static_cast<uint8_t>(seed >> 24);
  }
  const Image image{pixels.data(), 160, 160};
  auto answer = session->ClassifyBatch(&image, 1);
  EXPECT_TRUE(answer.ok()) << answer.status().message();
  return answer.ok() ? *answer : std::vector<float>();
}

std::unique_ptr<Session> NewSession(const std::shared_ptr<const Model>& model,
                                    const SessionOptions& options) {
  auto session = Session::Create(model, options);
  EXPECT_TRUE(session.ok()) << session.status().message();
  return session.ok() ? std::move(session).value() : nullptr;
}

class FlowersLoadingTest : public ::testing::TestWithParam<Precision> {};

TEST_P(FlowersLoadingTest, AnyAddressGivesTheSameBits) {
  const std::vector<uint8_t> file = FlowerFile(GetParam());
  ASSERT_GT(file.size(), 1000000u);
  std::byte* memory = nullptr;
  const std::shared_ptr<void> owner = MakeAlignedBuffer(file.size() + 64, &memory);
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    // The loops of an emulated set are those of its own, and take seconds an image.
    if (!testing::IsTested(info) || info.availability != kernels::Availability::kNative ||
        std::string(info.name) == "reference")
      continue;
    SCOPED_TRACE(info.name);
    SessionOptions options;
    options.isa = info.name;
    std::vector<float> expected;
    for (size_t at = 0; at < 64; at += 4) {
      SCOPED_TRACE(at);
      std::memcpy(memory + at, file.data(), file.size());
      const auto model = Model::FromMemory(memory + at, file.size());
      ASSERT_TRUE(model.ok()) << model.status().message();
      const int64_t copied = (*model)->Describe().copied_bytes;
      if (at % 8 == 0 || GetParam() != Precision::kInt16x8) {
        EXPECT_EQ(0, copied);
      } else {
        EXPECT_GT(copied, 0);
        EXPECT_LT(copied, static_cast<int64_t>(file.size()) / 50);
      }
      const auto session = NewSession(*model, options);
      ASSERT_NE(nullptr, session);
      const std::vector<float> answer = Answer(session.get(), 1);
      ASSERT_EQ(5u, answer.size());
      if (at == 0) expected = answer;
      EXPECT_EQ(0, std::memcmp(expected.data(), answer.data(), 5 * sizeof(float)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, FlowersLoadingTest, ::testing::ValuesIn(kPrecisions),
                         [](const auto& p) { return std::string(PrecisionName(p.param)); });

TEST(FlowersArena, AllPrecisionsTakeTurns) {
  auto arena = Arena::Create();
  ASSERT_TRUE(arena.ok()) << arena.status().message();
  std::vector<std::vector<uint8_t>> files;
  std::vector<std::unique_ptr<Session>> alone, shared;
  int64_t most = 0;
  for (const Precision precision : kPrecisions) {
    files.push_back(FlowerFile(precision));
    const auto model = Model::FromMemory(files.back().data(), files.back().size());
    ASSERT_TRUE(model.ok()) << model.status().message();
    SessionOptions options;
    options.num_threads = 2;
    alone.push_back(NewSession(*model, options));
    options.arena = *arena;
    shared.push_back(NewSession(*model, options));
    ASSERT_TRUE(alone.back() != nullptr && shared.back() != nullptr);
    most = std::max(most, shared.back()->Memory().arena_bytes);
  }
  EXPECT_EQ(most, (*arena)->bytes());
  for (uint32_t round = 0; round < 4; ++round) {
    for (size_t i = 0; i < shared.size(); ++i) {
      EXPECT_EQ(Answer(alone[i].get(), round), Answer(shared[i].get(), round))
          << PrecisionName(kPrecisions[i]);
    }
  }
}

}  // namespace
}  // namespace octet
