// What every program of the project does around its work.
#ifndef OCTET_FORMATS_DATA_PROGRAM_H_
#define OCTET_FORMATS_DATA_PROGRAM_H_

#include <functional>
#include <string>

#include "formats/base/status.h"

namespace octet {

/// Finds out before the long part whether a file can be put there. Errors: kNotFound,
/// kInvalidArgument, with the path in front.
Status CheckOutput(const std::string& path);

/// The command, its arguments in quotes where a shell needs them.
std::string CommandText(int argc, const char* const* argv);

/// Runs a program's `main` and gives its exit code. When memory runs out, or standard output cannot
/// be written (a full disk, a closed pipe), there is one line on stderr, "NAME: out of memory" or
/// "NAME: cannot write to standard output: REASON", and the exit code is 1. Files that `main` opens
/// never take the place of standard streams that are closed. Call it once, at the end of main: it
/// closes standard output.
int RunProgram(const char* name, const std::function<int()>& main);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_PROGRAM_H_
