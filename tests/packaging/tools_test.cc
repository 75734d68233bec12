// What all programs do alike: results on stdout, one clear line on stderr and the right exit code
// for everything that cannot be done; names, tables, completion.
#include "tests/packaging/tools.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace octet::testing {
namespace {

TEST_F(ToolsTest, WrongCommandLinesAre2) {
  ExpectError(kOctet, 2, "subcommand");
  ExpectError(kOctet + " frobnicate", 2, "octet: ");
  ExpectError(kOctet + " classify " + File("red.ppm"), 2, "--model");
  ExpectError(kOctet + " classify --model " + File("int8.octet"), 2, "images");
  ExpectError(kOctet + " classify --top 0 --model " + File("int8.octet") + " " + File("red.ppm"), 2,
              "--top");
  ExpectError(
      kOctet + " classify --threads many --model " + File("int8.octet") + " " + File("red.ppm"), 2,
      "--threads");
  ExpectError(kOctet + " evaluate --model " + File("int8.octet"), 2, "--data");
  ExpectError(kOctet + " inspect", 2, "model");
  ExpectError(kOctet + " inspect --json --dot " + File("int8.octet"), 2, "--json");
  ExpectError(kBench + " --precision=int4", 2, "int4");
  ExpectError(kBench + " --depth=19", 2, "--depth");
  ExpectError(kBench + " --threads=0", 2, "--threads");
  ExpectError(kBench + " --csv --json", 2, "--json");
  ExpectError(kBench + " --depth=18 --network=flowers", 2, "--network");
  EXPECT_EQ(RunCommand(kOctet + " --help").code, 0);
  EXPECT_EQ(RunCommand(kBench + " --help").code, 0);
}

TEST_F(ToolsTest, VersionsAndExamples) {
  for (const auto& [program, name] :
       {std::pair(kOctet, "octet"), {kBench, "bench_resnet"}, {kConvert, "octet_convert"}}) {
    const Outcome version = RunCommand(program + " --version");
    EXPECT_EQ(version.code, 0) << version.err;
    EXPECT_EQ(version.out, std::string(name) + " " OCTET_PROJECT_VERSION "\n");
    const Outcome help = RunCommand(program + " --help");
    EXPECT_NE(help.out.find(std::string("Example:\n  ") + name + " "), std::string::npos)
        << help.out;
    EXPECT_LE(WidestLine(help.out), 80u) << help.out;
  }
  for (const std::string command :
       {"classify", "run", "evaluate", "compare", "preprocess", "inspect", "verify"}) {
    const Outcome help = RunCommand(kOctet + " " + command + " --help");
    EXPECT_NE(help.out.find("Example:\n  octet " + command + " "), std::string::npos) << help.out;
    EXPECT_LE(WidestLine(help.out), 80u) << help.out;
  }
}

TEST_F(ToolsTest, MistypedNamesAreGuessed) {
  const std::string convert = kConvert, checkpoint = Quote(kFlowers + "flowers_resnet.safetensors");
  ExpectError(kOctet + " clasify x.jpg", 2,
              "unknown command 'clasify', expected one of classify, run, evaluate, score, merge, "
              "compare, preprocess, "
              "inspect, verify; did you mean classify?");
  ExpectError(kOctet + " frobnicate", 2, "inspect, verify (see --help)");
  ExpectError(kOctet + " classify --modle=m.octet x.jpg", 2,
              "unknown option --modle; did you mean --model?");
  ExpectError(kOctet + " inspect --jsno m.octet", 2, "did you mean --json?");
  ExpectError(kOctet + " verify --frobnicate m.octet", 2, "unknown option --frobnicate (see");
  ExpectError(kBench + " --therads=2", 2, "did you mean --threads?");
  ExpectError(kBench + " --precision=int4", 2,
              "found 'int4', expected one of fp32, fp16, bf16, hybrid, int8, int16x8, all; did you "
              "mean int8?");
  ExpectError(convert + " model.onnx -o m.octet", 2, "unknown option -o; did you mean --output?");
  ExpectError(convert + " model.onnx --output m.octet other.onnx", 2,
              "found one too many: other.onnx");
  ExpectError(convert + " " + checkpoint + " --graph=flower_resnet --output " + File("no.octet"), 1,
              "did you mean flowers_resnet?");
  ExpectError(kBench + " --network=resnet5O --isa=reference", 1, "did you mean resnet50?");
  ExpectError(kOctet + " verify --isa=refrence m.octet", 2, "--isa");
  ExpectError(kBench + " --isa=refrence --model=" + File("int8.octet"), 1,
              "did you mean reference?");
}

TEST_F(ToolsTest, FilesOfOtherFormatsAreNamed) {
  const std::string tiny = OCTET_SOURCE_DIR "/tests/data/tiny/", convert = kConvert;
  for (const auto& [file, title, octet] :
       {std::tuple("fp32.tflite", "TFLite", "fp32.octet"),
        {"model.h5", "Keras", "model.octet"},
        {"model.keras", "Keras", "model.octet"},
        {"../../../models/flowers/flowers_resnet.safetensors", "safetensors", "resnet.octet"}}) {
    const std::string path = Quote(tiny + file);
    for (const std::string& command :
         {kOctet + " inspect " + path, kOctet + " verify " + path,
          kOctet + " classify " + File("red.ppm") + " --model " + path,
          kOctet + " evaluate --data " + File("classes") + " --model " + path,
          kBench + " --model=" + path}) {
      ExpectError(command, 1,
                  file + std::string(": found a ") + title +
                      " model, expected an .octet file: convert it first, octet_convert ");
      ExpectError(command, 1, octet);
    }
  }
  std::filesystem::create_directories(*folder_ / "saved/1");
  Write("saved/1/saved_model.pb", "");
  ExpectError(kOctet + " inspect " + File("saved/1/"), 1, "found a SavedModel model");
  ExpectError(convert + " " + File("int8.octet") + " --output " + File("no.octet"), 1,
              "int8.octet: is an .octet file, converted already; octet inspect ");
  EXPECT_FALSE(Exists("no.octet"));
}

TEST_F(ToolsTest, OptionsWithoutEffectAreErrors) {
  const std::string convert = kConvert + " " +
                              Quote(OCTET_SOURCE_DIR "/tests/data/tiny/fp32.tflite") +
                              " --output " + File("no.octet");
  ExpectError(convert + " --precision=fp32 --calibration-data " + File("classes"), 2,
              "--calibration-data");
  for (const std::string precision : {"fp32", "fp16", "hybrid"}) {
    ExpectError(convert + " --precision=" + precision + " --calibration-table x.json", 2,
                "--calibration-table");
  }
  ExpectError(convert + " --calibration-data " + File("classes"), 1, "add --precision=int8");
  ExpectError(convert + " --graph=resnet50", 1, "--graph goes with files that hold only tensors");
  ExpectError(convert + " --weights=ema", 1, "--weights goes with checkpoints");
  ExpectError(convert + " --signature=x", 1, "--signature goes with a SavedModel");
  ExpectError(kBench + " --threads=1,,2", 2, "--threads: nothing between two commas of 1,,2");
  ExpectError(kBench + " --threads ,2", 2, "--threads");
  EXPECT_FALSE(Exists("no.octet"));
}

TEST_F(ToolsTest, TablesFitATerminal) {
  const std::string models = " --model " + File("fp32.octet") + " --model " + File("int8.octet"),
                    bench = kBench + " --min-time=0 --warmup=0 --profile --model=";
  for (const std::string& command :
       {kOctet + " inspect " + File("int8.octet"),
        kOctet + " evaluate --confusion --data " + File("classes") + models,
        bench + File("int8.octet"), bench + File("fp32.octet") + " --threads=1,2"}) {
    const Outcome narrow = RunCommand("COLUMNS= " + command);
    ASSERT_EQ(narrow.code, 0) << narrow.err;
    std::string tables;  // Lines that describe are as long as what they say.
    std::istringstream lines(narrow.out);
    for (std::string line; std::getline(lines, line);) {
      if (line.find(": ") == std::string::npos && !line.starts_with("  ") &&
          line.find(File("").substr(1)) == std::string::npos)
        tables += line + "\n";
    }
    EXPECT_LE(WidestLine(tables), 80u) << tables;
    const Outcome wide = RunCommand("COLUMNS=300 " + command);
    EXPECT_GE(wide.out.size(), narrow.out.size()) << wide.out;
  }
}

TEST_F(ToolsTest, NumbersAgreeBetweenTools) {
  std::set<int64_t> parameters;
  for (const std::string precision : {"fp32", "int8"}) {
    const Outcome converted = RunCommand(
        kConvert + " --json " + Quote(kFlowers + "flowers_resnet.safetensors") +
        " --graph=flowers_resnet --precision=" + precision +
        (precision == "int8" ? " --calibration-table=" + Quote(kFlowers + "calibration.json")
                             : "") +
        " --output=" + File("agree.octet"));
    ASSERT_EQ(converted.code, 0) << converted.err;
    const Outcome inspected = RunCommand(kOctet + " inspect --json " + File("agree.octet"));
    ASSERT_EQ(inspected.code, 0) << inspected.err;
    const Json c = Json::parse(converted.out), i = Json::parse(inspected.out);
    for (const char* key :
         {"name", "source", "parameters", "macs", "size_bytes", "inputs", "outputs"}) {
      EXPECT_EQ(c[key], i[key]) << key;
    }
    EXPECT_EQ(c["inputs"][0]["dtype"], "float32");
    EXPECT_EQ(c["labels"]["names"], i["labels"]);
    EXPECT_EQ(c["options"], i["options"]);
    parameters.insert(c["parameters"].get<int64_t>());
  }
  EXPECT_EQ(parameters.size(), 1u);
}

TEST_F(ToolsTest, DamagedModelsAre1) {
  const std::string good = ModelBytes();
  ASSERT_GT(good.size(), 100000u);
  Write("truncated.octet", good.substr(0, good.size() / 2));
  Write("short.octet", good.substr(0, 10));
  Write("empty.octet", "");
  Write("foreign.octet", "This is not a model.\n" + std::string(5000, 'x'));
  std::string flipped = good;
  flipped[good.size() * 3 / 4] = static_cast<char>(flipped[good.size() * 3 / 4] ^ 0x10);
  Write("flipped.octet", flipped);
  for (const std::string name : {"truncated.octet", "short.octet", "empty.octet", "foreign.octet",
                                 "flipped.octet", "missing.octet"}) {
    ExpectError(kOctet + " classify " + File("red.ppm") + " --model " + File(name), 1, name);
    ExpectError(kOctet + " evaluate --data " + File("classes") + " --model " + File("fp32.octet") +
                    " --model " + File(name),
                1, name);
    ExpectError(kOctet + " inspect " + File(name), 1, name);
    ExpectError(kOctet + " inspect --json " + File(name), 1, name);
    ExpectError(kOctet + " verify " + File(name), 1, name);
    ExpectError(kBench + " --model=" + File(name), 1, name);
  }
  ExpectError(kOctet + " inspect " + File("classes"), 1, "classes");
}

TEST_F(ToolsTest, UnknownInstructionSets) {
  ExpectError(kOctet + " classify --isa mmx --model " + File("int8.octet") + " " + File("red.ppm"),
              1, "mmx");
  ExpectError("OCTET_ISA=mmx " + kOctet + " verify " + File("int8.octet"), 1, "mmx");
  ExpectError(kBench + " --isa=mmx --model=" + File("int8.octet"), 1, "mmx");
}

// NaN and infinity are found where they come in, with the file, the sample and the element.
TEST_F(ToolsTest, DataThatIsNotFiniteIsRefused) {
  const size_t image = 8 * 8 * 3;
  for (const auto& [bad, text] : {std::pair(std::nanf(""), "nan"), {-INFINITY, "-inf"}}) {
    std::vector<float> values(4 * image, 0.25f);
    values[2 * image + 7] = bad;
    Write("bad.npy", Npy("<f4", "4, 8, 8, 3", Floats(values)));
    const std::string found =
        std::string("element 7: found ") + text + ", expected a finite number";
    const std::string convert =
        kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + File("unfinished.octet");
    ExpectError(convert + " --precision=int8 --calibration-data " + File("bad.npy"), 1,
                "bad.npy[2]: " + found);
    ExpectError(convert + " --compare-input " + File("bad.npy") + " --compare-with " +
                    Quote(kTiny + "expected.npy"),
                1, "bad.npy[2]: " + found);
    std::vector<float> answers(4 * 3, 0.5f);
    answers[3 + 1] = bad;
    Write("answers.npy", Npy("<f4", "4, 3", Floats(answers)));
    ExpectError(convert + " --compare-input " + Quote(kTiny + "input.npy") + " --compare-with " +
                    File("answers.npy"),
                1, std::string("answers.npy: image 1: element 1: found ") + text);
    EXPECT_FALSE(Exists("unfinished.octet"));
    ASSERT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                         File("tiny.octet"))
                  .code,
              0);
    ExpectError(kOctet + " evaluate --model " + File("tiny.octet") + " --data " + File("bad.npy"),
                1, "bad.npy[2]: " + found);
  }
  // Finite inputs whose sums are not.
  ASSERT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "dilated.tflite") + " --output " +
                       File("dilated.octet"))
                .code,
            0);
  const size_t size = 16 * 15 * 3;
  Write("huge.npy", Npy("<f4", "1, 16, 15, 3", Floats(std::vector<float>(size, 3e38f))));
  ExpectError(kOctet + " evaluate --model " + File("dilated.octet") + " --data " + File("huge.npy"),
              1, "huge.npy[0]: output of ");
}

/// Every program and subcommand, each printing something and succeeding.
std::vector<std::pair<std::string, std::string>> CommandsThatPrint(const std::string& model,
                                                                   const std::string& photo,
                                                                   const std::string& data,
                                                                   const std::string& output) {
  const std::string convert = kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " + output;
  const std::string bench = kBench + " --min-time=0 --warmup=0 --model=" + model,
                    kernels = Quote(OCTET_BENCH_KERNELS_PATH);
  std::vector<std::pair<std::string, std::string>> commands = {
      {"octet", kOctet + " inspect --dot " + model},
      {"octet", kOctet + " verify " + model},
      {"octet_convert", convert},
      {"octet_convert", convert + " --json"},
      {"bench_resnet", bench},
      {"bench_resnet", bench + " --csv"},
      {"bench_resnet", bench + " --json"},
      {"bench_kernels", kernels + " --benchmark_list_tests"},
      {"bench_kernels", kernels + " --help"},
      {"octet_convert", kConvert + " --help"},
      {"bench_resnet", kBench + " --help"},
      {"octet", kOctet + " --help"},
  };
  for (const std::string json : {"", " --json"}) {
    commands.emplace_back("octet", kOctet + " classify --model " + model + " " + photo + json);
    commands.emplace_back("octet", kOctet + " run " + model + " --input " + photo + json);
    commands.emplace_back("octet",
                          kOctet + " evaluate --model " + model + " --data " + data + json);
    commands.emplace_back("octet", kOctet + " inspect " + model + json);
  }
  for (const std::string command : {"classify", "run", "evaluate", "inspect", "verify"}) {
    commands.emplace_back("octet", kOctet + " " + command + " --help");
  }
  return commands;
}

TEST_F(ToolsTest, OutputThatCannotBeWrittenIsAnError) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  for (const auto& [program, command] : CommandsThatPrint(File("int8.octet"), File("red.ppm"),
                                                          File("classes"), File("printed.octet"))) {
    ExpectError(command + " >/dev/full", 1,
                program + ": cannot write to standard output: No space left on device\n");
    ExpectError(command + " >&-", 1,
                program + ": cannot write to standard output: Bad file descriptor\n");
  }
  // The model must not have become the standard output that is closed.
  const std::string model = ReadFile(*folder_ / "printed.octet");
  EXPECT_EQ(RunCommand(kConvert + " " + Quote(kTiny + "fp32.tflite") + " --output " +
                       File("printed.octet"))
                .code,
            0);
  EXPECT_EQ(model, ReadFile(*folder_ / "printed.octet"));
}

// Whichever allocation is the first that fails, every program ends with one line, never in
// std::terminate.
TEST_F(ToolsTest, OutOfMemoryIsAnError) {
#ifdef OCTET_SANITIZED
  GTEST_SKIP() << "sanitizers bring an allocator of their own";
#endif
  std::map<std::string, int> found;
  int tries = 0, in_destructors = 0;
  for (const auto& [program, command] : CommandsThatPrint(File("int8.octet"), File("red.ppm"),
                                                          File("classes"), File("printed.octet"))) {
    // Google Benchmark has places of its own where it cannot go on.
    if (command.find("--help") != std::string::npos || program == "bench_kernels") continue;
    // The first 22 are CLI11's, 11 in each file that includes it, before main begins.
    for (long n = 26;;) {
      const Outcome o = RunCommand("LD_PRELOAD=" + Quote(OCTET_FAILING_NEW_PATH) +
                                   " OCTET_FAIL_NEW=" + std::to_string(n) + " " + command);
      if (o.code == 0) break;
      // nlohmann/json allocates in its destructors, where nothing can be reported, and destroys
      // what a failure left half made: the next one then.
      ++tries;
      if (o.code == 134 || o.code == 139) {
        ++in_destructors;
        n += 1 + n / 16;
        continue;
      }
      ASSERT_LT(n, 10'000'000) << command << ": " << o.err;
      ASSERT_EQ(o.code, 1) << command << ", allocation " << n << ": " << o.err;
      EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << command << "\n" << o.err;
      found[program] += o.err == program + ": out of memory\n";
      n += 1 + n / 4;
    }
  }
  for (const char* program : {"octet", "octet_convert", "bench_resnet"})
    EXPECT_GT(found[program], 10) << program;
  EXPECT_LT(in_destructors, tries / 5);
}

/// What bash offers for the last word of a command line.
std::vector<std::string> Offered(const std::string& program, const std::string& words) {
  const Outcome o =
      RunCommand("bash -c 'source <(" + program + " --completion=bash); COMP_WORDS=(" + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); $(complete -p ${COMP_WORDS[0]} | sed "
                 "\"s/.*-F \\([^ ]*\\) .*/\\1/\"); printf \"%s\\n\" \"${COMPREPLY[@]}\"'");
  EXPECT_EQ(o.code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  std::vector<std::string> lines;
  std::istringstream in(o.out);
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  return lines;
}

TEST_F(ToolsTest, ShellsCompleteCommandLines) {
  using Words = std::vector<std::string>;
  if (RunCommand("bash --version").code != 0) GTEST_SKIP() << "no bash";
  const std::string octet = OCTET_TOOL_PATH, bench = OCTET_BENCH_PATH, convert = OCTET_CONVERT_PATH;
  EXPECT_EQ(Offered(octet, "octet cl"), Words{"classify"});
  EXPECT_EQ(Offered(octet, "octet \"\"").size(), 9u);
  EXPECT_EQ(Offered(octet, "octet classify --m"), Words{"--model"});
  EXPECT_EQ(Offered(octet, "octet inspect x.octet --j"), Words{"--json"});
  EXPECT_EQ(Offered(octet, "octet --ver"), Words{"--version"});
  // A file's name is the shell's own business.
  EXPECT_EQ(Offered(octet, "octet classify --model fl"), Words{});
  EXPECT_EQ(Offered(bench, "bench_resnet --precision hy"), Words{"hybrid"});
  EXPECT_EQ(Offered(bench, "bench_resnet --precision = hy"), Words{"hybrid"});
  EXPECT_EQ(Offered(bench, "bench_resnet --sort ="), (Words{"network", "time", "type"}));
  EXPECT_EQ(Offered(convert, "octet_convert --precision = fp32,in"),
            (Words{"fp32,int8", "fp32,int16x8"}));
  EXPECT_EQ(Offered(convert, "octet_convert m.onnx --calibration-m"),
            Words{"--calibration-method"});
  for (const std::string& program : {octet, bench, convert}) {
    const Outcome zsh = RunCommand(Quote(program) + " --completion=zsh");
    EXPECT_EQ(zsh.code, 0);
    EXPECT_EQ(zsh.out.rfind("#compdef ", 0), 0u);
    Write("completion.zsh", zsh.out);
    if (RunCommand("zsh --version").code == 0) {
      EXPECT_EQ(RunCommand("zsh -n " + File("completion.zsh")).err, "");
    }
    ExpectError(Quote(program) + " --completion=fish", 2, "expected one of bash, zsh");
  }
}

}  // namespace
}  // namespace octet::testing
