#include "engine/train/run_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "engine/core/error.h"
#include "engine/train/atomic_file.h"

namespace encke {
namespace {

namespace fs = std::filesystem;

// The files of lines; others that lie in a run's folder are their owner's.
constexpr const char* kLogs[] = {"metrics.jsonl", "activations.jsonl", "summary.csv", "memory.csv"};

// What a folder name should not hold becomes a dash.
std::string FolderName(const std::string& name) {
  std::string result;
  for (const char c : name)
    result += std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ? c : '-';
  return result.empty() ? "run" : result;
}

std::string Now() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%Y%m%d-%H%M%S", &local);
  return text;
}

std::optional<int64_t> IterationOfJson(const std::string& line) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object() || !object.contains("iteration")) return std::nullopt;
  if (!object["iteration"].is_number_integer()) return std::nullopt;
  return object["iteration"].get<int64_t>();
}

// The first column; the header line counts as iteration 0.
std::optional<int64_t> IterationOfCsv(const std::string& line) {
  if (line.rfind("iteration,", 0) == 0) return 0;
  char* end = nullptr;
  const int64_t iteration = std::strtoll(line.c_str(), &end, 10);
  if (end == line.c_str() || *end != ',') return std::nullopt;
  return iteration;
}

// Holds the folder for this process until the last copy is gone, by its log, which is written to
// its end only. File systems that know no locks hold nothing.
std::shared_ptr<const int> Lock(const std::string& folder) {
  const std::string log = folder + "/log.txt";
  const int file = open(log.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return nullptr;
  std::shared_ptr<const int> lock(new int(file), [](const int* descriptor) {
    close(*descriptor);
    delete descriptor;
  });
  if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw Error(ErrorKind::USAGE, "another process is training this run", folder,
                "wait until it has ended, or stop it by Ctrl-C");
  return lock;
}

void CutLines(const fs::path& path, int64_t last) {
  std::ifstream in(path);
  std::string kept;
  for (std::string line; std::getline(in, line);) {
    if (in.eof()) break;  // no newline: the process died while writing it
    const auto iteration =
        path.extension() == ".csv" ? IterationOfCsv(line) : IterationOfJson(line);
    if (iteration && *iteration <= last) kept += line + "\n";
  }
  in.close();
  AtomicFile out(path.string());
  out.Write(kept);
  out.Commit();
}

}  // namespace

std::string UnusedPath(const std::string& base, const std::string& end) {
  std::string path = base + end;
  for (int number = 2; fs::exists(path); ++number) path = StrCat(base, "-", number, end);
  return path;
}

std::string NewRunPath(const std::string& output, const std::string& name) {
  return UnusedPath((fs::path(output) / (Now() + "-" + FolderName(name))).string());
}

bool IsRunOf(const std::string& folder, const std::string& name) {
  constexpr size_t kTime = 16;  // "20260131-142501-"
  if (folder.size() < kTime) return false;
  const std::string own = folder.substr(kTime), asked = FolderName(name);
  if (own == asked) return true;
  if (own.compare(0, asked.size() + 1, asked + "-") != 0) return false;
  const std::string number = own.substr(asked.size() + 1);
  return !number.empty() && number.find_first_not_of("0123456789") == std::string::npos;
}

RunDirectory::RunDirectory(const std::string& path) : path_(path), lock_(Lock(path)) {}

RunDirectory RunDirectory::Create(const std::string& path) {
  if (fs::exists(fs::path(path) / "config.textproto"))
    throw Error(ErrorKind::USAGE, "there is a run in this folder already", path,
                "name another folder, or go on with that run by --resume");
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure)
    throw Error(ErrorKind::DATA, StrCat("cannot create the folder: ", failure.message()), path);
  return RunDirectory(path);
}

RunDirectory RunDirectory::Resume(const std::string& path) { return RunDirectory(path); }

void RunDirectory::CutAfter(int64_t iteration) const {
  for (const char* name : kLogs) {
    if (fs::exists(File(name))) CutLines(File(name), iteration);
  }
}

void RunDirectory::Write(const std::string& name, const std::string& text) const {
  AtomicFile file(File(name));
  file.Write(text);
  file.Commit();
}

void RunDirectory::Append(const std::string& name, const std::string& line,
                          const std::string& header) {
  std::ofstream& file = open_[name];
  if (!file.is_open()) {
    const bool is_new = !fs::exists(File(name)) || fs::file_size(File(name)) == 0;
    file.open(File(name), std::ios::app);
    if (is_new && !header.empty()) file << header << '\n';
  }
  file << line << '\n' << std::flush;
  if (!file)
    throw Error(ErrorKind::DATA, "cannot write the file", File(name), "check the free space");
}

}  // namespace encke
