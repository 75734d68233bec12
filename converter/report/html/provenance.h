// Of which files and on which machine a page was made.
#ifndef OCTET_CONVERTER_REPORT_HTML_PROVENANCE_H_
#define OCTET_CONVERTER_REPORT_HTML_PROVENANCE_H_

#include <cstddef>
#include <span>
#include <string>

#include "converter/report/html/page.h"
#include "formats/base/status.h"

namespace octet {

/// "12,345 bytes, FNV-1a 0123456789abcdef".
std::string DigestText(std::span<const std::byte> bytes);

/// The same of a file, or of all files of a folder, sorted by their paths, which count too.
Result<std::string> DigestOfPath(const std::string& path);

/// A row "NAME: PATH, DIGEST".
Status AddDigest(const std::string& name, const std::string& path, ReportPage* page);

/// The processor, the instruction set of `isa` (empty: of this machine) and the time of day.
Status AddMachine(const std::string& isa, ReportPage* page);

}  // namespace octet

#endif  // OCTET_CONVERTER_REPORT_HTML_PROVENANCE_H_
