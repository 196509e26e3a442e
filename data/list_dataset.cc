// A text file with a line "path label" for each image. Paths are relative to the folder of the list
// and may contain spaces; labels count from 0; empty lines and those that start with # are left
// out.
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include "data/file.h"
#include "data/formats.h"
#include "data/image_files.h"
#include "engine/core/error.h"

namespace encke {
namespace {

struct ListLine {
  std::string path;
  int label;
  int number;  // from 1
};

constexpr const char* kBlank = " \t\r";

// Splits "path label". Error(DATA) at `place` when it is not that.
ListLine ParseLine(const std::string& text, const std::string& place) {
  const size_t end = text.find_last_not_of(kBlank) + 1;
  const size_t gap = text.find_last_of(kBlank, end - 1);
  const size_t path_end = gap == std::string::npos ? gap : text.find_last_not_of(kBlank, gap);
  ListLine line{"", -1, 0};
  if (path_end != std::string::npos) {
    const char* last = text.data() + end;
    const auto [stop, error] = std::from_chars(text.data() + gap + 1, last, line.label);
    if (error == std::errc() && stop == last && line.label >= 0) {
      line.path = text.substr(0, path_end + 1);
      return line;
    }
  }
  throw Error(ErrorKind::DATA, StrCat("\"", text, "\" is not \"path label\""), place,
              "a label is a whole number, from 0");
}

class ListedFiles : public FileSet {
 public:
  explicit ListedFiles(const std::string& list)
      : list_(list), folder_(std::filesystem::path(list).parent_path()) {}

  void Add(const ListLine& line) {
    files_.push_back(line.path);
    lines_.push_back(line.number);
  }

  std::vector<uint8_t> Read(size_t file) const override {
    try {
      return ReadWholeFile((folder_ / files_[file]).string());
    } catch (const Error& error) {
      throw Error(error.kind(), error.message(), Place(file));
    }
  }
  std::string Place(size_t file) const override {
    return StrCat((folder_ / files_[file]).string(), " (", list_, ":", lines_[file], ")");
  }

 private:
  std::string list_;
  std::filesystem::path folder_;
  std::vector<int> lines_;  // one a file
};

std::vector<ListLine> ReadList(const std::string& path, int classes) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorKind::DATA, "cannot open the list", path);
  std::vector<ListLine> lines;
  std::string text;
  for (int number = 1; std::getline(file, text); ++number) {
    if (text.find_first_not_of(kBlank) == std::string::npos || text.front() == '#') continue;
    const std::string place = StrCat(path, ":", number);
    lines.push_back(ParseLine(text, place));
    lines.back().number = number;
    if (classes != 0) CheckLabel(lines.back().label, classes, place);
  }
  return lines;
}

}  // namespace

std::unique_ptr<Dataset> OpenList(const DatasetOptions& options, Split split) {
  const bool is_shared = options.test.empty();
  if (split == Split::TEST && is_shared && options.test_fraction == 0) {
    throw Error(ErrorKind::DATA, "there are no test data", options.train,
                "set data.test or data.test_fraction");
  }
  const std::string& path = PathOf(options, split);
  auto files = std::make_unique<ListedFiles>(path);
  std::vector<ImageRecord> records;
  int classes = options.classes;
  for (const ListLine& line : ReadList(path, options.classes)) {
    classes = std::max(classes, line.label + 1);
    const bool in_test = is_shared && IsHeldOut(line.path, options.test_fraction);
    if (is_shared && in_test != (split == Split::TEST)) continue;
    records.push_back({files->files().size(), line.label});
    files->Add(line);
  }
  return std::make_unique<ImageFiles>(std::move(files), std::move(records), classes,
                                      std::vector<std::string>(), options.channels);
}

}  // namespace encke
