// octet: classifies photos, computes outputs from arrays, scores models on labelled data, shows
// what a network sees of a photo and what is in a model file, and verifies it. Exit codes: 0 done,
// 1 could not be done, 2 wrong command line.
#include <optional>
#include <string>

#include "engine/tools/commands.h"
#include "formats/data/command_line.h"
#include "formats/data/program.h"

namespace {

int Main(int argc, char** argv) {
  CLI::App app("Runs .octet models.", "octet");
  app.require_subcommand(1);

  octet::ClassifyOptions classify;
  CLI::App* classify_command = app.add_subcommand("classify", "Say what is on photos");
  classify_command->add_option("images", classify.images, "JPEG, PNG, BMP or PNM files")
      ->required();
  classify_command->add_option("--model", classify.model, "Model file")->required();
  classify_command->add_option("--top", classify.top, "Classes to print for each photo (5)")
      ->check(CLI::Range(1, 100000));
  classify_command
      ->add_option("--threads", classify.threads,
                   "Threads (1) for a single photo; several share all cores")
      ->check(CLI::Range(1, 1024));
  classify_command->add_option("--isa", classify.isa,
                               "Instruction set to use instead of the best one");
  constexpr char kFastDecode[] =
      "Decode JPEGs at 1/8, 1/4 or 1/2 of their size, not below twice the model's; other pixels";
  classify_command->add_flag("--fast-decode", classify.fast_decode, kFastDecode);
  classify_command->add_flag("--json", classify.json, "Print JSON");

  octet::RunOptions run;
  CLI::App* run_command = app.add_subcommand("run", "Compute outputs from arrays or photos");
  run_command->add_option("model", run.model, "Model file")->required();
  run_command
      ->add_option(
          "--input", run.inputs,
          "FILE, or NAME=FILE where there are several inputs: an .npy array with the batch "
          "in front, floats as the network takes them or uint8 pixels; or photos")
      ->required();
  run_command->add_option(
      "--output", run.outputs,
      "FILE, or NAME=FILE where there are several outputs: .npy array to write; "
      "without it range and best classes are printed");
  run_command->add_flag("--raw", run.raw,
                        "uint8 arrays are the codes of uint8 inputs, and uint8 outputs are given "
                        "as codes");
  run_command->add_option("--batch", run.batch, "Images computed at once")
      ->check(CLI::Range(1, 65536));
  run_command->add_option("--threads", run.threads, "Threads (1)")->check(CLI::Range(1, 1024));
  run_command->add_option("--isa", run.isa, "Instruction set to use instead of the best one");
  run_command->add_flag("--json", run.json, "Print JSON");
  run_command->add_flag("--strict", run.strict, "Take warnings for errors");

  octet::EvaluateOptions evaluate;
  CLI::App* evaluate_command = app.add_subcommand("evaluate", "Score models on labelled images");
  evaluate_command
      ->add_option("--model", evaluate.models, "Model file; several are compared with the first")
      ->required();
  evaluate_command
      ->add_option("--data", evaluate.data,
                   "TFRecord file (also .gz), folder of its shards, folder of classes named by "
                   "label or by number, or .npy file; may be a quoted pattern, and several are one "
                   "data set")
      ->required();
  evaluate_command->add_option("--labels-npy", evaluate.npy_labels, "Labels of .npy data");
  evaluate_command->add_flag("--raw", evaluate.raw,
                             "uint8 arrays are the input's codes, not pixels to be preprocessed");
  CLI::Option* outputs = evaluate_command->add_option(
      "--outputs", evaluate.outputs,
      "Write the first output of every sample as floats to this .npy file (one model)");
  evaluate_command->add_option("--predictions", evaluate.predictions,
                               "Write every prediction to this CSV file");
  evaluate_command->add_option("--threads", evaluate.threads, "Threads (1)")
      ->check(CLI::Range(1, 1024));
  evaluate_command->add_option("--isa", evaluate.isa,
                               "Instruction set to use instead of the best one");
  evaluate_command->add_flag("--fast-decode", evaluate.fast_decode, kFastDecode);
  evaluate_command->add_flag("--confusion", evaluate.confusion,
                             "Print the confusion matrix of each of several models, too");
  evaluate_command->add_flag("--json", evaluate.json, "Print JSON");
  evaluate_command->add_flag("--strict", evaluate.strict, "Take warnings for errors");

  octet::PreprocessOptions preprocess;
  CLI::App* preprocess_command =
      app.add_subcommand("preprocess", "Show what a network sees of a photo");
  preprocess_command->add_option("photo", preprocess.photo, "JPEG, PNG, BMP or PNM file")
      ->required();
  preprocess_command->add_option("--model", preprocess.model, "Model file")->required();
  preprocess_command->add_option(
      "--output", preprocess.outputs,
      "FILE.png: the photo decoded, scaled and cut as the model says; FILE.npy: the network's "
      "input, normalized");
  preprocess_command->add_option("--crop", preprocess.crop,
                                 "PNG file of the photo with the part that the network gets");
  preprocess_command->add_flag("--json", preprocess.json, "Print JSON");

  octet::InspectOptions inspect;
  CLI::App* inspect_command = app.add_subcommand("inspect", "Show what a model file holds");
  inspect_command->add_option("model", inspect.model, "Model file")->required();
  CLI::Option* json = inspect_command->add_flag("--json", inspect.json, "Print JSON");
  inspect_command->add_flag("--dot", inspect.dot, "Print the graph for Graphviz")->excludes(json);

  std::vector<std::string> verify;
  CLI::App* verify_command =
      app.add_subcommand("verify", "Check files and their golden output on this machine");
  verify_command->add_option("models", verify, "Model files")->required();

  const auto example = [](CLI::App* command, const char* text) {
    command->footer(octet::Example(text));
  };
  example(&app, "octet evaluate --model fp32.octet --model int8.octet --data test.tfrecord");
  example(classify_command, "octet classify photo.jpg --model flowers.octet --top 3");
  example(run_command, "octet run model.octet --input x.npy --output y.npy");
  example(evaluate_command,
          "octet evaluate --model fp32.octet --model int8.octet --data test.tfrecord");
  example(preprocess_command, "octet preprocess photo.jpg --model flowers.octet --output seen.png");
  example(inspect_command, "octet inspect --dot model.octet | dot -Tsvg >model.svg");
  example(verify_command, "octet verify model.octet");

  const std::optional<int> done = octet::ParseCommandLine(&app, argc, argv, [&] {
    if (outputs->count() > 0 && evaluate.models.size() > 1)
      throw CLI::ValidationError("--outputs", "goes with one model");
  });
  if (done) return *done;
  return *classify_command     ? octet::Classify(classify)
         : *run_command        ? octet::Run(run)
         : *evaluate_command   ? octet::Evaluate(evaluate)
         : *preprocess_command ? octet::Preprocess(preprocess)
         : *inspect_command    ? octet::Inspect(inspect)
                               : octet::Verify(verify);
}

}  // namespace

int main(int argc, char** argv) {
  return octet::RunProgram("octet", [&] { return Main(argc, argv); });
}
