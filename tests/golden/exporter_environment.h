// Where tests find the frameworks whose exporters they run.
#ifndef OCTET_TESTS_GOLDEN_EXPORTER_ENVIRONMENT_H_
#define OCTET_TESTS_GOLDEN_EXPORTER_ENVIRONMENT_H_

#include <filesystem>
#include <string>

namespace octet::testing {

/// The interpreter of an environment that tests/golden/setup_exporters.sh made; empty if there is
/// none.
inline std::string ExporterPython(const std::string& environment) {
  const std::string path = OCTET_SOURCE_DIR "/build/exporters/" + environment + "/bin/python";
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace octet::testing

/// First line of a test: defines `python`, or skips visibly.
#define OCTET_REQUIRE_EXPORTERS(environment)                                \
  const std::string python = ::octet::testing::ExporterPython(environment); \
  if (python.empty())                                                       \
  GTEST_SKIP() << "no build/exporters/" << (environment)                    \
               << "; tests/golden/setup_exporters.sh makes it"

#endif  // OCTET_TESTS_GOLDEN_EXPORTER_ENVIRONMENT_H_
