// bench_resnet: latency and throughput of whole networks. Bare, it measures ResNet-50 v1.5 at
// 224x224 with synthetic weights in int8. Exit codes: 0 measured, 1 could not be done, 2 wrong
// command line.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/measure.h"
#include "bench/results.h"
#include "bench/signature.h"
#include "bench/synthetic_network.h"
#include "converter/import/checkpoints/graph_description.h"
#include "converter/import/detect.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/command_line.h"
#include "formats/data/program.h"
#include "formats/data/system.h"
#include "formats/data/warnings.h"

namespace octet::bench {
namespace {

struct Options : MeasureOptions {
  std::vector<std::string> models;
  int depth = 50;
  std::string network;
  std::string precision;  ///< "" = int8, or the model's.
  Variants variants;
  std::vector<int> batches{1};
  std::string dump_times;
  LayerOrder order = LayerOrder::kNetwork;
  bool csv = false, json = false;
};

/// The graph description's name for what people write: "flowers", "resnet20", "resnet50".
std::string DescriptionName(const Options& o) {
  const std::string name = o.network.empty() ? StrCat("resnet", o.depth) : o.network;
  const std::vector<std::string> shipped = GraphDescriptionNames();
  for (const std::string& candidate : {name, "cifar_" + name, name + "_resnet"}) {
    if (std::find(shipped.begin(), shipped.end(), candidate) != shipped.end()) return candidate;
  }
  return name;
}

/// All networks of a group, which take turns, in every variant and with every batch.
Status MeasureGroup(const Options& o, std::vector<Network> group,
                    std::vector<Measurement>* results) {
  for (Network& n : group) {
    OCTET_ASSIGN_OR_RETURN(const std::shared_ptr<const Model> model, n.load());
    n.description = model->Describe();
    const char* precision = PrecisionName(n.description.precision);
    if (o.precision != "all" && o.precision != precision) {
      return InvalidArgument(
          StrCat(n.path, ": precision is ", precision, ", expected ", o.precision));
    }
  }
  const auto first = static_cast<std::ptrdiff_t>(results->size());
  for (int batch : o.batches) {
    OCTET_ASSIGN_OR_RETURN(std::vector<Measurement> all, Measure(o, group, o.variants, batch));
    std::move(all.begin(), all.end(), std::back_inserter(*results));
  }
  std::stable_sort(results->begin() + first, results->end(),
                   [](const auto& a, const auto& b) { return a.threads < b.threads; });
  return OkStatus();
}

Result<std::vector<Measurement>> MeasureAll(const Options& o) {
  std::vector<Measurement> results;
  if (!o.models.empty()) {
    std::vector<Network> group;
    for (const std::string& path : o.models) {
      group.push_back({.path = path,
                       .load = [path]() -> Result<std::shared_ptr<const Model>> {
                         Result<std::shared_ptr<const Model>> model = Model::Load(path);
                         if (!model.ok()) return NameForeignModel(model.status(), path);
                         return model;
                       },
                       .description = {}});
    }
    OCTET_RETURN_IF_ERROR(MeasureGroup(o, std::move(group), &results));
    return results;
  }
  OCTET_ASSIGN_OR_RETURN(const SyntheticNetwork network,
                         SyntheticNetwork::Build(DescriptionName(o)));
  for (int i = 0; i < kNumPrecisions; ++i) {
    const auto p = static_cast<Precision>(i);
    if (o.precision != "all" && o.precision != PrecisionName(p)) continue;
    OCTET_ASSIGN_OR_RETURN(const SerializedModel file, network.Convert(p));
    OCTET_RETURN_IF_ERROR(
        MeasureGroup(o,
                     {{.path = "",
                       .load = [&] { return Model::FromMemory(file.data.get(), file.size); },
                       .description = {}}},
                     &results));
  }
  return results;
}

Status Run(const Options& o) {
  OCTET_ASSIGN_OR_RETURN(const std::vector<Measurement> results, MeasureAll(o));
  if (!o.dump_times.empty()) OCTET_RETURN_IF_ERROR(WriteTimes(o.dump_times, results));
  Warnings warnings;
  for (const Measurement& m : results) {
    if (std::string text = m.Disturbance(); !text.empty()) warnings.Add(std::move(text));
  }
  OCTET_RETURN_IF_ERROR(warnings.Report("bench_resnet", /*strict=*/false));
  if (o.json) {
    PrintJson(results);
  } else if (o.csv) {
    PrintCsv(results);
  } else {
    PrintTable(results, o.order);
  }
  return OkStatus();
}

Status PrintSignature(const Options& o) {
  OCTET_ASSIGN_OR_RETURN(const Signature s, ComputeSignature(o.isa, o.variants.threads.front()));
  std::printf("%016llx\n", static_cast<unsigned long long>(s.hash));
  return OkStatus();
}

int Main(int argc, char** argv) {
  Options o;
  CLI::App app(
      "Measures the latency of networks; without a file, of one with synthetic weights. Several "
      "files, numbers of threads and executors take turns, round by round.",
      "bench_resnet");
  CLI::Option* files =
      app.add_option("MODELS", o.models, ".octet files instead of a synthetic network");
  CLI::Option* model =
      app.add_option("--model", o.models, "The same")->allow_extra_args(false)->excludes(files);
  CLI::Option* depth =
      app.add_option(
             "--depth", o.depth,
             "ResNet of this depth: 18, 34, 50 (default), 101, 152; CIFAR: 20, 32, 44, 56, 110")
          ->check(CLI::IsMember({18, 34, 50, 101, 152, 20, 32, 44, 56, 110}))
          ->option_text("DEPTH");
  CLI::Option* network = app.add_option(
      "--network", o.network, "Name or path of a graph description (models/), e.g. flowers_resnet");
  app.add_option("--precision", o.precision,
                 "fp32, fp16, bf16, hybrid, int8, int16x8 or all; default int8, of files their own")
      ->check(OneOf({"fp32", "fp16", "bf16", "hybrid", "int8", "int16x8", "all"}));
  app.add_option("--threads", o.variants.threads,
                 "Threads (1); several, with commas, take turns, as --executor's do")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 1024));
  app.add_option("--batch", o.batches, "Images a run (1); may be several, too")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(1, 65536));
  app.add_option("--executor", o.variants.executors,
                 "Whose threads: pool (octet's own, the default), openmp, or both with a comma")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(OneOf({"pool", "openmp"}));
  app.add_option("--paced", o.paced,
                 "Runs a second that begin on time, as of a camera; otherwise back to back")
      ->check(CLI::Range(0.01, 100000.0))
      ->option_text("FPS");
  app.add_option("--busy", o.busy, "Processes beside that only keep a processor busy (0)")
      ->check(CLI::Range(0, 1024))
      ->option_text("N");
  app.add_option("--sessions", o.sessions,
                 "Sessions at once, each with its --threads (1): images/s are all of theirs")
      ->check(CLI::Range(1, 1024));
  app.add_option("--cpu", o.cpus,
                 "Processors to run on, with commas, counted from 0; sessions share them out")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0, kMaxProcessors - 1));
  app.add_flag("--winograd,!--no-winograd", o.winograd, "3x3 convolutions by Winograd (default)");
  app.add_option("--isa", o.isa, "Instruction set instead of the best one");
  app.add_option("--warmup", o.warmup, "Runs before measuring (3)")->check(CLI::Range(0, 1000000));
  CLI::Option* min_time =
      app.add_option("--min-time", o.min_time, "Seconds to measure, at least 5 runs (1)")
          ->check(CLI::Range(0.0, 3600.0));
  app.add_option("--runs", o.runs, "So many runs, whatever time they take")
      ->check(CLI::Range(1, 100000000))
      ->excludes(min_time);
  CLI::Option* rounds =
      app.add_option("--rounds", o.rounds, "Turns of each of several that take turns (10)")
          ->check(CLI::Range(1, 100000));
  CLI::Option* input = app.add_option("--input", o.inputs,
                                      "FILE, or NAME=FILE where there are several inputs: .npy "
                                      "array or photos, instead of made-up "
                                      "images")
                           ->allow_extra_args(false);
  CLI::Option* output =
      app.add_option("--output", o.outputs,
                     "FILE, or NAME=FILE: .npy array to write the answers of the last run to")
          ->allow_extra_args(false);
  app.add_option("--dump-times", o.dump_times, "CSV file to write the time of every run to");
  CLI::Option* profile =
      app.add_flag("--profile", o.profile, "Time every layer: medians, and their sum");
  std::string order = "network";
  app.add_option("--sort", order, "Layers of the profile by network (default), time or type")
      ->check(OneOf({"network", "time", "type"}))
      ->needs(profile);
  CLI::Option* csv = app.add_flag("--csv", o.csv, "Print CSV");
  app.add_flag("--json", o.json, "Print JSON")->excludes(csv);
  bool signature = false;
  app.add_flag(
      "--signature", signature,
      "Print one hash over all activations of a fixed set of int8 networks instead: the same "
      "on every machine");
  csv->excludes(profile);
  for (CLI::Option* m : {model, files}) m->excludes(depth)->excludes(network);
  depth->excludes(network);
  app.footer(Example("bench_resnet before.octet after.octet --threads=1,2 --profile --sort=time"));
  const std::optional<int> done = ParseCommandLine(&app, argc, argv, [&] {
    const bool turns =
        o.models.size() > 1 || o.variants.threads.size() > 1 || o.variants.executors.size() > 1;
    if (rounds->count() > 0 && !turns)
      throw CLI::ValidationError("--rounds",
                                 "goes with several files, numbers of threads or executors");
    if (o.precision == "all" && !o.models.empty())
      throw CLI::ValidationError("--precision",
                                 "all goes with a synthetic network: a file has one");
    const bool one = !turns && o.batches.size() == 1;
    if (input->count() > 0 && o.models.empty())
      throw CLI::ValidationError("--input", "goes with a file");
    if (output->count() > 0 && (!one || o.models.empty()))
      throw CLI::ValidationError("--output", "goes with one file, one --threads and one --batch");
  });
  if (done) return *done;
  // A file is measured in the precision that it has.
  if (o.precision.empty()) o.precision = o.models.empty() ? "int8" : "all";
  if (rounds->count() == 0) o.rounds = 10;
  if (order != "network") o.order = order == "time" ? LayerOrder::kTime : LayerOrder::kType;
  const Status status = signature ? PrintSignature(o) : Run(o);
  if (status.ok()) return 0;
  std::fprintf(stderr, "bench_resnet: %s\n", status.message().c_str());
  return 1;
}

}  // namespace
}  // namespace octet::bench

int main(int argc, char** argv) {
  return octet::RunProgram("bench_resnet", [&] { return octet::bench::Main(argc, argv); });
}
