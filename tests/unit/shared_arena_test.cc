// Sessions that share an arena answer as sessions that have memory of their own, whatever runs in
// between, and never at the same time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/arena.h"
#include "engine/src/model_impl.h"
#include "tests/kernels/tested_tables.h"
#include "tests/small_network.h"
#include "tests/watched_allocations.h"

namespace octet {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<Arena> NewArena() {
  auto arena = Arena::Create();
  EXPECT_TRUE(arena.ok()) << arena.status().message();
  return *arena;
}

/// Convolutions one after the other on images of `side` pixels, by Winograd where there is any.
Graph Convolutions(Precision precision, int64_t side) {
  testing::SampleGraphBuilder b(precision);
  TensorId x = b.Input({1, side, side, 3});
  for (const char* name : {"a", "b", "c"}) {
    const int64_t channels = b.graph().tensor(x).shape[3];
    x = b.Conv(OpType::kConv2d, name, x, {32, 3, 3, channels}, kNoTensor,
               b.Activation(name, {1, 1, 1, 1}, 5, 0.04f), [](Node* n) {
                 n->window.pad_top = n->window.pad_left = 1;
                 n->window.pad_bottom = n->window.pad_right = 1;
                 n->activation = Activation::kRelu;
               });
  }
  b.Output(x);
  return std::move(b.graph());
}

std::shared_ptr<const Model> ModelOf(Graph graph) {
  auto model = ModelFromGraph(std::move(graph));
  EXPECT_TRUE(model.ok()) << model.status().message();
  return model.ok() ? *model : nullptr;
}

/// A session with inputs, and what one that shares nothing answers to them.
class Subject {
 public:
  Subject(const std::shared_ptr<const Model>& model, SessionOptions options, uint32_t seed)
      : batch_(options.max_batch) {
    const ModelDescription& d = model->Describe();
    std::mt19937 random(seed);
    std::uniform_real_distribution<float> values(-2.0f, 2.0f);
    for (const TensorDescription& t : d.inputs) {
      std::vector<float> numbers(t.num_elements());
      inputs_.emplace_back();
      for (int i = 0; i < batch_; ++i) {
        for (float& v : numbers) v = values(random);
        inputs_.back().resize(inputs_.back().size() + t.num_bytes());
        t.FromFloats(numbers.data(), &inputs_.back()[inputs_.back().size() - t.num_bytes()]);
      }
    }
    for (const TensorDescription& t : d.outputs)
      outputs_.emplace_back(t.num_bytes() * static_cast<size_t>(batch_));
    for (auto& b : inputs_) in_.push_back(b.data());
    for (auto& b : outputs_) out_.push_back(b.data());
    auto shared = Session::Create(model, options);
    EXPECT_TRUE(shared.ok()) << shared.status().message();
    options.arena = nullptr;
    auto alone = Session::Create(model, options);
    EXPECT_TRUE(alone.ok()) << alone.status().message();
    if (!shared.ok() || !alone.ok()) return;
    session_ = std::move(shared).value();
    EXPECT_TRUE((*alone)->Run(in_.data(), out_.data(), batch_).ok());
    expected_ = outputs_;
    EXPECT_EQ((*alone)->Memory().arena_bytes, session_->Memory().arena_bytes);
  }

  Status Run() {
    for (auto& b : outputs_) std::fill(b.begin(), b.end(), uint8_t{0xee});
    return session_->Run(in_.data(), out_.data(), batch_);
  }
  bool IsRight() const { return outputs_ == expected_; }
  void RunAndCheck() {
    const Status status = Run();
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(IsRight());
  }
  Session& session() { return *session_; }
  int64_t bytes() const { return session_->Memory().arena_bytes; }

 private:
  int batch_;
  std::vector<std::vector<uint8_t>> inputs_, outputs_, expected_;
  std::vector<const void*> in_;
  std::vector<void*> out_;
  std::unique_ptr<Session> session_;
};

/// What another session may have left, at its worst: NaN, and the largest and smallest codes.
void Soil(Arena* arena, int round) {
  const ArenaMemory& memory = *Internals::Of(*arena).memory;
  constexpr uint8_t kBytes[] = {0xff, 0x00, 0x7f, 0x80};
  std::memset(memory.data(), kBytes[round % 4], static_cast<size_t>(memory.bytes()));
}

class SharedArenaTest : public ::testing::TestWithParam<int> {};

TEST_P(SharedArenaTest, SessionsInTurnsAnswerAsAlone) {
  const kernels::TableInfo info = kernels::AllTables()[GetParam()];
  if (!testing::IsTested(info)) GTEST_SKIP() << info.name << " does not run here";
  const auto arena = NewArena();
  EXPECT_EQ(0, arena->bytes());
  std::vector<std::unique_ptr<Subject>> subjects;
  int64_t most = 0, all = 0;
  uint32_t seed = 0;
  for (const Precision precision : testing::kPrecisionsOfFiles) {
    for (const auto& model :
         {ModelOf(testing::SmallNetwork(precision)), ModelOf(testing::RunnableGraph(precision)),
          ModelOf(Convolutions(precision, 24))}) {
      ASSERT_NE(nullptr, model);
      SessionOptions options;
      options.isa = info.name;
      options.arena = arena;
      options.num_threads = 1 + static_cast<int>(seed % 2);
      options.max_batch = 1 + static_cast<int>(seed % 3);
      subjects.push_back(std::make_unique<Subject>(model, options, ++seed));
      most = std::max(most, subjects.back()->bytes());
      all += subjects.back()->bytes();
      EXPECT_EQ(most, arena->bytes());
      // Those before have to move when this one is larger.
      subjects[seed / 2]->RunAndCheck();
      subjects.back()->RunAndCheck();
    }
  }
  EXPECT_LT(2 * most, all);
  // Plain loops take their time.
  const bool native =
      info.availability == kernels::Availability::kNative && std::string(info.name) != "reference";
  std::mt19937 random(3);
  for (int round = 0; round < (native ? 200 : 50); ++round) {
    SCOPED_TRACE(round);
    if (round % 2 == 0) Soil(arena.get(), round / 2);
    subjects[random() % subjects.size()]->RunAndCheck();
  }
  // Ends of some leave the rest as it was.
  while (subjects.size() > 1) {
    subjects.erase(subjects.begin() + static_cast<std::ptrdiff_t>(random() % subjects.size()));
    Soil(arena.get(), static_cast<int>(subjects.size()));
    subjects.front()->RunAndCheck();
    subjects.back()->RunAndCheck();
  }
  EXPECT_EQ(most, arena->bytes());
}

INSTANTIATE_TEST_SUITE_P(All, SharedArenaTest,
                         ::testing::Range(0, static_cast<int>(kernels::AllTables().size())),
                         [](const auto& p) { return kernels::AllTables()[p.param].name; });

TEST(SharedArena, LargeBatchesRunInGroups) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  // 128 KiB a layer and image.
  options.max_batch = 200;
  Subject large(ModelOf(Convolutions(Precision::kFp32, 32)), options, 1);
  EXPECT_LT(Internals::Of(large.session()).group, 200);
  options.max_batch = 1;
  Subject small(ModelOf(testing::SmallNetwork(Precision::kInt8)), options, 2);
  for (int i = 0; i < 3; ++i) {
    small.RunAndCheck();
    large.RunAndCheck();
  }
}

TEST(SharedArena, LivesAsLongAsItsSessions) {
  auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  Subject s(ModelOf(testing::SmallNetwork(Precision::kFp16)), options, 1);
  options.arena = nullptr;
  const std::weak_ptr<Arena> watched = arena;
  arena = nullptr;
  EXPECT_FALSE(watched.expired());
  s.RunAndCheck();
}

TEST(SharedArena, RunAllocatesNothingAlsoWhenItMoved) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  Subject small(ModelOf(testing::SmallNetwork(Precision::kFp32)), options, 1);
  small.RunAndCheck();
  const int64_t before_growth = arena->bytes();
  Subject large(ModelOf(Convolutions(Precision::kFp32, 40)), options, 2);
  EXPECT_GT(arena->bytes(), before_growth);
  const int64_t before = testing::num_allocations;
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(small.Run().ok());
    ASSERT_TRUE(large.Run().ok());
  }
  EXPECT_EQ(before, testing::num_allocations);
  EXPECT_TRUE(small.IsRight() && large.IsRight());
}

TEST(SharedArena, ASecondSessionAtATimeIsRefused) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  Subject first(ModelOf(testing::SmallNetwork(Precision::kInt8)), options, 1);
  Subject second(ModelOf(testing::SmallNetwork(Precision::kFp32)), options, 2);
  std::unique_ptr<Subject> larger;
  int refused = 0;
  Internals::Of(first.session()).observer = [&](TensorId, const kernels::ActivationView&) {
    const Status status = second.Run();
    EXPECT_EQ(StatusCode::kInvalidArgument, status.code());
    EXPECT_THAT(status.message(), HasSubstr("arena in use by another session"));
    ++refused;
    if (larger == nullptr)  // Makes the arena grow under the one that runs.
      larger = std::make_unique<Subject>(ModelOf(Convolutions(Precision::kFp32, 40)), options, 3);
  };
  first.RunAndCheck();
  EXPECT_GT(refused, 3);
  EXPECT_EQ(larger->bytes(), arena->bytes());
  Internals::Of(first.session()).observer = nullptr;
  second.RunAndCheck();
  larger->RunAndCheck();
  first.RunAndCheck();
}

TEST(SharedArena, ARunThatFailsEndsItsTurn) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  Subject s(ModelOf(testing::SmallNetwork(Precision::kInt8)), options, 1);
  EXPECT_FALSE(s.session().Run(nullptr, nullptr, 1).ok());
  s.RunAndCheck();
}

TEST(SharedArena, ASessionThatCannotBeMadeLeavesItAsItWas) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  Subject small(ModelOf(testing::SmallNetwork(Precision::kInt8)), options, 1);
  const int64_t bytes = arena->bytes();
  std::vector<std::byte> file = testing::FileOf(Convolutions(Precision::kFp32, 40));
  ModelOptions limits;
  limits.max_memory = 3 << 20;
  const auto model = Model::FromMemory(file.data(), file.size(), limits);
  ASSERT_TRUE(model.ok()) << model.status().message();
  options.max_batch = 8;
  EXPECT_EQ(StatusCode::kOutOfMemory, Session::Create(*model, options).status().code());
  EXPECT_EQ(bytes, arena->bytes());
  small.RunAndCheck();
}

TEST(SharedArena, ThreadsMeetAnErrorAndNothingElse) {
  const auto arena = NewArena();
  SessionOptions options;
  options.arena = arena;
  constexpr int kThreads = 3;
  std::vector<std::unique_ptr<Subject>> subjects;
  const Precision precisions[] = {Precision::kInt8, Precision::kFp32, Precision::kInt16x8};
  for (int i = 0; i < kThreads; ++i) {
    subjects.push_back(std::make_unique<Subject>(ModelOf(Convolutions(precisions[i], 24)), options,
                                                 static_cast<uint32_t>(i)));
  }
  std::atomic<int> right{0}, wrong{0}, refused{0}, others{0}, running{kThreads};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int run = 0; run < 300; ++run) {
        const Status status = subjects[static_cast<size_t>(i)]->Run();
        if (status.ok()) {
          ++(subjects[static_cast<size_t>(i)]->IsRight() ? right : wrong);
          std::this_thread::yield();
        } else {
          ++(status.code() == StatusCode::kInvalidArgument ? refused : others);
        }
      }
      --running;
    });
  }
  // Meanwhile it grows, a little each time.
  for (int64_t side = 25; running > 0 || side < 30; ++side) {
    if (side > 60) {
      std::this_thread::yield();
      continue;
    }
    const auto session = Session::Create(ModelOf(Convolutions(Precision::kFp32, side)), options);
    EXPECT_TRUE(session.ok()) << session.status().message();
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(0, wrong);
  EXPECT_EQ(0, others);
  EXPECT_EQ(kThreads * 300, right + refused);
  EXPECT_GT(right, 0);
  for (const auto& s : subjects) s->RunAndCheck();
}

}  // namespace
}  // namespace octet
