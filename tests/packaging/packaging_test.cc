// The library in other people's programs: installed and found, as a subdirectory, without
// exceptions and RTTI, from C. And what it must not bring along: prints, aborts, exceptions of its
// own, work before main, libraries beyond OpenMP.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/packaging/command.h"

namespace octet::testing {
namespace {

// Kept between runs of the tests, so that the second one has nothing to compile.
const std::string kWork = OCTET_PACKAGING_WORK_DIR;
const std::string kPrefix = kWork + "/prefix";

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class PackagingTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::filesystem::remove_all(kPrefix);
    std::filesystem::create_directories(kWork);
    const Outcome install =
        RunCommand("cmake --install " OCTET_BUILD_DIR " --prefix " + Quote(kPrefix));
    ASSERT_EQ(install.code, 0) << install.err;
    const std::string flowers = OCTET_SOURCE_DIR "/models/flowers/";
    const Outcome convert = RunCommand(
        Quote(OCTET_CONVERT_PATH) + " " + Quote(flowers + "flowers_resnet.safetensors") +
        " --graph=flowers_resnet --precision=int8 --calibration-table=" +
        Quote(flowers + "calibration.json") + " --output=" + Quote(kWork + "/int8.octet"));
    ASSERT_EQ(convert.code, 0) << convert.err;
    WriteFile(kWork + "/foreign.octet", "not a model");
  }

  /// Builds `targets` of tests/packaging/consumer; where they are.
  static std::string Build(const std::string& name, const std::string& options,
                           const std::string& targets) {
    const std::string build = kWork + "/" + name;
    const Outcome configure =
        RunCommand("cmake -S " OCTET_SOURCE_DIR "/tests/packaging/consumer -B " + Quote(build) +
                   " -G Ninja " OCTET_CONSUMER_OPTIONS " " + options);
    EXPECT_EQ(configure.code, 0) << configure.out << configure.err;
    const Outcome compile = RunCommand("cmake --build " + Quote(build) + " --target " + targets);
    EXPECT_EQ(compile.code, 0) << compile.out << compile.err;
    return build;
  }

  /// Compares what the consumers say.
  static void BuildAndRun(const std::string& name, const std::string& options) {
    const std::string build = Build(name, options, "consumer consumer_plain consumer_c");
    if (HasFailure()) return;
    std::set<std::string> answers;
    for (const std::string program : {"consumer", "consumer_plain", "consumer_c"}) {
      const std::string path = Quote(build + "/" + program);
      const Outcome good = RunCommand(path + " " + Quote(kWork + "/int8.octet"));
      EXPECT_EQ(good.code, 0) << program << ": " << good.err;
      answers.insert(good.out);
      ExpectError(path + " " + Quote(kWork + "/foreign.octet"), 1, "foreign.octet");
    }
    EXPECT_EQ(answers.size(), 1u);
    EXPECT_TRUE(
        std::regex_match(*answers.begin(),
                         std::regex("(roses|sunflowers|daisy|dandelion|tulips) [01]\\.[0-9]{4}\n")))
        << *answers.begin();
  }
};

TEST_F(PackagingTest, InstallsTwoHeadersThatStandAlone) {
  std::set<std::string> headers;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kPrefix + "/include")) {
    if (entry.is_regular_file())
      headers.insert(entry.path().lexically_relative(kPrefix + "/include").string());
  }
  EXPECT_EQ(headers, (std::set<std::string>{"octet/octet.h", "octet/octet_c.h"}));
  const std::string include = " -I" + Quote(kPrefix + "/include") +
                              " -Wall -Wextra -Wshadow -pedantic -Werror -fsyntax-only ";
  const std::string cxx =
      "printf '#include <octet/octet.h>\\n#include <octet/octet.h>\\n' | " OCTET_CXX
      " -std=c++20 -x c++" +
      include;
  for (const std::string flags : {"-", "-fno-exceptions -fno-rtti -"}) {
    const Outcome o = RunCommand(cxx + flags);
    EXPECT_EQ(o.code, 0) << o.err;
  }
  const Outcome c = RunCommand(
      "printf '#include <octet/octet_c.h>\\n' | " OCTET_CC " -std=c99 -x c" + include + "-");
  EXPECT_EQ(c.code, 0) << c.err;
}

TEST_F(PackagingTest, TheSampleAtTheTopOfTheHeaderCompiles) {
  std::string code =
      "#include <octet/octet.h>\n#include <cstdio>\n#include <stdexcept>\n"
      "void Sample(const uint8_t* pixels, int width, int height) {\n";
  int lines = 0;
  for (const std::string& line : Lines(ReadFile(kPrefix + "/include/octet/octet.h"))) {
    if (lines > 0 && line == "//") break;
    if (!line.starts_with("//   ")) continue;
    code += line.substr(2) + "\n";
    ++lines;
  }
  EXPECT_GE(lines, 5);
  WriteFile(kWork + "/sample.cc", code + "}\n");
  const Outcome o = RunCommand(OCTET_CXX " -std=c++20 -Wall -Wextra -Werror -fsyntax-only -I" +
                               Quote(kPrefix + "/include") + " " + Quote(kWork + "/sample.cc"));
  EXPECT_EQ(o.code, 0) << o.err;
}

TEST_F(PackagingTest, InstallsProgramsAndTheirCompletion) {
  for (const std::string program : {"octet", "octet_convert", "bench_resnet"}) {
    const std::string installed = Quote(kPrefix + "/bin/" + program);
    EXPECT_EQ(RunCommand(installed + " --version").code, 0) << program;
    EXPECT_EQ(ReadFile(kPrefix + "/share/bash-completion/completions/" + program),
              RunCommand(installed + " --completion=bash").out);
    EXPECT_EQ(ReadFile(kPrefix + "/share/zsh/site-functions/_" + program),
              RunCommand(installed + " --completion=zsh").out);
  }
  EXPECT_NE(ReadFile(kPrefix + "/share/doc/octet/LICENSE"), "");
}

TEST_F(PackagingTest, FindPackage) {
  BuildAndRun("find_package", "-DCMAKE_PREFIX_PATH=" + Quote(kPrefix));
  if (HasFailure()) return;
  // A static library's dependencies are the program's.
  const std::string command = "readelf -d " + Quote(kWork + "/find_package/consumer_c");
  const Outcome o = RunCommand(command);
  ASSERT_EQ(o.code, 0) << o.err;
  for (const std::string& line : Lines(o.out)) {
    if (line.find("(NEEDED)") == std::string::npos) continue;
    EXPECT_TRUE(
        std::regex_search(line, std::regex("\\[(lib(stdc\\+\\+|c\\+\\+|m|gcc_s|c|pthread|gomp|omp|"
                                           "asan|ubsan|tsan)|ld-linux[^.]*)\\.so")))
        << line;
  }
}

TEST_F(PackagingTest, PkgConfig) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers need flags of their own";
#endif
  if (RunCommand("pkg-config --version").code != 0) GTEST_SKIP() << "no pkg-config";
  std::string folder;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kPrefix)) {
    if (entry.path().filename() == "octet.pc") folder = entry.path().parent_path().string();
  }
  const std::string program = Quote(kWork + "/by_pkg_config");
  const Outcome o = RunCommand(OCTET_CC " -o " + program + " " +
                               Quote(OCTET_SOURCE_DIR "/tests/packaging/consumer/consumer.c") +
                               " $(PKG_CONFIG_PATH=" + Quote(folder) +
                               " pkg-config --cflags --libs 'octet >= 0.1')");
  ASSERT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(RunCommand(program + " " + Quote(kWork + "/int8.octet")).code, 0);
}

TEST_F(PackagingTest, AddSubdirectory) {
  // All of the library again; optimized that would be two minutes of a core.
  BuildAndRun("add_subdirectory",
              "-DCMAKE_BUILD_TYPE=Debug -DOCTET_ISA_OPTIMIZE=-O0 -DOCTET_SOURCE=" OCTET_SOURCE_DIR);
}

TEST_F(PackagingTest, TheCodeOfTheReadmeRuns) {
  const std::string readme = ReadFile(OCTET_SOURCE_DIR "/README.md"), fence = "```cpp\n";
  const size_t begin = readme.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const size_t code = begin + fence.size();
  WriteFile(kWork + "/readme.cc", readme.substr(code, readme.find("\n```", code) + 1 - code));
  const std::string program = Quote(Build("readme",
                                          "-DCMAKE_PREFIX_PATH=" + Quote(kPrefix) +
                                              " -DREADME_CODE=" + Quote(kWork + "/readme.cc"),
                                          "readme") +
                                    "/readme");
  if (HasFailure()) return;
  const Outcome good = RunCommand(program + " " + Quote(kWork + "/int8.octet"));
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_TRUE(std::regex_match(good.out, std::regex("([a-z]+ +[01]\\.[0-9]{3}\n){3}"))) << good.out;
  ExpectError(program + " " + Quote(kWork + "/foreign.octet"), 1, "foreign.octet");
}

TEST_F(PackagingTest, LibraryKeepsToItself) {
#if !defined(NDEBUG) || defined(OCTET_SANITIZED)
  GTEST_SKIP() << "assertions and sanitizers bring symbols of their own";
#endif
  std::string archives;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kPrefix)) {
    if (entry.path().extension() == ".a") archives += " " + Quote(entry.path().string());
  }
  ASSERT_NE(archives, "");
  // Demangled names, because std::__throw_length_error and its like are the standard library's own.
  const Outcome undefined = RunCommand("nm --undefined-only -C" + archives);
  ASSERT_EQ(undefined.code, 0) << undefined.err;
  const std::regex forbidden(
      "^ +U "
      "(abort|exit|_exit|quick_exit|__assert_fail|__cxa_throw|raise|kill|signal|v?f?printf|v?"
      "dprintf|puts|fputs|putchar|fputc|perror|"
      "__v?f?printf_chk|stdout|stderr|std::(cout|cerr|clog|wcout|"
#ifndef __clang__  // Calls it where an exception would leave a noexcept function; g++ needs no
                   // call.
      "terminate|"
#endif
      "exit|abort)\\b.*)(@.*)?$");
  int symbols = 0;
  for (const std::string& line : Lines(undefined.out)) {
    EXPECT_FALSE(std::regex_search(line, forbidden)) << line;
    symbols += line.find(" U ") != std::string::npos;
  }
  EXPECT_GT(symbols, 50);
  // Kernels for tests are in no library, although this tree is built with tests.
  // No static initializer: nothing runs before main, and nothing that needs AVX-512 runs unasked.
  const Outcome all = RunCommand("nm -C" + archives);
  for (const std::string& line : Lines(all.out)) {
    EXPECT_EQ(line.find("_GLOBAL__sub_I"), std::string::npos) << line;
    EXPECT_EQ(line.find("emulated512"), std::string::npos) << line;
  }
  for (const std::string program : {"octet classify --model=int8.octet x.png", "bench_resnet"}) {
    const Outcome o = RunCommand("cd " + Quote(kWork) + "; " + Quote(kPrefix) + "/bin/" + program +
                                 " --isa=nonsense");
    EXPECT_NE(o.err.find("expected one of reference, "), std::string::npos) << o.err;
    EXPECT_EQ(o.err.find("emulated"), std::string::npos) << o.err;
  }
}

// The programs read files of strangers: a stack overwritten, a copy that is too long, a table of
// addresses redirected must end them, and their own addresses are not the same twice.
TEST(ProgramsTest, AreHardened) {
#if !defined(OCTET_HARDENED) || !defined(NDEBUG) || defined(OCTET_SANITIZED)
  GTEST_SKIP() << "not a hardened build";
#endif
  for (const std::string program : {OCTET_TOOL_PATH, OCTET_CONVERT_PATH, OCTET_BENCH_PATH}) {
    SCOPED_TRACE(program);
    const Outcome elf =
        RunCommand("readelf --wide --file-header --dynamic --program-headers " + Quote(program));
    ASSERT_EQ(elf.code, 0) << elf.err;
    for (const std::string sign : {"DYN \\((Position-Independent Executable|Shared object) file\\)",
                                   "BIND_NOW|\\bNOW\\b", "GNU_RELRO"}) {
      EXPECT_TRUE(std::regex_search(elf.out, std::regex(sign))) << sign;
    }
    const Outcome symbols = RunCommand("nm --dynamic " + Quote(program));
    ASSERT_EQ(symbols.code, 0) << symbols.err;
    for (const std::string sign :
         {"__stack_chk_fail",
          "__(memcpy|memmove|memset|fprintf|printf|vsnprintf|snprintf|read|pread)_chk"}) {
      EXPECT_TRUE(std::regex_search(symbols.out, std::regex(sign))) << sign;
    }
#ifdef __CET__
    // At the start of every function that may be called through a pointer; the C library's own
    // bring a handful.
    const Outcome landings =
        RunCommand("objdump --disassemble " + Quote(program) + " | grep -c endbr64");
    EXPECT_GT(std::atoi(landings.out.c_str()), 500) << landings.err;
#endif
  }
}

/// Code lines, without comments, of the folders' sources that match.
std::vector<std::string> LinesThatMatch(const std::vector<std::string>& folders,
                                        const std::regex& pattern, int* files) {
  std::vector<std::string> found;
  for (const std::string& folder : folders) {
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(OCTET_SOURCE_DIR "/" + folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension != ".cc" && extension != ".h") continue;
      // The progress bar, warnings and the frames of every main are there to print.
      const std::string stem = entry.path().stem().string();
      if (stem == "progress" || stem == "program" || stem == "warnings" || stem == "command_line")
        continue;
      ++*files;
      int number = 0;
      for (std::string line : Lines(ReadFile(entry.path().string()))) {
        ++number;
        if (const size_t comment = line.find("//"); comment != std::string::npos)
          line.resize(comment);
        if (std::regex_search(line, pattern))
          found.push_back(entry.path().string() + ":" + std::to_string(number) + ": " + line);
      }
    }
  }
  return found;
}

TEST(SourcesTest, LibrariesDoNotPrintAbortOrThrow) {
  int files = 0;
  const std::regex print(
      "\\b(abort|exit|printf|fprintf|vprintf|puts|perror|terminate)\\s*\\(|std::(cout|cerr|clog)"
      "\\b");
  EXPECT_THAT(LinesThatMatch({"engine/src", "engine/include", "kernels", "formats",
                              "converter/import", "converter/passes", "converter/quantize",
                              "converter/calibrate", "converter/report"},
                             print, &files),
              ::testing::IsEmpty());
  // Importers may use exceptions inside (protozero does); they end there.
  EXPECT_THAT(
      LinesThatMatch({"engine/src", "engine/include", "kernels", "formats/base", "formats/model"},
                     std::regex("\\bthrow\\b"), &files),
      ::testing::IsEmpty());
  EXPECT_GT(files, 50);
}

}  // namespace
}  // namespace octet::testing
