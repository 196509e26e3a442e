// A command of the program is one file that fills a Command, and one row in main.cc's table.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

namespace encke::cli {

struct Command {
  std::string name;
  std::string summary;   // one line, for the list of commands
  std::string examples;  // shown at the end of the command's help
  bool hidden = false;   // not in the list: for the program's own use
  // Adds the options to `app` and returns what runs once they are parsed. It returns the exit code
  // and throws Error for what the user can mend.
  std::function<std::function<int()>(CLI::App& app)> set_up;
};

Command TrainCommand();
Command TestCommand();
Command SummaryCommand();
Command CheckCommand();
Command CompareCommand();
Command CompareModeCommand();  // one mode of `compare`, in a process of its own
Command InspectCommand();
Command ReportCommand();
Command BenchCommand();
Command DevicesCommand();

}  // namespace encke::cli
