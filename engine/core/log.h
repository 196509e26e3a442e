// Messages for the user: one line each, to standard error and, once a run has one, to its log file.
#pragma once

#include <string>

namespace encke {

enum class LogLevel { DEBUG, INFO, WARNING, ERROR };

// Thread-safe. Lines below `level` go to the file only.
class Log {
 public:
  static void SetTerminalLevel(LogLevel level);
  // Appends every later line to `path` as well; an empty path stops that.
  static void SetFile(const std::string& path);
  static void Write(LogLevel level, const std::string& message);
  // A line kept below all others and rewritten in place, for progress; "" takes it away. For
  // terminals only: it is moved with control codes. The file never sees it.
  static void SetStatus(const std::string& line);
};

inline void LogInfo(const std::string& message) { Log::Write(LogLevel::INFO, message); }
inline void LogWarning(const std::string& message) { Log::Write(LogLevel::WARNING, message); }

}  // namespace encke
