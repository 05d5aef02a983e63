#include "ctl/generate.hpp"

#include <fmt/format.h>

#include <functional>
#include <vector>

#include "ctl/commands.hpp"

namespace vgpu::ctl {
namespace {

using Verbs = std::vector<const CLI::App*>;

Verbs verbs_of(const CLI::App& app) { return app.get_subcommands(std::function<bool(const CLI::App*)>{}); }

std::vector<const CLI::Option*> options_of(const CLI::App& app, bool positional) {
  std::vector<const CLI::Option*> found;
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional() == positional) found.push_back(option);
  return found;
}

std::string flags_text(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : options_of(app, false))
    for (const std::string& name : option->get_lnames()) text += (text.empty() ? "--" : " --") + name;
  return text;
}

/// A shell's function that prints the words which may stand for an argument.
constexpr const char* kWordsText = R"(_vgpuctl_words() {
  case $1 in
    VM) vgpuctl --json vms 2>/dev/null | grep -o '"name":"[^"]\+' | cut -d '"' -f 4 ;;
    POOL) vgpuctl --json pools 2>/dev/null | grep -o '"name":"[^"]\+' | cut -d '"' -f 4 ;;
    SESSION) vgpuctl --json sessions 2>/dev/null | grep -o '"session":[0-9]\+' | cut -d : -f 2 ;;
    KEY) echo KEYS ;;
    VALUE) echo default low medium high ;;
    LEVEL) echo trace debug info warn error ;;
    SHELL) echo bash zsh ;;
  esac
}
)";

std::string words_function() {
  std::string text = kWordsText;
  const std::string mark = "KEYS";
  return text.replace(text.find(mark), mark.size(), kSettable);
}

std::string bash(const CLI::App& app) {
  std::string cases, verbs;
  for (const CLI::App* verb : verbs_of(app)) {
    verbs += (verbs.empty() ? "" : " ") + verb->get_name();
    cases += fmt::format("    {})\n      options=\"{}\"\n", verb->get_name(), flags_text(*verb));
    const auto arguments = options_of(*verb, true);
    for (std::size_t i = 0; i < arguments.size(); ++i)
      cases += fmt::format("      [ \"$argument\" -eq {} ] && words=$(_vgpuctl_words {})\n", i,
                           arguments[i]->get_name(true));
    cases += "      ;;\n";
  }
  return fmt::format(R"(# Completions of vgpuctl for bash: printed by "vgpuctl completion bash".
{words}
_vgpuctl() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} verb= argument=-1 words= options= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      --socket | --interval | --sort | --seconds) i=$((i + 1)) ;;
      -*) ;;
      *)
        [ -z "$verb" ] && verb=${{COMP_WORDS[i]}}
        argument=$((argument + 1))
        ;;
    esac
  done
  case ${{COMP_WORDS[COMP_CWORD - 1]}} in
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --sort) mapfile -t COMPREPLY < <(compgen -W "share memory calls waits sessions name" -- "$current"); return ;;
  esac
  case $verb in
    "") words="{verbs}" ;;
{cases}  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "{all} $options" -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}}
complete -F _vgpuctl vgpuctl
)",
                     fmt::arg("words", words_function()), fmt::arg("verbs", verbs), fmt::arg("cases", cases),
                     fmt::arg("all", flags_text(app)));
}

/// `text` within single quotes of a shell, in zsh's lists of words with explanations.
std::string zsh_quoted(const std::string& text) {
  std::string quoted;
  for (const char c : text) {
    if (c == '\'')
      quoted += "'\\''";
    else if (c == ':' || c == '[' || c == ']')
      quoted += std::string("\\") + c;
    else
      quoted += c;
  }
  return quoted;
}

std::string zsh_options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : options_of(app, false))
    for (const std::string& name : option->get_lnames())
      text += fmt::format(" \\\n        '--{}[{}]{}'", name, zsh_quoted(option->get_description()),
                          option->get_items_expected_max() == 0 ? "" : ":value:");
  return text;
}

std::string zsh(const CLI::App& app) {
  std::string verbs, cases;
  for (const CLI::App* verb : verbs_of(app)) {
    verbs += fmt::format("    '{}:{}'\n", verb->get_name(), zsh_quoted(verb->get_description()));
    std::string arguments;
    for (const CLI::Option* option : options_of(*verb, true)) {
      const std::string name = option->get_name(true);
      arguments += fmt::format(" \\\n          ':{}:{{compadd -- $(_vgpuctl_words {})}}'", name, name);
    }
    cases +=
        fmt::format("      {})\n        _arguments{}{}\n        ;;\n", verb->get_name(), zsh_options(*verb), arguments);
  }
  return fmt::format(R"(#compdef vgpuctl
# Completions of vgpuctl for zsh: printed by "vgpuctl completion zsh".
{words}
_vgpuctl() {{
  local -a verbs
  verbs=(
{verbs}  )
  local state line
  _arguments -C{all} \
        '1:verb:->verb' '*::argument:->argument'
  case $state in
    verb) _describe verb verbs ;;
    argument)
      case $line[1] in
{cases}      esac
      ;;
  esac
}}
_vgpuctl "$@"
)",
                     fmt::arg("words", words_function()), fmt::arg("verbs", verbs), fmt::arg("cases", cases),
                     fmt::arg("all", zsh_options(app)));
}

/// `text` as roff takes it.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') out += '\\';
    if (c == '-') out += '\\';
    out += c;
  }
  return out;
}

std::string man_option(const CLI::Option& option) {
  std::string names;
  for (const std::string& name : option.get_snames()) names += (names.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) names += (names.empty() ? "--" : ", --") + name;
  const std::string type = option.get_type_name();
  const std::string value =
      option.get_items_expected_max() == 0 ? "" : " \\fI" + type.substr(0, type.find(':')) + "\\fR";
  return ".TP\n\\fB" + roff(names) + "\\fR" + value + "\n" + roff(option.get_description()) + "\n";
}

std::string man(const CLI::App& app) {
  std::string text =
      ".\\\" Printed by \"vgpuctl completion man\".\n.TH VGPUCTL 1 \"\" vgpu \"User Commands\"\n"
      ".SH NAME\nvgpuctl \\- asks and steers vgpud\n"
      ".SH SYNOPSIS\n\\fBvgpuctl\\fR [\\fIOPTIONS\\fR] \\fIVERB\\fR [\\fIARGUMENTS\\fR]\n"
      ".SH DESCRIPTION\n" +
      roff(app.get_description()) +
      " It speaks to vgpud's admin socket; root, vgpud's own user and members of the group "
      "\\fBvgpu\\-admin\\fR may.\n.SH OPTIONS\n";
  for (const CLI::Option* option : options_of(app, false)) text += man_option(*option);
  text += ".SH VERBS\n";
  for (const CLI::App* verb : verbs_of(app)) {
    std::string arguments;
    for (const CLI::Option* option : options_of(*verb, true)) arguments += " \\fI" + option->get_name(true) + "\\fR";
    text += ".SS \\fB" + roff(verb->get_name()) + "\\fR" + arguments + "\n" + roff(verb->get_description()) + "\n";
    for (const CLI::Option* option : options_of(*verb, true))
      text += ".TP\n\\fI" + option->get_name(true) + "\\fR\n" + roff(option->get_description()) + "\n";
    for (const CLI::Option* option : options_of(*verb, false))
      if (option != verb->get_help_ptr()) text += man_option(*option);
  }
  text += R"(.SH ENVIRONMENT
.TP
\fBVGPU_ADMIN_SOCKET\fR
vgpud's admin socket, where \-\-socket does not name one.
.SH EXIT STATUS
.TP
0
It is done; \fBstatus\fR: vgpud is healthy.
.TP
1
vgpud refused, and stderr says why; \fBstatus\fR: vgpud is not healthy.
.TP
2
The command line is wrong.
.TP
3
vgpud can't be reached, or ended.
.TP
4
This user may not.
.SH EXAMPLES
.nf
vgpuctl top
vgpuctl set build\-server weight 200
vgpuctl set 111 weight default
vgpuctl drain A \-\-end && vgpuctl resume A
vgpuctl \-\-json vms | jq '.vms[] | select(.quarantined) | .id'
.fi
)";
  return text;
}

}  // namespace

std::string generate(const CLI::App& app, const std::string& kind) {
  if (kind == "bash") return bash(app);
  if (kind == "zsh") return zsh(app);
  return man(app);
}

}  // namespace vgpu::ctl
