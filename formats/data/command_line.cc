// Messages name what was found and what may have been meant. Shell completion is made from the same
// lists of options that are parsed, so that it cannot fall behind them.
#include "formats/data/command_line.h"

#include <algorithm>

#include "formats/base/closest.h"
#include "formats/base/str_cat.h"
#include "formats/data/man_page.h"
#include "formats/data/system.h"
#include "octet/version.h"

namespace octet {
namespace {

constexpr size_t kNameColumn = 30, kColumns = 80;

std::string Join(const std::vector<std::string>& words, const char* between) {
  std::string s;
  for (const std::string& w : words) s += (s.empty() ? "" : between) + w;
  return s;
}

bool IsShown(const CLI::Option& o) { return !o.get_group().empty(); }

std::vector<std::string> OptionNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* o : app.get_options()) {
    if (!IsShown(*o)) continue;
    for (const std::string& name : o->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::vector<const CLI::App*> Commands(const CLI::App& app) { return app.get_subcommands({}); }

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : Commands(app)) names.push_back(command->get_name());
  return names;
}

/// The words that OneOf and CLI::IsMember allow, which describe themselves as "{a,b}".
std::vector<std::string> Choices(const CLI::Option& o) {
  const std::string type = o.get_type_name();
  const size_t begin = type.find('{'), end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

/// On what the parser did not know, which explains more than what it then missed.
std::string UnknownText(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(true);
  if (rest.empty()) return "";
  const auto option =
      std::find_if(rest.begin(), rest.end(), [](const auto& s) { return s.starts_with("-"); });
  std::string text = option != rest.end() ? *option : rest[0];
  const auto commands = app.get_subcommands();
  const CLI::App& at = commands.empty() ? app : *commands[0];
  if (option == rest.end() && CommandNames(at).empty()) return StrCat("found one too many: ", text);
  text = text.substr(0, text.find('='));
  if (option != rest.end()) {
    // Of a short option's letter, the long one that begins with it.
    const std::string meant = text.size() == 2 ? "-" + text : text;
    return StrCat("unknown option ", text, DidYouMean(meant, OptionNames(at)));
  }
  return StrCat("unknown command '", text, "', expected one of ", Join(CommandNames(at), ", "),
                DidYouMean(text, CommandNames(at)));
}

std::string BashCompletion(const CLI::App& app) {
  const std::string name = app.get_name(), function = "_" + name + "_complete";
  std::string commands, values, options;
  std::vector<const CLI::App*> all = Commands(app);
  if (!all.empty()) {
    commands = StrCat("  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n    case $word in ",
                      Join(CommandNames(app), "|"), ") command=$word; break ;; esac\n  done\n");
  }
  all.push_back(&app);
  for (const CLI::App* a : all) {
    const std::string command = a == &app ? "" : a->get_name();
    for (const CLI::Option* o : a->get_options()) {
      const std::vector<std::string> choices = Choices(*o);
      if (!IsShown(*o) || choices.empty() || o->get_lnames().empty()) continue;
      values += StrCat("    '", command, " --", o->get_lnames()[0], "') words='",
                       Join(choices, " "), "' ;;\n");
    }
    options += StrCat("    '", command, " -'*) words='", Join(OptionNames(*a), " "), "' ;;\n");
    if (a == &app && all.size() > 1)
      options += StrCat("    ' '*) words='", Join(CommandNames(app), " "), "' ;;\n");
  }
  return StrCat("# Completion of ", name, " for bash: source it.\n", function, R"(() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= words= word
  if [[ $cur == = ]]; then cur=; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi
)",
                commands, "  case \"$command $prev\" in\n", values,
                "    *) case \"$command $cur\" in\n", options, R"(    esac ;;
  esac
  local done=${cur%"${cur##*,}"}
  COMPREPLY=()
  [[ -n $words ]] && COMPREPLY=($(compgen -P "$done" -W "$words" -- "${cur##*,}"))
}
complete -o default -F )",
                function, " ", name, "\n");
}

/// In single quotes, where _arguments gives brackets and colons a meaning.
std::string ZshText(const std::string& text) {
  std::string s;
  for (char c : text) {
    if (c == '\'') {
      s += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') s += '\\';
    s += c;
  }
  return s;
}

std::string ZshArguments(const CLI::App& app) {
  std::string s = "_arguments";
  for (const CLI::Option* o : app.get_options()) {
    if (!IsShown(*o)) continue;
    const std::vector<std::string> choices = Choices(*o);
    const std::string value =
        choices.empty() ? ":value:_files" : StrCat(":value:(", Join(choices, " "), ")");
    const bool many = o->get_expected_max() > 1;
    const bool takes = o->get_type_size() > 0 && o->get_expected_min() > 0;
    for (const std::string& name : o->get_lnames()) {
      s += StrCat(" \\\n    '", many ? "*" : "", "--", name, takes ? "=" : "", "[",
                  ZshText(o->get_description()), "]", takes ? value : "", "'");
    }
    if (o->get_lnames().empty()) s += StrCat(" \\\n    '", many ? "*" : "", ":value:_files'");
  }
  return s + "\n";
}

std::string ZshCompletion(const CLI::App& app) {
  const std::string name = app.get_name(), function = "_" + name;
  std::string body;
  if (Commands(app).empty()) {
    body = "  " + ZshArguments(app);
  } else {
    body = "  local -a commands=(";
    for (const CLI::App* command : Commands(app))
      body += StrCat("\n    '", command->get_name(), ":", ZshText(command->get_description()), "'");
    body += StrCat(
        ")\n  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n    _describe command "
        "commands\n    return\n  fi\n  local command=$words[2]\n  shift words\n  (( CURRENT-- "
        "))\n  case $command in\n");
    for (const CLI::App* command : Commands(app))
      body += StrCat("  ", command->get_name(), ") ", ZshArguments(*command), "  ;;\n");
    body += StrCat("  *) ", ZshArguments(app), "  ;;\n  esac\n");
  }
  return StrCat("#compdef ", name, "\n", function, "() {\n", body,
                "}\nif [[ $funcstack[1] == ", function, " ]]; then\n  ", function,
                " \"$@\"\nelse\n  compdef ", function, " ", name, "\nfi\n");
}

std::string Wrapped(const std::string& text, size_t columns) {
  std::string wrapped;
  size_t used = 0;
  for (const std::string& word : CLI::detail::split(text, ' ')) {
    const bool fits = used + 1 + word.size() <= columns;
    wrapped += (used == 0 ? "" : fits ? " " : "\n") + word;
    used = used == 0 || !fits ? word.size() : used + 1 + word.size();
  }
  return wrapped;
}

/// CLI11 prints descriptions as they are.
void WrapDescriptions(CLI::App* app) {
  const bool listed = app->get_parent() != nullptr;
  app->description(Wrapped(app->get_description(), kColumns - (listed ? kNameColumn : 0)));
  for (CLI::Option* o : app->get_options())
    o->description(Wrapped(o->get_description(), kColumns - kNameColumn));
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; }))
    WrapDescriptions(command);
}

/// CLI11 passes over what is missing between two commas.
void CheckLists(const CLI::App& app, int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const CLI::Option* o =
        text.starts_with("--") ? app.get_option_no_throw(text.substr(0, equals)) : nullptr;
    if (o == nullptr || o->get_delimiter() == '\0') continue;
    const std::string list = equals != std::string::npos ? text.substr(equals + 1)
                             : i + 1 < argc              ? argv[i + 1]
                                                         : "";
    if (("," + list + ",").find(",,") != std::string::npos)
      throw CLI::ValidationError(o->get_name(), StrCat("nothing between two commas of ", list));
  }
}

}  // namespace

std::optional<int> ParseCommandLine(CLI::App* app, int argc, char** argv,
                                    const std::function<void()>& check) {
  UseUtf8Arguments(&argc, &argv);
  for (CLI::App* a : app->get_subcommands({})) a->allow_windows_style_options(false);
  app->allow_windows_style_options(false);  // "/x" is a path on every system.
  const std::string name = app->get_name();
  app->set_version_flag("--version", name + " " OCTET_VERSION, "Print the version and exit");
  std::string printed;
  app->add_option_function<std::string>(
         "--completion",
         [&](const std::string& shell) {
           printed = shell == "bash" ? BashCompletion(*app) : ZshCompletion(*app);
           throw CLI::Success();
         },
         "Print what completes command lines in bash or zsh")
      ->check(OneOf({"bash", "zsh"}))
      ->group("");
  app->add_flag_callback(
         "--man-page",
         [&] {
           printed = ManPage(*app);
           throw CLI::Success();
         },
         "Print the manual page")
      ->group("");
  app->failure_message([&name](const CLI::App* a, const CLI::Error& e) {
    const std::string unknown = UnknownText(*a);
    return StrCat(name, ": ", unknown.empty() ? e.what() : unknown, " (see --help)\n");
  });
  app->get_formatter()->column_width(kNameColumn);
  try {
    CheckLists(*app, argc, argv);
    app->parse(argc, argv);
    if (check) check();
  } catch (const CLI::CallForHelp& e) {
    WrapDescriptions(app);
    return app->exit(e);
  } catch (const CLI::ParseError& e) {
    if (!printed.empty()) {
      std::fwrite(printed.data(), 1, printed.size(), stdout);
      return 0;
    }
    return app->exit(e) == 0 ? 0 : 2;
  }
  return std::nullopt;
}

CLI::Validator OneOf(const std::vector<std::string>& words) {
  return CLI::Validator(
      [words](std::string& text) {
        if (std::find(words.begin(), words.end(), text) != words.end()) return std::string();
        return StrCat("found '", text, "', expected one of ", Join(words, ", "),
                      DidYouMean(text, words));
      },
      "{" + Join(words, ",") + "}");
}

CLI::Option* AddShard(CLI::App* app, const std::string& name, std::optional<Shard>* shard,
                      const std::string& description) {
  const auto parse = [name, shard](const std::string& text) {
    const Result<Shard> parsed = ParseShard(text);
    if (!parsed.ok()) throw CLI::ValidationError(name, parsed.status().message());
    *shard = *parsed;
  };
  return app->add_option_function<std::string>(name, parse, description)->type_name("I/N");
}

std::string Example(const std::string& command) { return StrCat("Example:\n  ", command, "\n"); }

}  // namespace octet
