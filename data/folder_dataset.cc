// One folder of images for each class, on disk or in a tar. A class is a folder right below the
// root (or the prefix); its images may lie at any depth below it. Classes are numbered in the order
// of their names in the training data, also for testing.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <utility>

#include "data/formats.h"
#include "data/image_files.h"
#include "engine/core/error.h"

namespace encke {
namespace {

bool IsImage(const std::string& path) {
  std::string extension = std::filesystem::path(path).extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* known :
       {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}) {
    if (extension == known) return true;
  }
  return false;
}

// Files by name of the class, for the folders below one prefix.
using Classes = std::map<std::string, std::vector<size_t>>;

// "train/" for "train", "./train/" and the like; "" for the root.
std::string WithSlash(std::string prefix) {
  if (prefix.compare(0, 2, "./") == 0) prefix.erase(0, 2);
  if (!prefix.empty() && prefix.back() != '/') prefix += '/';
  return prefix;
}

// The first part of `path` below `prefix`, or "" if it is not below.
std::string FirstPart(const std::string& path, const std::string& prefix) {
  if (path.compare(0, prefix.size(), prefix) != 0) return "";
  return path.substr(prefix.size(), path.find('/', prefix.size()) - prefix.size());
}

Classes FindClasses(const FileSet& files, const std::string& prefix) {
  Classes classes;
  for (const std::string& folder : files.folders()) {
    const std::string name = FirstPart(folder, prefix);
    if (!name.empty()) classes[name];
  }
  for (size_t i = 0; i < files.files().size(); ++i) {
    const std::string& path = files.files()[i];
    const std::string name = FirstPart(path, prefix);
    const bool is_below = path.size() > prefix.size() + name.size();
    if (!name.empty() && is_below && IsImage(path)) classes[name].push_back(i);
  }
  return classes;
}

void CheckClasses(const Classes& classes, const std::string& path, const std::string& prefix) {
  const std::string place = prefix.empty() ? path : StrCat(path, ", below ", prefix);
  if (classes.empty()) {
    throw Error(ErrorKind::DATA, "there is no folder of images", place,
                HowToGet(DatasetKind::FOLDER));
  }
  if (prefix.empty() && classes.count("train") != 0 && classes.size() <= 3) {
    throw Error(ErrorKind::DATA, "its folders are splits, not classes", place,
                "set data.train_prefix (here to \"train\") and data.test_prefix");
  }
  for (const auto& [name, files] : classes) {
    if (files.empty()) {
      throw Error(ErrorKind::DATA, StrCat("class folder \"", name, "\" has no image"), place,
                  "remove the folder, or add images to it");
    }
  }
}

std::vector<std::string> NamesOf(const Classes& classes) {
  std::vector<std::string> names;
  for (const auto& entry : classes) names.push_back(entry.first);
  return names;
}

// How a split is taken from the options.
struct Source {
  std::string path, prefix;
  bool is_shared = false;  // with the other split: the hash of the path decides
};

Source SourceOf(const DatasetOptions& options, Split split) {
  const Source train{options.train, WithSlash(options.train_prefix),
                     options.test.empty() && options.test_prefix.empty()};
  if (split == Split::TRAIN) return train;
  if (!train.is_shared) return {PathOf(options, split), WithSlash(options.test_prefix), false};
  if (options.test_fraction > 0) return train;
  throw Error(ErrorKind::DATA, "there are no test data", options.train,
              "set data.test, data.test_prefix or data.test_fraction");
}

// Class names of the training data, which number the classes of both splits. `classes` were found
// at `source` in `files`.
std::vector<std::string> TrainingNames(const DatasetOptions& options, const Source& source,
                                       const FileSet& files, const Classes& classes) {
  const Source train = SourceOf(options, Split::TRAIN);
  if (train.path == source.path && train.prefix == source.prefix) return NamesOf(classes);
  if (train.path == source.path) return NamesOf(FindClasses(files, train.prefix));
  return NamesOf(FindClasses(*OpenFileSet(train.path), train.prefix));
}

int LabelOf(const std::string& name, const std::vector<std::string>& names,
            const std::string& path) {
  const auto found = std::lower_bound(names.begin(), names.end(), name);
  if (found == names.end() || *found != name) {
    throw Error(
        ErrorKind::DATA,
        StrCat("class \"", name, "\" is not among the training data's ", names.size(), " classes"),
        path);
  }
  return static_cast<int>(found - names.begin());
}

}  // namespace

std::unique_ptr<Dataset> OpenFolder(const DatasetOptions& options, Split split) {
  const Source source = SourceOf(options, split);
  std::unique_ptr<FileSet> files = OpenFileSet(source.path);
  const Classes classes = FindClasses(*files, source.prefix);
  CheckClasses(classes, source.path, source.prefix);
  std::vector<std::string> names = TrainingNames(options, source, *files, classes);
  if (options.classes != 0 && options.classes != static_cast<int>(names.size())) {
    constexpr size_t kNamed = 3;
    throw Error(ErrorKind::DATA,
                StrCat("there are ", names.size(), " class folders, not ", options.classes,
                       " as the config says: ", Joined(names, kNamed),
                       names.size() > kNamed ? ", ..." : ""),
                source.path,
                StrCat("set network.classes=", names.size(),
                       "; where classes are folders of these, set data.train_prefix and "
                       "data.test_prefix"));
  }
  std::vector<ImageRecord> records;
  for (const auto& [name, members] : classes) {
    const int label = LabelOf(name, names, source.path);
    for (const size_t file : members) {
      const std::string path = files->files()[file].substr(source.prefix.size());
      const bool in_test = source.is_shared && IsHeldOut(path, options.test_fraction);
      if (!source.is_shared || in_test == (split == Split::TEST)) records.push_back({file, label});
    }
  }
  if (source.is_shared && records.empty()) {
    throw Error(ErrorKind::DATA,
                StrCat("data.test_fraction ", options.test_fraction, " leaves no image to ",
                       split == Split::TEST ? "test with" : "train on"),
                source.path);
  }
  const int count = static_cast<int>(names.size());
  return std::make_unique<ImageFiles>(std::move(files), std::move(records), count, std::move(names),
                                      options.channels);
}

}  // namespace encke
