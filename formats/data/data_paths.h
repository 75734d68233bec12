// Which files a data set is.
#ifndef OCTET_FORMATS_DATA_DATA_PATHS_H_
#define OCTET_FORMATS_DATA_DATA_PATHS_H_

#include <string>
#include <string_view>
#include <vector>

#include "formats/base/status.h"

namespace octet {

/// Whether all of `name` is as `pattern` says: '*' for any characters, '?' for one, '[...]' for one
/// of a set ('!' in front: none of it).
bool MatchesPattern(std::string_view pattern, std::string_view name);

/// Puts in the place of a pattern ('*', '?', '[...]'; a file of just that name goes first) what it
/// matches, in that of NAME@N the N shards NAME-0000i-of-0000N, and in that of a folder of TFRecord
/// or tar files those, each sorted by bytes. With `complete`,
/// shards NAME-i-of-n must all be there, except where one path names just one. Errors: kNotFound
/// for a pattern without a match and for a shard that is missing; kInvalidArgument for no path, a
/// file given twice, and a folder of several sets of shards.
Result<std::vector<std::string>> ExpandDataPaths(const std::vector<std::string>& paths,
                                                 bool complete);

/// SHA-256, in hexadecimal digits, of which data an expanded list is, in its order, wherever it
/// lies: the names and sizes of files, the names alone of images, in a folder and in the folders of
/// its classes too. Errors: kIo.
Result<std::string> FingerprintOfData(const std::vector<std::string>& files);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_DATA_PATHS_H_
