// Results are the same bits in every floating-point environment of the host, which finds its own as
// it was.
#include <gtest/gtest.h>
#include <omp.h>

#include <cfenv>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "engine/src/model_impl.h"
#include "kernels/dispatch.h"
#include "tests/small_network.h"

namespace octet {
namespace {

/// The control bits of the calling thread; flags left out.
uint64_t ReadControl() {
#if defined(__x86_64__)
  uint32_t value;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value & ~0x3fu;
#elif defined(__aarch64__)
  uint64_t value;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
#else
  return static_cast<uint64_t>(std::fegetround());
#endif
}

void WriteControl([[maybe_unused]] uint64_t value) {
#if defined(__x86_64__)
  const auto control = static_cast<uint32_t>(value);
  asm volatile("ldmxcsr %0" : : "m"(control));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(value));
#endif
}

struct Environment {
  const char* name;
  int rounding;
  uint64_t bits;  ///< Of the control register, besides.
};

#if defined(__x86_64__)
constexpr uint64_t kFlushResults = 0x8000, kFlushOperands = 0x0040;
#elif defined(__aarch64__)
constexpr uint64_t kFlushResults = uint64_t{1} << 24, kFlushOperands = kFlushResults;
#else
constexpr uint64_t kFlushResults = 0, kFlushOperands = 0;
#endif

const Environment kEnvironments[] = {
    {"default", FE_TONEAREST, 0},
    {"upward", FE_UPWARD, 0},
    {"downward", FE_DOWNWARD, 0},
    {"toward zero", FE_TOWARDZERO, 0},
    {"denormal results flushed", FE_TONEAREST, kFlushResults},
    {"denormal operands flushed", FE_TONEAREST, kFlushOperands},
    {"all", FE_UPWARD, kFlushResults | kFlushOperands},
};

/// Sets an environment, in the threads of OpenMP as well; at its end it must still be there.
class InEnvironment {
 public:
  InEnvironment(const Environment& e, int threads) : name_(e.name), threads_(threads) {
#pragma omp parallel num_threads(threads_)
    {
      const int i = omp_get_thread_num();
      before_[i] = ReadControl();
      std::fesetround(e.rounding);
      if (e.bits != 0) WriteControl(ReadControl() | e.bits);
      set_[i] = ReadControl();
    }
  }
  ~InEnvironment() {
#pragma omp parallel num_threads(threads_)
    {
      const int i = omp_get_thread_num();
      EXPECT_EQ(set_[i], ReadControl()) << name_ << ", thread " << i;
      std::fesetround(FE_TONEAREST);
      WriteControl(before_[i]);
    }
  }

 private:
  const char* name_;
  int threads_;
  uint64_t before_[2], set_[2];
};

constexpr size_t kPixels = 20 * 20 * 3;

/// Inputs for Run, made in the default environment: the second is of denormal numbers where it is
/// float.
std::vector<std::vector<uint8_t>> MakeInputs(DType dtype) {
  std::vector<std::vector<uint8_t>> inputs;
  for (const float scale : {1.0f, 1e-38f}) {
    std::vector<uint8_t> input(kPixels * DTypeSize(dtype));
    for (size_t i = 0; i < kPixels; ++i) {
      if (dtype == DType::kU8) {
        input[i] = static_cast<uint8_t>(i * 37);
      } else {
        const float v = (static_cast<float>(i * 37 % 255) - 120.0f) / 67.0f * scale;
        std::memcpy(&input[i * 4], &v, 4);
      }
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

/// Everything that computes, as bytes one after the other.
std::string Compute(const std::vector<std::vector<uint8_t>>& network_inputs, Session* session) {
  const ModelDescription& d = session->GetModel().Describe();
  std::vector<uint8_t> input(d.inputs[0].num_bytes()), output(d.outputs[0].num_bytes());
  std::vector<uint8_t> photo(37 * 29 * 3);
  for (size_t i = 0; i < photo.size(); ++i) photo[i] = static_cast<uint8_t>(i * 29 + i / 5);
  const Image image{photo.data(), 37, 29};
  EXPECT_TRUE(session->Preprocess(image, input.data()).ok());
  std::string all(input.begin(), input.end());
  for (const std::vector<uint8_t>& network_input : network_inputs) {
    const void* inputs = network_input.data();
    void* outputs = output.data();
    EXPECT_TRUE(session->Run(&inputs, &outputs, 1).ok());
    all.append(output.begin(), output.end());
  }
  const auto row = session->ClassifyBatch(&image, 1);
  EXPECT_TRUE(row.ok());
  if (row.ok()) all.append(reinterpret_cast<const char*>(row->data()), row->size() * 4);
  for (const TensorDescription& t : {d.inputs[0], d.outputs[0]}) {
    std::vector<uint8_t> bytes(t.num_bytes());
    std::vector<float> values(t.num_elements());
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(static_cast<int>(i % 600) - 300) / 64.0f;  // Exact in each.
    t.FromFloats(values.data(), bytes.data());
    all.append(bytes.begin(), bytes.end());
    t.ToFloats(bytes.data(), values.data());
    all.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  }
  return all;
}

struct Network {
  const char* name;
  Precision precision;
  bool float_ends, tflite;
};
const Network kNetworks[] = {
    {"fp32", Precision::kFp32, false, false},
    {"hybrid", Precision::kHybrid, false, false},
    {"int8", Precision::kInt8, false, false},
    {"int8_float_ends", Precision::kInt8, true, false},
    {"int8_tflite", Precision::kInt8, false, true},
};

class FloatEnvironmentTest : public ::testing::TestWithParam<Network> {};

TEST_P(FloatEnvironmentTest, ResultsAreTheSameBits) {
  Graph graph = testing::SmallNetwork(GetParam().precision, GetParam().float_ends);
  if (GetParam().tflite) graph.metadata.rounding = Rounding::kTflite;
  if (GetParam().precision == Precision::kFp32) {
    for (Node& n : graph.nodes) {  // Biases would hide denormal numbers.
      if (n.type == OpType::kConv2d || n.type == OpType::kDense) n.set_input(kInputBias, kNoTensor);
    }
  }
  const std::vector<std::byte> bytes = testing::FileOf(graph);
  ASSERT_FALSE(bytes.empty());
  const auto inputs = MakeInputs(graph.tensor(graph.inputs[0]).dtype);
  int tables = 0;
  for (const kernels::TableInfo& info : kernels::AllTables()) {
    if (info.availability == kernels::Availability::kUnavailable) continue;
    ++tables;
    const bool best = info.table == *kernels::SelectTable("");
    for (int threads = 1; threads <= (best ? 2 : 1); ++threads) {
      SessionOptions options;
      options.isa = info.name;
      options.num_threads = threads;
      std::string expected;
      std::unique_ptr<Session> first;
      for (const Environment& e : kEnvironments) {
        SCOPED_TRACE(std::string(info.name) + ", " + std::to_string(threads) + " threads, " +
                     e.name);
        const InEnvironment environment(e, threads);
        const auto model = Model::FromMemory(bytes.data(), bytes.size());
        ASSERT_TRUE(model.ok()) << model.status().message();
        const Status verified = (*model)->Verify();
        EXPECT_TRUE(verified.ok()) << verified.message();
        auto session = Session::Create(*model, options);  // Planned in this environment.
        ASSERT_TRUE(session.ok()) << session.status().message();
        const std::string all = Compute(inputs, session->get());
        if (first == nullptr) {
          expected = all;
          first = std::move(session).value();
        }
        EXPECT_TRUE(expected == all);
        EXPECT_TRUE(expected == Compute(inputs, first.get()));  // Planned in the default one.
      }
    }
  }
  EXPECT_GE(tables, 2);
}

INSTANTIATE_TEST_SUITE_P(All, FloatEnvironmentTest, ::testing::ValuesIn(kNetworks),
                         [](const auto& p) { return std::string(p.param.name); });

#if defined(__x86_64__)
// A host that traps divisions by zero and invalid operations does so in its own code only.
TEST(FloatEnvironmentTest, TrapsAreMasked) {
  const auto model = ModelFromGraph(testing::SmallNetwork(Precision::kFp32));
  ASSERT_TRUE(model.ok());
  auto session = Session::Create(*model);
  ASSERT_TRUE(session.ok());
  std::vector<float> input(kPixels, std::numeric_limits<float>::infinity()), output(5);
  const void* in = input.data();
  void* out = output.data();
  const uint64_t before = ReadControl();
  constexpr uint64_t kUnmaskedInvalid = 0x1f80 & ~0x0080;
  WriteControl(kUnmaskedInvalid);
  const Status status = (*session)->Run(&in, &out, 1);  // Infinity minus infinity.
  const uint64_t after = ReadControl();
  WriteControl(before);
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(kUnmaskedInvalid, after);
}
#endif

}  // namespace
}  // namespace octet
