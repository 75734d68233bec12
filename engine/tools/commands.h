// The subcommands of `octet`. Each returns the exit code: 0, or 1 after one line on stderr that
// says what went wrong.
#ifndef OCTET_ENGINE_TOOLS_COMMANDS_H_
#define OCTET_ENGINE_TOOLS_COMMANDS_H_

#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "converter/import/detect.h"
#include "engine/include/octet/octet.h"
#include "formats/data/image.h"
#include "formats/data/shard.h"

namespace octet {

/// All of the program's main: the exit code. Closes standard output.
int OctetProgram(int argc, char** argv);

struct ReportPage;

struct ClassifyOptions {
  std::vector<std::string> images;  ///< Data sets, and "-": one photo from standard input.
  std::string model;
  int top = 5;
  int threads = 1;  ///< For a single photo; several share all cores.
  std::string isa;
  bool fast_decode = false;  ///< JPEGs at a part of their size (WantedBy).
  bool json = false;
};
/// Photos that cannot be read are reported, in JSON too, and passed over; the exit code is then 1.
int Classify(const ClassifyOptions& options);

struct RunFilesOptions {
  std::string model;
  std::vector<std::string> inputs, outputs;  ///< FILE or NAME=FILE.
  bool raw = false;                          ///< uint8 is codes, not numbers or pixels.
  int threads = 1;
  std::string isa;
  int64_t batch = 0;        ///< Images computed at once; 0 = as many as fit well.
  std::string dump_layers;  ///< Folder for the answers of all layers; with one thread and image.
  bool json = false, strict = false;
};
/// Nothing is written unless all outputs have been computed.
int Run(const RunFilesOptions& options);

struct ScoreOptions {
  std::vector<std::string> images;  ///< One data set of any kinds; none with standard_input.
  std::string standard_input;       ///< "paths", "paths0" or "frames".
  std::string model;
  int top = 5;
  std::string format = "jsonl", digest = "crc32c";  ///< jsonl, csv; crc32c, sha256, none.
  std::string output;                               ///< File; with `shard` a folder.
  std::optional<Shard> shard;
  std::string summary;  ///< JSON file.
  int64_t skip = 0;
  int threads = 0;  ///< 0 = all cores.
  std::string isa;
  bool fast_decode = false;
  bool strict = false;  ///< A bad image, or a warning, is an error.
};
/// A row for each image, in order. An image that cannot be read has a row that says why.
int Score(const ScoreOptions& options);

struct MergeOptions {
  std::vector<std::string> parts;  ///< Files, patterns, folders.
  std::string output;              ///< For the rows of `octet score`.
  bool json = false, confusion = false, strict = false;
};
/// Prints the report of the whole run that the parts are of.
int Merge(const MergeOptions& options);

struct EvaluateOptions {
  std::vector<std::string> models;
  std::vector<std::string> data;  ///< One data set, in parts; patterns are expanded.
  std::string npy_labels;
  std::string predictions;
  std::string outputs;  ///< .npy file of all outputs of the only model.
  std::optional<Shard> shard;
  std::string output;  ///< Folder for the part's file instead of a report.
  int threads = 1;
  std::string isa;
  bool raw = false;  ///< uint8 arrays are the input's codes.
  bool fast_decode = false;
  bool confusion = false;  ///< Print it for several models, too.
  bool json = false;
  bool strict = false;            ///< Warnings are errors.
  const char* program = "octet";  ///< Whose warnings they are.
  std::string report, command;    ///< HTML file, and the command line that it shows.
  ReportPage* page = nullptr;     ///< Filled for somebody else's report instead.
  /// Of the models, which are then not files but have the names for people.
  std::vector<std::span<const std::byte>> contents;
};
/// What is printed.
Result<std::string> EvaluationText(const EvaluateOptions& options);
int Evaluate(const EvaluateOptions& options);

struct CompareOptions {
  std::vector<std::string> models;  ///< The float one, and one made of it; or one with `answers`.
  std::vector<std::string> data;
  int64_t samples = 100;          ///< At most; spread evenly.
  int64_t isolated_samples = 32;  ///< Of those.
  std::string answers, inputs;    ///< .npy files of a framework.
  std::string sort = "order", csv;
  std::string report, command;  ///< HTML file, and the command line that it shows.
  int threads = 0;              ///< Of what is not timed; 0 = all cores.
  bool json = false, strict = false;
};
int Compare(const CompareOptions& options);

struct PreprocessOptions {
  std::string photo, model;
  std::vector<std::string> outputs;  ///< .png: what the network sees; .npy: its input.
  std::string crop;                  ///< PNG of the photo with the part that is used.
  bool json = false;
};
int Preprocess(const PreprocessOptions& options);

struct InspectOptions {
  std::string model;
  bool json = false;
  bool dot = false;
};
int Inspect(const InspectOptions& options);

int Verify(const std::vector<std::string>& models);

/// Prints `status` as the program's error line.
inline int Fail(const Status& status) {
  std::fprintf(stderr, "octet: %s\n", status.message().c_str());
  return 1;
}

/// Errors say what to do with a model of another format.
inline Result<std::shared_ptr<const Model>> LoadModel(const std::string& path) {
  Result<std::shared_ptr<const Model>> model = Model::Load(path);
  if (!model.ok()) return NameForeignModel(model.status(), path);
  return model;
}

/// For one image at a time. Passes the model's error on.
inline Result<std::unique_ptr<Session>> OpenSession(
    const Result<std::shared_ptr<const Model>>& model, int threads, const std::string& isa) {
  if (!model.ok()) return model.status();
  SessionOptions options;
  options.num_threads = threads;
  options.isa = isa;
  return Session::Create(*model, options);
}

inline Image ViewOf(const DecodedImage& image) {
  return {image.rgb.data(), image.width, image.height};
}

}  // namespace octet

#endif  // OCTET_ENGINE_TOOLS_COMMANDS_H_
