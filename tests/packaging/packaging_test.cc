// The library in other people's programs: installed, fetched and as a subdirectory, static and
// shared, in plugins, in C++17 and 20, without exceptions and RTTI, in C89, in projects without
// C++. And what it must not bring along: names, prints, aborts, exceptions of its own, work before
// main, libraries beyond the C++ one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "octet/version.h"
#include "tests/packaging/command.h"

namespace octet::testing {
namespace {

// Kept between runs of the tests, so that the second one has nothing to compile.
const std::string kWork = OCTET_PACKAGING_WORK_DIR;
const std::string kPrefix = kWork + "/prefix";
// The library again, for consumers that build it. Optimized, that would be two minutes of a core.
const std::string kQuick =
    "-DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DOCTET_ISA_OPTIMIZE=-O0 -DOCTET_ISAS=" +
    kQuickIsa;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

const std::string kConsumers =
    "consumer_17 consumer_20 consumer_plain consumer_c plugin plugin_for_c plugin_host "
    "plugin_host_c";

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

  /// Builds `targets` of the project in `folder` of tests/packaging; where they are.
  static std::string Build(const std::string& folder, const std::string& name,
                           const std::string& options, const std::string& targets) {
    const std::string build = kWork + "/" + name;
    const Outcome configure =
        RunCommand("cmake -S " OCTET_SOURCE_DIR "/tests/packaging/" + folder + " -B " +
                   Quote(build) + " -G Ninja " OCTET_CONSUMER_OPTIONS " " + options);
    EXPECT_EQ(configure.code, 0) << configure.out << configure.err;
    const Outcome compile = RunCommand("cmake --build " + Quote(build) + " --target " + targets);
    EXPECT_EQ(compile.code, 0) << compile.out << compile.err;
    return build;
  }

  /// Runs consumers on a model and on something else; what they all say of the model.
  static std::string Run(const std::vector<std::string>& programs) {
    std::set<std::string> answers;
    for (const std::string& program : programs) {
      const Outcome good = RunCommand(Quote(program) + " " + Quote(kWork + "/int8.octet"));
      EXPECT_EQ(good.code, 0) << program << ": " << good.err;
      answers.insert(good.out);
      ExpectError(Quote(program) + " " + Quote(kWork + "/foreign.octet"), 1, "foreign.octet");
    }
    EXPECT_EQ(answers.size(), 1u);
    EXPECT_TRUE(
        std::regex_match(*answers.begin(),
                         std::regex("(roses|sunflowers|daisy|dandelion|tulips) [01]\\.[0-9]{4}\n")))
        << *answers.begin();
    return *answers.begin();
  }

  /// Compares what all consumers in a folder say.
  static void RunAll(const std::string& build) {
    Run({build + "/consumer_17", build + "/consumer_20", build + "/consumer_plain",
         build + "/consumer_c"});
  }

  /// All consumers of what is installed in a folder.
  static std::string Installed(const std::string& name, const std::string& prefix) {
    return Build("consumer", name, "-DCMAKE_PREFIX_PATH=" + Quote(prefix), kConsumers);
  }

  /// All consumers in a host with octet inside, static and of another version.
  static std::string Host() {
    static const std::string build = Build(
        "host", "host",
        kQuick + " -DOCTET_INSTALL=ON -DFETCHCONTENT_SOURCE_DIR_OCTET=" + Quote(OCTET_SOURCE_DIR),
        "host " + kConsumers);
    return build;
  }

  /// A shared octet, built and installed; where. Its build folder is beside it.
  static std::string Shared() {
    static const std::string prefix = kWork + "/shared";
    static const bool done = [] {
      const std::string build = Quote(kWork + "/shared_build");
      std::filesystem::remove_all(prefix);
      for (const std::string& command :
           {"cmake -S " OCTET_SOURCE_DIR " -B " + build + " -G Ninja " OCTET_CONSUMER_OPTIONS " " +
                kQuick +
                " -DBUILD_SHARED_LIBS=ON -DOCTET_BUILD_TOOLS=OFF -DOCTET_BUILD_TESTS=OFF"
                " -DCMAKE_INSTALL_PREFIX=/usr",
            "cmake --build " + build, "cmake --install " + build + " --prefix " + Quote(prefix)}) {
        const Outcome o = RunCommand(command);
        EXPECT_EQ(o.code, 0) << command << "\n" << o.out << o.err;
        if (o.code != 0) return false;
      }
      return true;
    }();
    EXPECT_TRUE(done);
    return prefix;
  }

  /// The installed file of that name, whatever its folder is called.
  static std::string Find(const std::string& prefix, const std::string& name) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(prefix))
      if (entry.path().filename() == name) return entry.path().string();
    ADD_FAILURE() << prefix << " has no " << name;
    return "";
  }

  /// Libraries that a program or library names.
  static std::vector<std::string> Needed(const std::string& path) {
    const Outcome o = RunCommand("readelf -d " + Quote(path));
    EXPECT_EQ(o.code, 0) << o.err;
    std::vector<std::string> names;
    for (const std::string& line : Lines(o.out)) {
      std::smatch name;
      if (std::regex_search(line, name, std::regex("\\(NEEDED\\).*\\[(.*)\\]")))
        names.push_back(name[1]);
    }
    return names;
  }
};

TEST_F(PackagingTest, InstallsTheHeadersOfTheTree) {
  const std::string tree = OCTET_SOURCE_DIR "/engine/include";
  std::set<std::string> headers, in_tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(tree))
    if (entry.is_regular_file()) in_tree.insert(entry.path().lexically_relative(tree).string());
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kPrefix + "/include")) {
    if (!entry.is_regular_file()) continue;
    const std::string name = entry.path().lexically_relative(kPrefix + "/include").string(),
                      text = ReadFile(entry.path().string());
    headers.insert(name);
    EXPECT_EQ(text, ReadFile(tree + "/" + name)) << name;
    EXPECT_FALSE(std::regex_search(text, std::regex("(formats|kernels|engine|converter)/")))
        << name << " names what is not installed";
  }
  EXPECT_EQ(headers, in_tree);
  EXPECT_TRUE(headers.contains("octet/octet.h") && headers.contains("octet/octet_c.h"));

  const std::string options =
      " -I" + Quote(kPrefix + "/include") + " -Wall -Wextra -Wshadow -Wpedantic -Wconversion ";
  for (const std::string& header : headers) {
    const std::string twice =
        "printf '#include <" + header + ">\\n#include <" + header + ">\\n' | ";
    for (const std::string standard : {"c++17", "c++20", "c++20 -fno-exceptions -fno-rtti"}) {
      const Outcome o = RunCommand(twice + OCTET_CXX " -x c++ -std=" + standard + options +
                                   "-fopenmp -Wold-style-cast -Werror -fsyntax-only -");
      EXPECT_EQ(o.code, 0) << header << " in " << standard << ": " << o.err;
    }
  }
  for (const std::string header : {"octet_c.h", "version.h"}) {
    for (const std::string standard : {"c89", "c99", "c17"}) {
      const Outcome o = RunCommand("printf '#include <octet/" + header +
                                   ">\\n' | " OCTET_CC " -x c -pedantic-errors -std=" + standard +
                                   options + "-Werror -fsyntax-only -");
      EXPECT_EQ(o.code, 0) << header << " in " << standard << ": " << o.err;
    }
  }
}

TEST(VersionTest, IsOneEverywhere) {
  EXPECT_STREQ(OCTET_VERSION, OCTET_PROJECT_VERSION);
  EXPECT_STREQ(octet_version(), OCTET_VERSION);
  const std::string major = std::to_string(OCTET_VERSION_MAJOR),
                    minor = std::to_string(OCTET_VERSION_MINOR);
  EXPECT_EQ(major + "." + minor + "." + std::to_string(OCTET_VERSION_PATCH), OCTET_VERSION);
  // C++ symbols of two minor versions differ.
  EXPECT_NE(ReadFile(OCTET_SOURCE_DIR "/engine/include/octet/version.h")
                .find("#define OCTET_ABI_NAMESPACE v" + major + "_" + minor + "\n"),
            std::string::npos);
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

TEST_F(PackagingTest, InstallsProgramsTheirCompletionAndManual) {
  for (const std::string program : {"octet", "octet_convert", "bench_resnet"}) {
    const std::string installed = Quote(kPrefix + "/bin/" + program);
    EXPECT_EQ(RunCommand(installed + " --version").code, 0) << program;
    EXPECT_EQ(ReadFile(kPrefix + "/share/bash-completion/completions/" + program),
              RunCommand(installed + " --completion=bash").out);
    EXPECT_EQ(ReadFile(kPrefix + "/share/zsh/site-functions/_" + program),
              RunCommand(installed + " --completion=zsh").out);
    const std::string page = kPrefix + "/share/man/man1/" + program + ".1", text = ReadFile(page);
    EXPECT_NE(text.find(".SH NAME\n" + program + " \\- "), std::string::npos) << text;
    EXPECT_NE(text.find("\\fB\\-\\-version\\fR\n"), std::string::npos);
    if (RunCommand("man --version").code == 0) {
      const Outcome man = RunCommand("MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z " +
                                     Quote(page) + " >/dev/null");
      EXPECT_EQ(man.err, "");
    }
  }
  EXPECT_NE(ReadFile(kPrefix + "/share/doc/octet/LICENSE"), "");
  const std::string notices = ReadFile(kPrefix + "/share/doc/octet/THIRD_PARTY_NOTICES");
  for (const std::string source : {"xxHash", "xsimd", "Pillow", "libyuv", "nlohmann", "CLI11",
                                   "protozero", "flatbuffers", "stb"})
    EXPECT_NE(notices.find("Files: " + source), std::string::npos) << source;
}

TEST_F(PackagingTest, FindPackage) {
  const std::string build = Installed("find_package", kPrefix);
  if (HasFailure()) return;
  RunAll(build);
  // A static library's dependencies are the program's.
  const std::regex known(
      "(lib(stdc\\+\\+|c\\+\\+|m|gcc_s|c|pthread|asan|ubsan|tsan)|ld-linux[^.]*)\\.so.*");
  for (const std::string& name : Needed(build + "/consumer_c"))
    EXPECT_TRUE(std::regex_match(name, known)) << name;
}

TEST_F(PackagingTest, ProjectsWithoutCxx) {
  for (const std::string& prefix : {kPrefix, Shared()}) {
    SCOPED_TRACE(prefix);
    const std::string build = kWork + "/c_only";
    std::filesystem::remove_all(build);
    const Outcome o =
        RunCommand("cmake -S " OCTET_SOURCE_DIR "/tests/packaging/c_only -B " + Quote(build) +
                   " -G Ninja " OCTET_CONSUMER_OPTIONS " -DCMAKE_PREFIX_PATH=" + Quote(prefix) +
                   " && cmake --build " + Quote(build));
    ASSERT_EQ(o.code, 0) << o.out << o.err;
    Run({build + "/c_only"});
  }
}

TEST_F(PackagingTest, SharedLibrary) {
  const std::string prefix = Shared();
  if (HasFailure()) return;
  const std::string library = Find(prefix, "liboctet.so." OCTET_PROJECT_VERSION);
  const std::string soname = "liboctet.so." + std::to_string(OCTET_VERSION_MAJOR);
  EXPECT_EQ(std::filesystem::canonical(Find(prefix, soname)), library);
  EXPECT_EQ(std::filesystem::canonical(Find(prefix, "liboctet.so")), library);
  const std::string build = Installed("shared_consumers", prefix);
  if (HasFailure()) return;
  RunAll(build);
  for (const std::string program : {"consumer_17", "consumer_c"})
    EXPECT_THAT(Needed(build + "/" + program), ::testing::Contains(soname));
  // Whoever links the shared library from C links nothing else for it.
  EXPECT_THAT(Needed(build + "/consumer_c"),
              ::testing::Not(::testing::Contains(::testing::HasSubstr("++"))));
}

TEST_F(PackagingTest, ExportsWhatIsInTheList) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers bring symbols of their own";
#endif
  const std::string prefix = Shared();
  if (HasFailure()) return;
  const Outcome o =
      RunCommand("nm --dynamic --defined-only -C " + Quote(Find(prefix, "liboctet.so")));
  ASSERT_EQ(o.code, 0) << o.err;
  std::set<std::string> names;
  for (const std::string& line : Lines(o.out)) {
    std::smatch parts;
    ASSERT_TRUE(std::regex_match(line, parts, std::regex("[0-9a-f]* ([A-Za-z]) ([^(@]*).*")))
        << line;
    if (parts[1] != "A") names.insert(parts[2]);  // The version's own name.
  }
  std::string text;
  for (const std::string& name : names) text += name + "\n";
  EXPECT_EQ(text, ReadFile(OCTET_SOURCE_DIR "/tests/packaging/exported_names.txt"));
}

// The host has headers, folders and include paths of the same names.
TEST_F(PackagingTest, FetchContentAndAddSubdirectory) {
  const std::string build = Host();
  if (HasFailure()) return;
  RunAll(build + "/consumers");
  const Outcome subdirectory =
      RunCommand("cmake -DOCTET_SOURCE=" OCTET_SOURCE_DIR " " + Quote(build) +
                 " && cmake --build " + Quote(build) + " --target host host_classifier octet && " +
                 Quote(build + "/host") + " " + Quote(kWork + "/int8.octet"));
  EXPECT_EQ(subdirectory.code, 0) << subdirectory.out << subdirectory.err;
  // Its own library goes by what octet installs.
  const Outcome install =
      RunCommand("cmake --install " + Quote(build) + " --prefix " + Quote(kWork + "/host_prefix"));
  EXPECT_EQ(install.code, 0) << install.err;
  EXPECT_NE(ReadFile(Find(kWork + "/host_prefix", "hostTargets.cmake")).find("octet::octet"),
            std::string::npos);
  // Nothing but the library is built, with the instruction sets that were asked for.
  EXPECT_FALSE(std::filesystem::exists(build + "/octet/converter"));
  EXPECT_FALSE(std::filesystem::exists(build + "/octet/tests"));
  for (const std::string isa : {"avx2", "neondot"}) {
    ExpectError("OCTET_ISA=" + isa + " " + Quote(build + "/consumers/consumer_c") + " " +
                    Quote(kWork + "/int8.octet"),
                1, "instruction set \"" + isa + "\": not part of this build");
  }
  const Outcome nonsense = RunCommand(
      "cmake -S " OCTET_SOURCE_DIR " -B " + Quote(kWork + "/nonsense") +
      " -G Ninja -DOCTET_BUILD_TOOLS=OFF -DOCTET_BUILD_TESTS=OFF -DOCTET_ISAS=sse2,avx2");
  EXPECT_NE(nonsense.code, 0);
  EXPECT_NE(nonsense.err.find("OCTET_ISAS: found sse2,avx2, expected all, or some of reference"),
            std::string::npos)
      << nonsense.err;
}

TEST_F(PackagingTest, PluginsKeepToThemselvesAndUnload) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers bring symbols of their own";
#endif
  const std::string here = Installed("find_package", kPrefix), other = Host() + "/consumers";
  if (HasFailure()) return;
  const std::string plugins[] = {here + "/plugin.so", other + "/plugin.so"};
  for (const std::string& plugin : plugins) {
    const Outcome names = RunCommand("nm --dynamic --defined-only " + Quote(plugin));
    EXPECT_NE(names.out.find(" T Classify\n"), std::string::npos) << names.out;
    EXPECT_EQ(names.out.find("octet"), std::string::npos) << names.out;
    EXPECT_EQ(names.out.find(" u "), std::string::npos) << names.out;
  }
  const std::string answer =
      RunCommand(Quote(here + "/consumer_c") + " " + Quote(kWork + "/int8.octet")).out;
  ASSERT_NE(answer, "");
  const std::string model = " " + Quote(kWork + "/int8.octet") + " ";
  const std::string run = Quote(here + "/plugin_host") + model;
  EXPECT_EQ(RunCommand(run + Quote(plugins[0])).out, answer + "unloaded\n");
  EXPECT_EQ(
      RunCommand(Quote(here + "/plugin_host_c") + model + Quote(here + "/plugin_for_c.so")).out,
      answer + "unloaded\n");
  // Two versions in one process, in both orders.
  for (const int first : {0, 1}) {
    const Outcome two = RunCommand(run + Quote(plugins[first]) + " " + Quote(plugins[1 - first]));
    EXPECT_EQ(two.code, 0) << two.err;
    EXPECT_EQ(two.out, answer + answer + "unloaded\nunloaded\n");
  }
}

TEST_F(PackagingTest, PkgConfig) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers need flags of their own";
#endif
  if (RunCommand("pkg-config --version").code != 0) GTEST_SKIP() << "no pkg-config";
  for (const std::string& prefix : {kPrefix, Shared()}) {
    SCOPED_TRACE(prefix);
    const std::filesystem::path folder =
        std::filesystem::path(Find(prefix, "octet.pc")).parent_path();
    const std::string program = Quote(kWork + "/by_pkg_config");
    const Outcome o = RunCommand(OCTET_CC " -o " + program + " " +
                                 Quote(OCTET_SOURCE_DIR "/tests/packaging/consumer/consumer.c") +
                                 " $(PKG_CONFIG_PATH=" + Quote(folder.string()) +
                                 " pkg-config --cflags --libs 'octet >= 0.1') -Wl,-rpath," +
                                 Quote(folder.parent_path().string()));
    ASSERT_EQ(o.code, 0) << o.err;
    EXPECT_EQ(RunCommand(program + " " + Quote(kWork + "/int8.octet")).code, 0);
  }
}

// Installed into a root of their own, used there, and removed.
TEST_F(PackagingTest, DebianPackages) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "packages of sanitized programs";
#endif
  for (const std::string tool : {"dpkg", "dpkg-shlibdeps", "fakeroot"})
    if (RunCommand(tool + " --version").code != 0) GTEST_SKIP() << "no " << tool;
  Shared();
  if (HasFailure()) return;
  const std::string debs = kWork + "/debs", root = kWork + "/root", files = Quote(debs) + "/*.deb";
  std::filesystem::remove_all(debs);
  std::filesystem::remove_all(root);
  // The library of the shared build, the programs of this one.
  for (const std::string& options :
       {"--config " + Quote(kWork + "/shared_build/CPackConfig.cmake"),
        std::string("--config " OCTET_BUILD_DIR
                    "/CPackConfig.cmake -D CPACK_COMPONENTS_ALL=tools")}) {
    const Outcome pack = RunCommand("cpack -G DEB -B " + Quote(debs) + " " + options);
    ASSERT_EQ(pack.code, 0) << pack.out << pack.err;
  }
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(debs)) {
    const std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".deb") names.insert(name.substr(0, name.find('_')));
  }
  EXPECT_EQ(names, (std::set<std::string>{"liboctet" + std::to_string(OCTET_VERSION_MAJOR),
                                          "liboctet-dev", "octet-tools"}));
  if (RunCommand("lintian --version").code == 0) {
    const Outcome lint = RunCommand("lintian --allow-root --fail-on error " + files);
    EXPECT_EQ(lint.code, 0) << lint.out << lint.err;
  } else {
    std::printf("SKIPPED lintian, which is not installed\n");
  }

  std::filesystem::create_directories(root + "/var/lib/dpkg");
  WriteFile(root + "/var/lib/dpkg/status", "");
  // Nothing else is installed there, the C library included.
  const std::string dpkg =
      "fakeroot dpkg --force-depends --force-script-chrootless --log=/dev/null --root=" +
      Quote(root);
  const Outcome install = RunCommand(dpkg + " --install " + files);
  ASSERT_EQ(install.code, 0) << install.out << install.err;
  EXPECT_EQ(RunCommand(Quote(root + "/usr/bin/octet") + " --version").out,
            "octet " OCTET_PROJECT_VERSION "\n");
  const std::string build = Build("consumer", "deb_consumers",
                                  "-DCMAKE_PREFIX_PATH=" + Quote(root + "/usr"), "consumer_c");
  if (HasFailure()) return;
  EXPECT_THAT(Needed(build + "/consumer_c"),
              ::testing::Contains(::testing::StartsWith("liboctet.so.")));
  Run({build + "/consumer_c"});
  std::string packages;
  for (const std::string& name : names) packages += " " + name;
  const Outcome remove = RunCommand(dpkg + " --purge" + packages);
  EXPECT_EQ(remove.code, 0) << remove.out << remove.err;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    const std::string name = entry.path().lexically_relative(root).string();
    EXPECT_TRUE(entry.is_directory() || name.starts_with("var/lib/dpkg")) << name;
  }
}

TEST_F(PackagingTest, TheCodeOfTheReadmeRuns) {
  const std::string readme = ReadFile(OCTET_SOURCE_DIR "/README.md"), fence = "```cpp\n";
  const size_t begin = readme.find(fence);
  ASSERT_NE(begin, std::string::npos);
  const size_t code = begin + fence.size();
  WriteFile(kWork + "/readme.cc", readme.substr(code, readme.find("\n```", code) + 1 - code));
  const std::string program = Quote(Build("consumer", "readme",
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
