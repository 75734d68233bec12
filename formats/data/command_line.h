// What the command lines of all programs have in common.
#ifndef OCTET_FORMATS_DATA_COMMAND_LINE_H_
#define OCTET_FORMATS_DATA_COMMAND_LINE_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "formats/data/shard.h"

namespace octet {

/// Parses, runs `check`, which may throw CLI::ValidationError, and gives the exit code if the
/// program ends here: 0 after --help, --version, --completion=bash|zsh and --man-page, which it
/// adds, 2 after one line on stderr for a wrong command line.
std::optional<int> ParseCommandLine(CLI::App* app, int argc, char** argv,
                                    const std::function<void()>& check = {});

/// Of these words, with what may have been meant by another.
CLI::Validator OneOf(const std::vector<std::string>& words);

/// `name`, i/n, counted from 0; `*shard` stays empty without it.
CLI::Option* AddShard(CLI::App* app, const std::string& name, std::optional<Shard>* shard,
                      const std::string& description);

/// "Example:\n  COMMAND\n", for an App's footer.
std::string Example(const std::string& command);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_COMMAND_LINE_H_
