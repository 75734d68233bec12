#include "converter/report/html/provenance.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <vector>

#include "formats/base/file.h"
#include "formats/base/fnv1a.h"
#include "formats/base/macros.h"
#include "formats/base/str_cat.h"
#include "formats/data/table.h"
#include "kernels/cpu_features.h"
#include "kernels/dispatch.h"

namespace octet {
namespace {

uint64_t Hash(uint64_t hash, std::span<const std::byte> bytes) {
  for (const std::byte b : bytes) hash = Fnv1a(hash, static_cast<uint8_t>(b));
  return hash;
}

std::string Text(uint64_t hash, int64_t size) {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(hash));
  return StrCat(Thousands(size), " bytes, FNV-1a ", digits);
}

}  // namespace

std::string DigestText(std::span<const std::byte> bytes) {
  return Text(Hash(kFnv1aStart, bytes), std::ssize(bytes));
}

Result<std::string> DigestOfPath(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile(path));
    return DigestText(file.bytes);
  }
  std::vector<std::string> names;
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    std::error_code ignored;
    if (it->is_regular_file(ignored))
      names.push_back(fs::path(it->path()).lexically_relative(path).generic_string());
  }
  if (error) return IoError(StrCat(path, ": ", error.message()));
  std::sort(names.begin(), names.end());
  uint64_t hash = kFnv1aStart;
  int64_t size = 0;
  for (const std::string& name : names) {
    OCTET_ASSIGN_OR_RETURN(const FileBytes file, MapFile((fs::path(path) / name).string()));
    hash = Hash(Hash(hash, std::as_bytes(std::span(name))), file.bytes);
    size += std::ssize(file.bytes);
  }
  return StrCat(names.size(), " files, ", Text(hash, size));
}

Status AddDigest(const std::string& name, const std::string& path, ReportPage* page) {
  OCTET_ASSIGN_OR_RETURN(const std::string digest, DigestOfPath(path));
  page->provenance.emplace_back(name, StrCat(path, ", ", digest));
  return OkStatus();
}

Status AddMachine(const std::string& isa, ReportPage* page) {
  OCTET_ASSIGN_OR_RETURN(const kernels::KernelTable* table, kernels::SelectTable(isa));
  page->provenance.emplace_back("Processor", StrCat(kernels::CpuModelName(), "; ", table->name));
  const std::time_t now = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", std::gmtime(&now));
  page->provenance.emplace_back("Made", text);
  return OkStatus();
}

}  // namespace octet
