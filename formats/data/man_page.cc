// As man-pages(7) wants it: NAME, SYNOPSIS, DESCRIPTION, OPTIONS, and COMMANDS with the options of
// each.
#include "formats/data/man_page.h"

#include <algorithm>
#include <cctype>
#include <vector>

#include "formats/base/str_cat.h"
#include "octet/version.h"

namespace octet {
namespace {

/// Text that roff prints as it is: hyphens are minus signs, as options have them.
std::string Roff(const std::string& text) {
  std::string s;
  bool begins_line = true;
  for (char c : text) {
    if (begins_line && (c == '.' || c == '\'')) s += "\\&";
    if (c == '\\') {
      s += "\\e";
    } else {
      s += c == '-' ? "\\-" : std::string(1, c);
    }
    begins_line = c == '\n';
  }
  return s;
}

bool IsShown(const CLI::Option& o) { return !o.get_group().empty(); }

/// What stands for the value in "--threads INT:INT in [1 - 1024]": without limits and choices,
/// which the description names.
std::string ValueName(const CLI::Option& o) {
  if (o.get_type_size() == 0) return "";
  const std::string type = o.get_type_name();
  return type.substr(0, type.find(':'));
}

std::string OptionEntry(const CLI::Option& o) {
  std::string names;
  for (const std::string& name : o.get_snames()) names += StrCat(", \\fB\\-", Roff(name), "\\fR");
  for (const std::string& name : o.get_lnames())
    names += StrCat(", \\fB\\-\\-", Roff(name), "\\fR");
  const std::string value = ValueName(o);
  if (names.empty()) {
    names = StrCat("  \\fI", Roff(o.get_name()), "\\fR");
  } else if (!value.empty()) {
    names += StrCat(" \\fI", Roff(value), "\\fR");
  }
  if (o.get_expected_max() > 1) names += " ...";
  return StrCat(".TP\n", names.substr(2), "\n", Roff(o.get_description()), "\n");
}

std::string OptionEntries(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* o : app.get_options())
    if (IsShown(*o)) text += OptionEntry(*o);
  return text;
}

std::string Synopsis(const CLI::App& app, const std::string& name) {
  std::string text = StrCat("\\fB", Roff(name), "\\fR [\\fIOPTIONS\\fR]");
  if (!app.get_subcommands({}).empty()) text += " \\fICOMMAND\\fR";
  for (const CLI::Option* o : app.get_options()) {
    if (!IsShown(*o) || !o->get_positional()) continue;
    const std::string value = StrCat("\\fI", Roff(o->get_name()), "\\fR");
    text += o->get_required() ? StrCat(" ", value) : StrCat(" [", value, "]");
    if (o->get_expected_max() > 1) text += " ...";
  }
  return text + "\n";
}

std::string Footer(const CLI::App& app) {
  const std::string footer = app.get_footer();
  return footer.empty() ? "" : StrCat(".PP\n.nf\n", Roff(footer), ".fi\n");
}

}  // namespace

std::string ManPage(const CLI::App& app) {
  const std::string name = app.get_name();
  std::string title = name, summary = app.get_description();
  std::transform(title.begin(), title.end(), title.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  summary = summary.substr(0, summary.find(". "));
  if (!summary.empty() && summary.back() == '.') summary.pop_back();
  if (!summary.empty())
    summary[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(summary[0])));
  std::string text =
      StrCat(".TH ", title, " 1 \"\" \"octet ", OCTET_VERSION, "\" \"User Commands\"\n.SH NAME\n",
             Roff(name), " \\- ", Roff(summary), "\n.SH SYNOPSIS\n", Synopsis(app, name),
             ".SH DESCRIPTION\n", Roff(app.get_description()), "\n", Footer(app), ".SH OPTIONS\n",
             OptionEntries(app));
  const std::vector<const CLI::App*> commands = app.get_subcommands({});
  if (!commands.empty()) text += ".SH COMMANDS\n";
  for (const CLI::App* command : commands) {
    text +=
        StrCat(".SS ", Roff(command->get_name()), "\n",
               Synopsis(*command, name + " " + command->get_name()), ".PP\n",
               Roff(command->get_description()), ".\n", OptionEntries(*command), Footer(*command));
  }
  return text;
}

}  // namespace octet
