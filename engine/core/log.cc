#include "engine/core/log.h"

#include <cstdio>
#include <ctime>
#include <memory>
#include <mutex>

#include "engine/core/error.h"

namespace encke {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

struct Sink {
  std::mutex mutex;
  LogLevel terminal_level = LogLevel::INFO;
  std::string status;
  std::unique_ptr<std::FILE, FileCloser> file;
};

Sink& TheSink() {
  static Sink sink;
  return sink;
}

constexpr char kClearLine[] = "\r\x1b[K";

const char* Prefix(LogLevel level) {
  switch (level) {
    case LogLevel::WARNING:
      return "warning: ";
    case LogLevel::ERROR:
      return "error: ";
    default:
      return "";
  }
}

}  // namespace

void Log::SetTerminalLevel(LogLevel level) {
  std::lock_guard<std::mutex> lock(TheSink().mutex);
  TheSink().terminal_level = level;
}

void Log::SetFile(const std::string& path) {
  std::lock_guard<std::mutex> lock(TheSink().mutex);
  TheSink().file.reset();
  if (path.empty()) return;
  TheSink().file.reset(std::fopen(path.c_str(), "a"));
  if (TheSink().file == nullptr) {
    throw Error(ErrorKind::DATA, "cannot open the log file for writing", path,
                "check that the folder exists and may be written");
  }
}

void Log::Write(LogLevel level, const std::string& message) {
  Sink& sink = TheSink();
  std::lock_guard<std::mutex> lock(sink.mutex);
  if (level >= sink.terminal_level) {
    const bool status = !sink.status.empty();
    std::fprintf(stderr, "%s%s%s\n", status ? kClearLine : "", Prefix(level), message.c_str());
    if (status) std::fputs(sink.status.c_str(), stderr);
  }
  if (sink.file != nullptr) {
    char stamp[32];
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    std::strftime(stamp, sizeof(stamp), "%F %T", &local);
    std::fprintf(sink.file.get(), "%s %s%s\n", stamp, Prefix(level), message.c_str());
    std::fflush(sink.file.get());
  }
}

void Log::SetStatus(const std::string& line) {
  Sink& sink = TheSink();
  std::lock_guard<std::mutex> lock(sink.mutex);
  if (line.empty() && sink.status.empty()) return;
  sink.status = line;
  std::fprintf(stderr, "%s%s", kClearLine, line.c_str());
  std::fflush(stderr);
}

}  // namespace encke
