// The C interface from other languages: engine/examples/classify.* in Python, Go and Rust, with a
// shared library, against the C++ interface; and the examples in C.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "engine/include/octet/octet.h"
#include "tests/packaging/command.h"
#include "tests/small_network.h"

namespace octet::testing {
namespace {

const std::string kExamples = OCTET_SOURCE_DIR "/engine/examples/";
// Kept between runs, so that the second one has nothing to compile.
const std::string kBindings = OCTET_BINDINGS_WORK_DIR;
const std::string kSharedPrefix = kBindings + "/prefix", kLib = kSharedPrefix + "/lib";

/// Pixels of a photo. The first bytes look like the white space that ends a header.
std::vector<uint8_t> Pixels(int width, int height) {
  std::vector<uint8_t> rgb;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (const int value : {10 + x * 9, 32 + y * 11, 255 - x * 4}) rgb.push_back(value & 255);
  return rgb;
}

class BindingsTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    ASSERT_TRUE(WriteModel(File("int8.octet"), SmallNetwork(Precision::kInt8)).ok());
    Graph nameless = SmallNetwork(Precision::kInt8);
    nameless.metadata.labels.clear();
    ASSERT_TRUE(WriteModel(File("nameless.octet"), nameless).ok());
    WriteFile(File("foreign.octet"), "not a model");
    const std::vector<uint8_t> rgb = Pixels(25, 22);
    WriteFile(File("photo.ppm"), "P6\n25 22\n255\n" + std::string(rgb.begin(), rgb.end()));
    WriteFile(File("short.ppm"), "P6\n25 22\n255\n" + std::string(rgb.begin(), rgb.end() - 1));
    std::filesystem::create_directories(kBindings);
    // Plain, whatever this build has (sanitizers): it is loaded by programs that have it not.
    for (const std::string& command :
         {"cmake -S " OCTET_SOURCE_DIR " -B " + Quote(kBindings + "/build") +
              " -G Ninja -DCMAKE_BUILD_TYPE=Debug -DOCTET_ISA_OPTIMIZE=-O0 -DOCTET_ISAS=" +
              kQuickIsa +
              " -DBUILD_SHARED_LIBS=ON -DOCTET_BUILD_TOOLS=OFF -DOCTET_BUILD_TESTS=OFF "
              "-DCMAKE_INSTALL_LIBDIR=lib " OCTET_COMPILERS,
          "cmake --build " + Quote(kBindings + "/build") + " --target octet",
          "cmake --install " + Quote(kBindings + "/build") + " --prefix " + Quote(kSharedPrefix)}) {
      const Outcome o = RunCommand(command);
      ASSERT_EQ(o.code, 0) << command << "\n" << o.out << o.err;
    }
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static std::string File(const std::string& name) { return *folder_ / name; }

  /// What an example says of the photo, by the C++ interface.
  static std::string Expected(const std::string& model) {
    auto session = Session::Create(*Model::Load(File(model)));
    const std::vector<uint8_t> rgb = Pixels(25, 22);
    std::string text;
    const auto top = (*session)->Classify({rgb.data(), 25, 22}, 3);
    for (const Prediction& p : *top) {
      char line[64];
      const std::string name = p.label.empty() ? std::to_string(p.index) : p.label;
      std::snprintf(line, sizeof(line), "%-12s %.3f\n", name.c_str(),
                    static_cast<double>(p.probability));
      text += line;
    }
    return text;
  }

  /// `program MODEL PHOTO` gives the answers and refuses what is neither.
  static void Check(const std::string& program) {
    const auto command = [&](const std::string& model, const std::string& photo) {
      return program + " " + Quote(File(model)) + " " + Quote(File(photo));
    };
    for (const std::string model : {"int8.octet", "nameless.octet"}) {
      const Outcome good = RunCommand(command(model, "photo.ppm"));
      EXPECT_EQ(good.code, 0) << good.err;
      EXPECT_EQ(good.out, Expected(model));
      EXPECT_EQ(good.err, "");
    }
    EXPECT_NE(Expected("int8.octet"), Expected("nameless.octet"));
    ExpectError(command("foreign.octet", "photo.ppm"), 1, "foreign.octet");
    ExpectError(command("none.octet", "photo.ppm"), 1, "none.octet");
    ExpectError(command("int8.octet", "short.ppm"), 1, "short.ppm is truncated");
    ExpectError(command("int8.octet", "int8.octet"), 1, "is not a binary PPM file");
  }

  inline static TemporaryFolder* folder_ = nullptr;
};

TEST_F(BindingsTest, Python) {
  if (RunCommand("python3 --version").code != 0) GTEST_SKIP() << "python3 is not installed";
  Check("python3 -W error " + Quote(kExamples + "classify.py") + " " +
        Quote(kLib + "/liboctet.so.0"));
}

TEST_F(BindingsTest, Go) {
  if (RunCommand("go version").code != 0) GTEST_SKIP() << "go is not installed";
  const std::string program = Quote(File("classify_go"));
  const Outcome o =
      RunCommand("export HOME=" + Quote(File("")) + " GOCACHE=" + Quote(kBindings + "/go_cache") +
                 " GO111MODULE=off CGO_CFLAGS=-I" + Quote(kSharedPrefix + "/include") +
                 " CGO_LDFLAGS=" + Quote("-L" + kLib + " -Wl,-rpath," + kLib) + "; go vet " +
                 Quote(kExamples + "classify.go") + " && go build -o " + program + " " +
                 Quote(kExamples + "classify.go"));
  ASSERT_EQ(o.code, 0) << o.err;
  Check("GODEBUG=cgocheck=2 " + program);
}

TEST_F(BindingsTest, Rust) {
  if (RunCommand("rustc --version").code != 0) GTEST_SKIP() << "rustc is not installed";
  const std::string program = Quote(File("classify_rs"));
  const Outcome o =
      RunCommand("rustc --edition 2021 -D warnings -L " + Quote(kLib) + " -C link-arg=-Wl,-rpath," +
                 Quote(kLib) + " -o " + program + " " + Quote(kExamples + "classify.rs"));
  ASSERT_EQ(o.code, 0) << o.err;
  Check(program);
}

TEST_F(BindingsTest, C) {
  const std::string program = Quote(File("run_c"));
  const Outcome o = RunCommand(OCTET_CC " -std=c89 -pedantic-errors -Wall -Wextra -Werror -I" +
                               Quote(kSharedPrefix + "/include") + " -o " + program + " " +
                               Quote(kExamples + "run.c") + " -L" + Quote(kLib) +
                               " -loctet -Wl,-rpath," + Quote(kLib));
  ASSERT_EQ(o.code, 0) << o.err;
  // The numbers of the output, black and white, through the C++ interface.
  auto model = Model::Load(File("int8.octet"));
  auto session = Session::Create(*model);
  const ModelDescription& d = (*model)->Describe();
  std::string expected;
  for (const uint8_t gray : {0, 255}) {
    const std::vector<uint8_t> pixels(64 * 64 * 3, gray);
    std::vector<uint8_t> in(d.inputs[0].num_bytes()), out(d.outputs[0].num_bytes());
    ASSERT_TRUE((*session)->Preprocess({pixels.data(), 64, 64}, in.data()).ok());
    ASSERT_TRUE((*session)->Run({{in.data(), in.size()}}, {{out.data(), out.size()}}).ok());
    std::vector<float> scores(out.size());
    d.outputs[0].ToFloats(out.data(), scores.data());
    const auto best = std::max_element(scores.begin(), scores.end());
    char line[64];
    std::snprintf(line, sizeof(line), "%s: class %d, %.3f\n", gray == 0 ? "black" : "white",
                  static_cast<int>(best - scores.begin()), static_cast<double>(*best));
    expected += line;
  }
  const Outcome good = RunCommand(program + " " + Quote(File("int8.octet")));
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, expected);
  ExpectError(program + " " + Quote(File("foreign.octet")), 1, "foreign.octet");
}

}  // namespace
}  // namespace octet::testing
