// Patterns and folders are expanded first, then all paths are compared in their canonical form,
// then the shards that their names tell of are looked for among them.
#include "formats/data/data_paths.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/dataset_part.h"
#include "formats/data/sha256.h"

namespace octet {
namespace {

namespace fs = std::filesystem;

/// Of a path NAME-00001-of-00004REST.
struct ShardName {
  std::string before, index, count, after;

  std::string Path(int64_t i) const {
    std::string digits = std::to_string(i);
    if (digits.size() < index.size()) digits.insert(0, index.size() - digits.size(), '0');
    return before + digits + "-of-" + count + after;
  }
};

std::optional<ShardName> ParseShardName(const std::string& path) {
  const auto digits = [&](size_t at) {
    return path.substr(at, path.find_first_not_of("0123456789", at) - at);
  };
  const size_t of = path.rfind("-of-");
  if (of == std::string::npos || of < 2) return std::nullopt;
  const size_t begin = path.find_last_not_of("0123456789", of - 1);
  if (begin == std::string::npos || path[begin] != '-' || begin + 1 == of) return std::nullopt;
  ShardName shard{path.substr(0, begin + 1), digits(begin + 1), digits(of + 4), ""};
  shard.after = path.substr(of + 4 + shard.count.size());
  const bool sane = !shard.count.empty() && shard.count.size() <= 6 && shard.index.size() <= 6 &&
                    shard.after.find('/') == std::string::npos;
  return sane ? std::optional<ShardName>(std::move(shard)) : std::nullopt;
}

constexpr const char* kWildcards = "*?[";

/// Whether the set that `pattern` begins with, "[a-z]" or "[!a-z]", has `c`; goes behind it.
bool SetHas(std::string_view* pattern, char c) {
  const size_t first = pattern->size() > 1 && (*pattern)[1] == '!' ? 2 : 1;
  const size_t end = pattern->find(']', first + 1);
  if (end == std::string_view::npos) {  // No set.
    pattern->remove_prefix(1);
    return c == '[';
  }
  bool has = false;
  for (size_t i = first; i < end; ++i) {
    const bool range = i + 2 < end && (*pattern)[i + 1] == '-';
    const char low = (*pattern)[i], high = (*pattern)[range ? i + 2 : i];
    has = has || (low <= c && c <= high);
    if (range) i += 2;
  }
  pattern->remove_prefix(end + 1);
  return has == (first == 1);
}

}  // namespace

bool MatchesPattern(std::string_view pattern, std::string_view name) {
  std::optional<std::pair<std::string_view, std::string_view>> retry;  // At the last star.
  while (!name.empty() || !pattern.empty()) {
    const char p = pattern.empty() ? '\0' : pattern[0];
    if (p == '*') {
      pattern.remove_prefix(1);
      retry.emplace(pattern, name);
      continue;
    }
    bool same = !name.empty() && !pattern.empty();
    if (same && p == '[') {
      same = SetHas(&pattern, name[0]);
    } else if (same) {
      same = p == '?' || p == name[0];
      pattern.remove_prefix(1);
    }
    if (same) {
      name.remove_prefix(1);
    } else if (retry && !retry->second.empty()) {
      retry->second.remove_prefix(1);  // The star takes one more.
      pattern = retry->first;
      name = retry->second;
    } else {
      return false;
    }
  }
  return true;
}

namespace {

/// What there is with a name like this, in order. As in a shell, wildcards find no hidden files.
std::vector<std::string> Glob(const fs::path& pattern) {
  std::vector<fs::path> found{""};
  std::error_code error;
  for (const fs::path& part : pattern) {
    const std::string name = part.string();
    std::vector<fs::path> next;
    for (const fs::path& folder : found) {
      if (name.find_first_of(kWildcards) == std::string::npos) {
        next.push_back(folder / part);
        continue;
      }
      for (fs::directory_iterator it(folder.empty() ? "." : folder, error);
           !error && it != fs::directory_iterator(); it.increment(error)) {
        const std::string entry = it->path().filename().string();
        if (entry.starts_with('.') <= name.starts_with('.') && MatchesPattern(name, entry))
          next.push_back(folder / entry);
      }
    }
    found = std::move(next);
  }
  std::vector<std::string> paths;
  for (const fs::path& path : found) {
    if (fs::exists(path, error)) paths.push_back(path.generic_string());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// The TFRecord or tar files of a folder; none when it has folders.
Result<std::vector<std::string>> RecordsIn(const std::string& folder) {
  std::vector<std::string> records;
  std::string image;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code type_error;
    if (name.starts_with(".")) continue;
    if (it->is_directory(type_error)) return std::vector<std::string>();
    if (IsNamedAsTfRecord(name) || IsNamedAsTar(name))
      records.push_back(it->path().generic_string());
    if (IsNamedAsImage(name)) image = name;
  }
  if (!records.empty() && !image.empty()) {
    return InvalidArgument(StrCat(folder, ": holds both files of records and images (", image,
                                  "), expected one or the other"));
  }
  std::sort(records.begin(), records.end());
  std::map<std::string, std::string> sets;  // By what is common to their names, one of each.
  bool sharded = false;
  for (const std::string& path : records) {
    const std::optional<ShardName> shard = ParseShardName(path);
    sharded = sharded || shard;
    sets.emplace(shard ? StrCat(shard->before, "*-of-", shard->count, shard->after) : path, path);
  }
  if (sharded && sets.size() > 1) {
    return InvalidArgument(StrCat(folder, ": holds several sets of records (",
                                  fs::path(sets.begin()->second).filename().string(), ", ",
                                  fs::path(std::next(sets.begin())->second).filename().string(),
                                  "); give one of them by a pattern such as '", sets.begin()->first,
                                  "'"));
  }
  return records;
}

/// The shards that NAME@N stands for, as TensorFlow names them; nothing for another path.
std::vector<std::string> NumberedShards(const std::string& path) {
  const size_t at = path.rfind('@');
  if (at == std::string::npos || at == 0 || path[at - 1] == '/') return {};
  const std::string digits = path.substr(at + 1);
  if (digits.empty() || digits.size() > 6 || digits[0] == '0' ||
      digits.find_first_not_of("0123456789") != std::string::npos)
    return {};
  const std::string count = std::string(5 - std::min<size_t>(5, digits.size()), '0') + digits;
  const ShardName name{path.substr(0, at) + "-", std::string(count.size(), '0'), count, ""};
  std::vector<std::string> paths;
  for (int64_t i = 0, n = std::stoll(digits); i < n; ++i) paths.push_back(name.Path(i));
  return paths;
}

Status CheckComplete(const std::vector<std::string>& paths) {
  const std::set<std::string> given(paths.begin(), paths.end());
  std::set<std::string> checked;
  for (const std::string& path : paths) {
    const std::optional<ShardName> shard = ParseShardName(path);
    if (!shard || !checked.insert(shard->before + shard->count + shard->after).second) continue;
    for (int64_t i = 0, n = std::stoll(shard->count); i < n; ++i) {
      if (given.contains(shard->Path(i))) continue;
      return NotFound(StrCat(shard->Path(i), ": this shard is missing, ", n, " were expected"));
    }
  }
  return OkStatus();
}

}  // namespace

bool IsNamedAsTfRecord(const std::string& path) {
  const std::string name = fs::path(path).filename().string();
  if (IsNamedAsTar(name)) return false;
  return name.find(".tfrecord") != std::string::npos || ParseShardName(name);
}

bool IsNamedAsTar(const std::string& path) {
  return path.ends_with(".tar") || path.ends_with(".tar.gz") || path.ends_with(".tgz");
}

Result<std::vector<std::string>> ExpandDataPaths(const std::vector<std::string>& paths,
                                                 bool complete) {
  if (paths.empty()) return InvalidArgument("no data was given");
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    std::error_code error;
    std::vector<std::string> found{path};
    if (!fs::exists(path, error) && path.find_first_of(kWildcards) != std::string::npos) {
      found = Glob(path);
      if (found.empty()) return NotFound(StrCat(path, ": nothing matches this pattern"));
    }
    if (std::vector<std::string> shards = NumberedShards(path);
        !shards.empty() && !fs::exists(path, error)) {
      for (const std::string& shard : shards) {
        if (fs::exists(shard, error)) continue;
        return NotFound(
            StrCat(shard, ": this shard is missing, ", shards.size(), " were expected"));
      }
      found = std::move(shards);
    }
    for (const std::string& one : found) {
      std::vector<std::string> records;
      if (fs::is_directory(one, error)) {
        OCTET_ASSIGN_OR_RETURN(records, RecordsIn(one));
      }
      if (records.empty()) records.push_back(one);
      all.insert(all.end(), records.begin(), records.end());
    }
  }
  std::set<std::string> seen;
  for (const std::string& path : all) {
    std::error_code error;
    const fs::path canonical = fs::weakly_canonical(path, error);
    if (!seen.insert(error ? path : canonical.string()).second)
      return InvalidArgument(StrCat(path, ": was given twice"));
  }
  if (complete && !(all.size() == 1 && all == paths)) OCTET_RETURN_IF_ERROR(CheckComplete(all));
  return all;
}

Result<std::string> FingerprintOfData(const std::vector<std::string>& files) {
  Sha256 hash;
  const auto add = [&hash](const std::string& text) { hash.Add(text + '\n'); };
  for (const std::string& path : files) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      if (IsNamedAsImage(path)) {  // Nobody looks up their sizes, and one may not be there.
        add(fs::path(path).filename().string());
        continue;
      }
      const auto size = fs::file_size(path, error);
      if (error) return IoError(StrCat(path, ": ", error.message()));
      add(fs::path(path).filename().string());
      add(std::to_string(size));
      continue;
    }
    std::vector<std::string> names;
    fs::recursive_directory_iterator it(path, error);
    for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
      const fs::path& at = it->path();
      const std::string name = at.filename().string();
      std::error_code type_error;
      if (it->is_directory(type_error)) {
        if (it.depth() > 0 || name.starts_with('.')) it.disable_recursion_pending();
      } else if (!name.starts_with('.') && IsNamedAsImage(name)) {
        names.push_back(it.depth() == 0 ? name : at.parent_path().filename().string() + "/" + name);
      }
    }
    if (error) return IoError(StrCat(path, ": cannot list: ", error.message()));
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) add(name);
    add("");
  }
  return hash.Hex();
}

}  // namespace octet
