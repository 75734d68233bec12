// octet: classifies photos, writes rows for millions of them, computes outputs from arrays, scores
// models on labelled data, joins the results of shards, shows where a quantized model differs and
// what a network sees of a photo and what is in a model file, and verifies it. Exit codes: 0 done,
// 1 could not be done, 2 wrong command line.
#include <optional>
#include <string>

#include "engine/tools/commands.h"
#include "formats/data/command_line.h"
#include "formats/data/program.h"

namespace octet {
namespace {

CLI::App* AddCommand(CLI::App* app, const char* name, const char* does, const char* example) {
  CLI::App* command = app->add_subcommand(name, does);
  command->footer(Example(example));
  return command;
}

CLI::Option* AddThreads(CLI::App* command, int* threads, const char* text = "Threads (1)") {
  return command->add_option("--threads", *threads, text)->check(CLI::Range(1, 1024));
}

void AddIsa(CLI::App* command, std::string* isa) {
  command->add_option("--isa", *isa, "Instruction set to use instead of the best one");
}

void AddFastDecode(CLI::App* command, bool* fast_decode) {
  command->add_flag(
      "--fast-decode", *fast_decode,
      "Decode JPEGs at 1/8, 1/4 or 1/2 of their size, not below twice the model's; other pixels");
}

CLI::Option* AddJson(CLI::App* command, bool* json) {
  return command->add_flag("--json", *json, "Print JSON");
}

void AddStrict(CLI::App* command, bool* strict) {
  command->add_flag("--strict", *strict, "Take warnings for errors");
}

CLI::Option* AddReport(CLI::App* command, std::string* report) {
  return command->add_option("--report", *report,
                             "Write a page of it, with charts and photos, to this HTML file");
}

CLI::App* AddClassify(CLI::App* app, ClassifyOptions* o) {
  CLI::App* command = AddCommand(app, "classify", "Say what is on photos",
                                 "octet classify photo.jpg --model flowers.octet --top 3");
  command
      ->add_option("images", o->images,
                   "JPEG, PNG, BMP or PNM files, - for standard input; folders of images, TFRecord "
                   "files and .npy files of pixels, in their order; may be quoted patterns")
      ->required();
  command->add_option("--model", o->model, "Model file")->required();
  command->add_option("--top", o->top, "Classes to print for each photo (5)")
      ->check(CLI::Range(1, 100000));
  AddThreads(command, &o->threads, "Threads (1) for a single photo; several share all cores");
  AddIsa(command, &o->isa);
  AddFastDecode(command, &o->fast_decode);
  AddJson(command, &o->json);
  return command;
}

/// A folder for what a shard comes to.
void AddShard(CLI::App* command, std::optional<Shard>* shard, CLI::Option* output) {
  AddShard(
      command, "--shard", shard,
      "Of n equal parts of the data only the i-th, counted from 0; octet merge joins the results")
      ->needs(output);
}

CLI::App* AddScore(CLI::App* app, ScoreOptions* o) {
  CLI::App* command = AddCommand(app, "score", "Write a row of the best classes for each image",
                                 "octet score --model flowers.octet photos/ --output rows.jsonl");
  CLI::Option* images = command->add_option(
      "images", o->images,
      "JPEG, PNG, BMP or PNM files, folders of them, TFRecord files (also .gz), tar files, .npy "
      "files of pixels, in their order; may be quoted patterns, or NAME@N for N shards");
  command
      ->add_option("--stdin", o->standard_input,
                   "Standard input is paths, one a line; paths0, each ending with a null byte; or "
                   "frames: images, each behind its number of bytes as 4 bytes, the lowest first")
      ->check(OneOf({"paths", "paths0", "frames"}))
      ->excludes(images);
  command->add_option("--model", o->model, "Model file")->required();
  command->add_option("--top", o->top, "Classes of a row (5)")->check(CLI::Range(1, 100000));
  command->add_option("--format", o->format, "jsonl (default) or csv")
      ->check(OneOf({"jsonl", "csv"}));
  command
      ->add_option("--digest", o->digest,
                   "Of an image's bytes in its row: crc32c (default), sha256 or none")
      ->check(OneOf({"crc32c", "sha256", "none"}));
  CLI::Option* output = command->add_option(
      "--output", o->output,
      "Write the rows to this file, which is there when it is whole; with --shard to a folder, "
      "under names of the model and the shard, unless they are there already");
  AddShard(command, &o->shard, output);
  command->add_option("--summary", o->summary, "Write counts of all rows to this JSON file");
  command->add_option("--skip", o->skip, "Leave out so many images at the beginning")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 60))
      ->excludes("--shard");
  AddThreads(command, &o->threads, "Threads (all)");
  AddIsa(command, &o->isa);
  AddFastDecode(command, &o->fast_decode);
  command->add_flag("--strict", o->strict,
                    "Take warnings, and images that cannot be read, for errors");
  return command;
}

CLI::App* AddMerge(CLI::App* app, MergeOptions* o) {
  CLI::App* command =
      AddCommand(app, "merge", "Join what shards of octet score or octet evaluate came to",
                 "octet merge parts/ --output rows.jsonl");
  command->add_option("parts", o->parts, "Files of parts, folders of them, or quoted patterns")
      ->required();
  command->add_option("--output", o->output, "Write the rows of octet score to this file");
  command->add_flag("--confusion", o->confusion,
                    "Print the confusion matrix of each of several models, too");
  AddJson(command, &o->json);
  AddStrict(command, &o->strict);
  return command;
}

CLI::App* AddRun(CLI::App* app, RunFilesOptions* o) {
  CLI::App* command = AddCommand(app, "run", "Compute outputs from arrays or photos",
                                 "octet run model.octet --input x.npy --output y.npy");
  command->add_option("model", o->model, "Model file")->required();
  command
      ->add_option(
          "--input", o->inputs,
          "FILE, or NAME=FILE where there are several inputs: an .npy array with the batch "
          "in front, floats as the network takes them or uint8 pixels; or photos")
      ->required();
  command->add_option("--output", o->outputs,
                      "FILE, or NAME=FILE where there are several outputs: .npy array to write; "
                      "without it range and best classes are printed");
  command->add_flag("--raw", o->raw,
                    "uint8 arrays are the codes of uint8 inputs, and uint8 outputs are given "
                    "as codes");
  CLI::Option* batch = command->add_option("--batch", o->batch, "Images computed at once")
                           ->check(CLI::Range(1, 65536));
  CLI::Option* threads = AddThreads(command, &o->threads);
  command
      ->add_option("--dump-layers", o->dump_layers,
                   "Folder for an .npy array of each layer's answers, one image at a time on one "
                   "thread; with --raw those of uint8 are codes")
      ->excludes(batch)
      ->excludes(threads);
  AddIsa(command, &o->isa);
  AddJson(command, &o->json);
  AddStrict(command, &o->strict);
  return command;
}

constexpr char kEvaluateExample[] =
    "octet evaluate --model fp32.octet --model int8.octet --data test.tfrecord";

CLI::App* AddEvaluate(CLI::App* app, EvaluateOptions* o) {
  CLI::App* command =
      AddCommand(app, "evaluate", "Score models on labelled images", kEvaluateExample);
  command->add_option("--model", o->models, "Model file; several are compared with the first")
      ->required();
  command
      ->add_option("--data", o->data,
                   "TFRecord file (also .gz), folder of its shards, folder of classes named by "
                   "label or by number, or .npy file; may be a quoted pattern, and several are one "
                   "data set")
      ->required();
  command->add_option("--labels-npy", o->npy_labels, "Labels of .npy data");
  command->add_flag("--raw", o->raw,
                    "uint8 arrays are the input's codes, not pixels to be preprocessed");
  command->add_option(
      "--outputs", o->outputs,
      "Write the first output of every sample as floats to this .npy file (one model)");
  CLI::Option* predictions = command->add_option("--predictions", o->predictions,
                                                 "Write every prediction to this CSV file");
  CLI::Option* output = command->add_option(
      "--output", o->output,
      "Instead of a report write a part for octet merge to this folder, under a name of the models "
      "and the shard, unless it is there already");
  AddShard(command, &o->shard, output);
  output->excludes("--outputs")->excludes(predictions);
  AddThreads(command, &o->threads);
  AddIsa(command, &o->isa);
  AddFastDecode(command, &o->fast_decode);
  output->excludes(AddReport(command, &o->report));
  command->add_flag("--confusion", o->confusion,
                    "Print the confusion matrix of each of several models, too");
  output->excludes(AddJson(command, &o->json));
  AddStrict(command, &o->strict);
  return command;
}

CLI::App* AddCompare(CLI::App* app, CompareOptions* o) {
  CLI::App* command =
      AddCommand(app, "compare", "Show where a quantized model differs, and by how much",
                 "octet compare fp32.octet int8.octet --data photos/ --sort=share");
  command
      ->add_option("models", o->models,
                   "The float model and one made of it; or one model and a framework's --answers")
      ->required()
      ->expected(1, 2);
  CLI::Option* data =
      command
          ->add_option("--data", o->data,
                       "Folder of photos, TFRecord or .npy file, or a quoted pattern; may be given "
                       "several times")
          ->allow_extra_args(false);
  command->add_option("--samples", o->samples, "At most this many (100), spread evenly")
      ->check(CLI::Range(1, 1000000))
      ->needs(data);
  command
      ->add_option("--isolated-samples", o->isolated_samples,
                   "Of those, how many each layer is quantized alone for (32); 0: none")
      ->check(CLI::Range(0, 1000000))
      ->needs(data);
  command->add_option("--sort", o->sort, "Layers by order, error, share or ms; default order")
      ->check(OneOf({"order", "error", "share", "ms"}))
      ->needs(data);
  command->add_option("--csv", o->csv, "Write a line for each layer to this file")->needs(data);
  AddReport(command, &o->report)->needs(data);
  AddThreads(command, &o->threads, "Threads of what is not timed (all)")->needs(data);
  CLI::Option* inputs =
      command->add_option("--inputs", o->inputs, "What the answers were computed on (.npy)");
  inputs->needs(command
                    ->add_option("--answers", o->answers,
                                 "Answers of the source's framework (.npy, one row an image)")
                    ->needs(inputs)
                    ->excludes(data));
  AddJson(command, &o->json);
  AddStrict(command, &o->strict);
  return command;
}

CLI::App* AddPreprocess(CLI::App* app, PreprocessOptions* o) {
  CLI::App* command =
      AddCommand(app, "preprocess", "Show what a network sees of a photo",
                 "octet preprocess photo.jpg --model flowers.octet --output seen.png");
  command->add_option("photo", o->photo, "JPEG, PNG, BMP or PNM file")->required();
  command->add_option("--model", o->model, "Model file")->required();
  command->add_option(
      "--output", o->outputs,
      "FILE.png: the photo decoded, scaled and cut as the model says; FILE.npy: the network's "
      "input, normalized");
  command->add_option("--crop", o->crop,
                      "PNG file of the photo with the part that the network gets");
  AddJson(command, &o->json);
  return command;
}

CLI::App* AddInspect(CLI::App* app, InspectOptions* o) {
  CLI::App* command = AddCommand(app, "inspect", "Show what a model file holds",
                                 "octet inspect --dot model.octet | dot -Tsvg >model.svg");
  command->add_option("model", o->model, "Model file")->required();
  CLI::Option* json = AddJson(command, &o->json);
  command->add_flag("--dot", o->dot, "Print the graph for Graphviz")->excludes(json);
  return command;
}

CLI::App* AddVerify(CLI::App* app, std::vector<std::string>* models) {
  CLI::App* command =
      AddCommand(app, "verify", "Check files and their golden output on this machine",
                 "octet verify model.octet");
  command->add_option("models", *models, "Model files")->required();
  return command;
}

int Main(int argc, char** argv) {
  CLI::App app("Runs .octet models.", "octet");
  app.require_subcommand(1);
  app.footer(Example(kEvaluateExample));
  ClassifyOptions classify;
  RunFilesOptions run;
  EvaluateOptions evaluate;
  ScoreOptions score;
  MergeOptions merge;
  CompareOptions compare;
  PreprocessOptions preprocess;
  InspectOptions inspect;
  std::vector<std::string> verify;
  const CLI::App& classify_command = *AddClassify(&app, &classify);
  const CLI::App& run_command = *AddRun(&app, &run);
  const CLI::App& evaluate_command = *AddEvaluate(&app, &evaluate);
  const CLI::App& score_command = *AddScore(&app, &score);
  const CLI::App& merge_command = *AddMerge(&app, &merge);
  const CLI::App& compare_command = *AddCompare(&app, &compare);
  const CLI::App& preprocess_command = *AddPreprocess(&app, &preprocess);
  const CLI::App& inspect_command = *AddInspect(&app, &inspect);
  AddVerify(&app, &verify);
  const std::optional<int> done = ParseCommandLine(&app, argc, argv, [&] {
    if (!evaluate.outputs.empty() && evaluate.models.size() > 1)
      throw CLI::ValidationError("--outputs", "goes with one model");
    if (score_command && score.images.empty() && score.standard_input.empty())
      throw CLI::ValidationError("images", "or --stdin is required");
    if (score_command && score.shard && !score.standard_input.empty())
      throw CLI::ValidationError("--shard", "is of files; divide what goes to --stdin yourself");
    if (compare_command && compare.answers.empty() == (compare.models.size() == 1))
      throw CLI::ValidationError("models", "expected two, or one and --answers");
    if (compare_command && compare.answers.empty() && compare.data.empty())
      throw CLI::ValidationError("--data", "is needed to compare two models");
  });
  if (done) return *done;
  evaluate.command = compare.command = CommandText(argc, argv);
  return classify_command     ? Classify(classify)
         : run_command        ? Run(run)
         : evaluate_command   ? Evaluate(evaluate)
         : score_command      ? Score(score)
         : merge_command      ? Merge(merge)
         : compare_command    ? Compare(compare)
         : preprocess_command ? Preprocess(preprocess)
         : inspect_command    ? Inspect(inspect)
                              : Verify(verify);
}

}  // namespace

int OctetProgram(int argc, char** argv) {
  return RunProgram("octet", [&] { return Main(argc, argv); });
}

}  // namespace octet
