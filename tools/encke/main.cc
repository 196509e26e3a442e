// The `encke` program: finds the command, runs it, and turns errors into messages and exit codes.
#include <malloc.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include "engine/config/diagnostics.h"
#include "engine/core/error.h"
#include "tools/encke/command.h"
#include "tools/encke/terminal.h"
#include "tools/encke/version.h"

namespace encke::cli {
namespace {

constexpr int kUsage = 2;
constexpr int kFailure = 1;

std::vector<Command> Commands() {
  return {
      TrainCommand(),   TestCommand(),   SummaryCommand(), CheckCommand(),   CompareCommand(),
      InspectCommand(), ReportCommand(), BenchCommand(),   DevicesCommand(), CompareModeCommand(),
  };
}

// The program's options and what runs for each command.
struct Program {
  CLI::App app{
      "Trains convolutional networks from config files, with the values that the backward pass\n"
      "needs kept compressed under an error bound that follows from the weight gradients."};
  std::string help_topic;
  CLI::App* help = nullptr;
  std::vector<std::string> names;
  std::vector<CLI::App*> apps;
  std::vector<std::function<int()>> runs;

  Program() {
    app.name("encke");
    app.set_version_flag("--version", kVersion);
    app.require_subcommand(0, 1);
    app.get_formatter()->column_width(30);
    app.footer(
        "`encke help COMMAND` shows a command's options and examples.\n"
        "Exit codes: 0 done, 1 failure, 2 usage or config, 3 data, 4 memory, 5 device.");
    for (Command& command : Commands()) Add(command);
    help = app.add_subcommand("help", "Explain a command");
    help->add_option("COMMAND", help_topic, "The command to explain");
  }

  void Add(Command& command) {
    CLI::App* sub = app.add_subcommand(command.name, command.summary);
    if (command.hidden) {
      sub->group("");
    } else {
      names.push_back(command.name);
    }
    sub->footer("Examples:\n" + command.examples);
    sub->get_formatter()->column_width(34);
    apps.push_back(sub);
    runs.push_back(command.set_up(*sub));
  }

  bool Knows(const std::string& name) const {
    return name == help->get_name() ||
           std::any_of(apps.begin(), apps.end(),
                       [&](const CLI::App* sub) { return sub->get_name() == name; });
  }

  [[noreturn]] void ThrowUnknown(const std::string& name) const {
    throw Error(ErrorKind::USAGE, "there is no command '" + name + "'" + DidYouMean(name, names),
                "", "`encke help` lists the commands");
  }

  // The first argument that the program or the command has no place for.
  [[noreturn]] void ThrowUnexpected() const {
    const std::vector<std::string> all = app.remaining(/*recurse=*/true);
    const std::string first = all.empty() ? "" : all.front();
    std::vector<std::string> options;
    for (const CLI::App* sub : apps) {
      if (!sub->parsed()) continue;
      for (const CLI::Option* option : sub->get_options()) {
        for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
      }
    }
    const bool is_option = !first.empty() && first[0] == '-';
    throw Error(ErrorKind::USAGE,
                is_option ? "there is no option '" + first + "'" +
                                DidYouMean(first.substr(0, first.find('=')), options)
                          : "there is no place for the argument '" + first + "'",
                "", "`" + HelpCommand() + "` shows the options");
  }

  // App::help() would speak of the command that was parsed.
  std::string Overview() const {
    return app.get_formatter()->make_help(&app, app.get_name(), CLI::AppFormatMode::Normal);
  }

  int ShowHelp() const {
    if (help_topic.empty()) {
      std::fputs(Overview().c_str(), stdout);
      return 0;
    }
    for (const CLI::App* sub : apps) {
      if (sub->get_name() != help_topic) continue;
      std::fputs(sub->help(app.get_name()).c_str(), stdout);
      return 0;
    }
    ThrowUnknown(help_topic);
  }

  int Run() const {
    if (help->parsed()) return ShowHelp();
    for (size_t i = 0; i < apps.size(); ++i) {
      if (apps[i]->parsed()) return runs[i]();
    }
    std::fputs(Overview().c_str(), stderr);
    return kUsage;
  }

  // What to call for the options of the command that was being parsed.
  std::string HelpCommand() const {
    for (const CLI::App* sub : apps) {
      if (sub->parsed()) return "encke help " + sub->get_name();
    }
    return "encke help";
  }
};

int Parse(Program& program, int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "";
  const bool is_option = first.empty() || first[0] == '-';
  if (!is_option && !program.Knows(first)) program.ThrowUnknown(first);
  try {
    program.app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    program.app.exit(success);
    return 0;
  } catch (const CLI::ExtrasError&) {
    program.ThrowUnexpected();
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::USAGE, error.what(), "",
                "`" + program.HelpCommand() + "` shows the options");
  }
  return program.Run();
}

int Main(int argc, char** argv) {
  try {
    Program program;
    return Parse(program, argc, argv);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return ExitCode(error.kind());
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "error: out of memory\n");
    return ExitCode(ErrorKind::MEMORY);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return kFailure;
  }
}

// OpenMP's threads wait by spinning for milliseconds before they sleep. Where the cores have other
// work (another run, a build, a browser) the spinning takes them from it and from the thread that
// is waited for: a step of ResNet-50 took up to four times as long. libgomp reads its environment
// when it is loaded, so the program starts itself again, with 0.1 ms of spinning; no more than that
// is between two parallel regions. Goes on as it is where that fails, or where the user has said
// how to wait.
void StartWithShortSpins(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  setenv("GOMP_SPINCOUNT", "3000", 1);
  std::error_code failed;  // its own path, not /proc/self/exe: the name is what `ps` shows
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) execv(self.c_str(), argv);
}

}  // namespace
}  // namespace encke::cli

int main(int argc, char** argv) {
  encke::cli::StartWithShortSpins(argv);
  // What decoding an image takes goes back to the system: glibc's own threshold would rise with the
  // first one that is freed.
  mallopt(M_MMAP_THRESHOLD, 256 << 10);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is met as a write that fails, not a kill
  return encke::cli::Main(argc, argv);
}
