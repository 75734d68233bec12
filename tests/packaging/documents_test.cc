// The project's documents: links lead somewhere, and what was made of measured numbers is what the
// script makes of them now.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/packaging/command.h"

namespace octet::testing {
namespace {

namespace fs = std::filesystem;
const fs::path kSource = OCTET_SOURCE_DIR;

/// Every .md of the project.
std::vector<fs::path> Documents() {
  std::vector<fs::path> found;
  for (auto it = fs::recursive_directory_iterator(kSource); it != fs::end(it); ++it) {
    const std::string name = it->path().filename().string();
    if (it->is_directory() && (name.starts_with("build") || name == ".git"))
      it.disable_recursion_pending();
    if (it->path().extension() == ".md") found.push_back(it->path());
  }
  return found;
}

/// What a forge calls the headings of a document.
std::set<std::string> Anchors(const fs::path& document) {
  std::set<std::string> anchors;
  std::istringstream in(ReadFile(document.string()));
  for (std::string line; std::getline(in, line);) {
    const size_t marks = line.find_first_not_of('#');
    if (marks == 0 || marks == std::string::npos || line[marks] != ' ') continue;
    std::string anchor;
    for (const char c : line.substr(marks + 1)) {
      if (c == ' ') anchor += '-';
      if (std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_')
        anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    anchors.insert(anchor);
  }
  return anchors;
}

TEST(DocumentsTest, EveryLinkLeadsSomewhere) {
  const std::regex link("\\]\\(([^)#\\s]*)(#[^)\\s]*)?\\)");
  int links = 0;
  for (const fs::path& document : Documents()) {
    const std::string text = ReadFile(document.string());
    for (std::sregex_iterator it(text.begin(), text.end(), link), end; it != end; ++it) {
      const std::string path = (*it)[1], anchor = (*it)[2];
      if (path.find("://") != std::string::npos) continue;
      SCOPED_TRACE(document.string() + ": " + (*it)[0].str());
      const fs::path target = path.empty() ? document : document.parent_path() / path;
      EXPECT_TRUE(fs::exists(target));
      if (!anchor.empty()) {
        EXPECT_THAT(Anchors(target), ::testing::Contains(anchor.substr(1)));
      }
      ++links;
    }
  }
  EXPECT_GT(links, 30);
}

TEST(DocumentsTest, ThePictureIsOfTheMeasuredNumbers) {
  if (RunCommand("python3 --version").code != 0) GTEST_SKIP() << "python3 is not installed";
  const std::string chart = "python3 " OCTET_SOURCE_DIR "/bench/chart.py ";
  const Outcome picture = RunCommand(chart + "--output=-");
  ASSERT_EQ(picture.code, 0) << picture.err;
  EXPECT_EQ(picture.out, ReadFile(kSource / "bench/results/resnet50.svg")) << "run bench/chart.py";
  const Outcome table = RunCommand(chart + "--table");
  ASSERT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(ReadFile(kSource / "bench/README.md"), ::testing::HasSubstr(table.out));
}

}  // namespace
}  // namespace octet::testing
