// The manual page of a program, made from the options that it parses.
#ifndef OCTET_FORMATS_DATA_MAN_PAGE_H_
#define OCTET_FORMATS_DATA_MAN_PAGE_H_

#include <CLI/CLI.hpp>
#include <string>

namespace octet {

/// In roff with the macros of man(7), for section 1.
std::string ManPage(const CLI::App& app);

}  // namespace octet

#endif  // OCTET_FORMATS_DATA_MAN_PAGE_H_
