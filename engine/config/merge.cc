#include "engine/config/merge.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/core/error.h"

namespace encke {
namespace {

namespace fs = std::filesystem;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Clears every repeated field of `base` that `child` gives; their paths go to `replaced`.
void ClearReplaced(const Message& child, Message* base, const std::string& prefix,
                   std::vector<std::string>* replaced) {
  std::vector<const FieldDescriptor*> fields;
  child.GetReflection()->ListFields(child, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::string path = prefix + field->name();
    if (field->is_repeated()) {
      base->GetReflection()->ClearField(base, field);
      replaced->push_back(path + "[");
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ClearReplaced(child.GetReflection()->GetMessage(child, field),
                    base->GetReflection()->MutableMessage(base, field), path + ".", replaced);
    }
  }
}

std::vector<std::string> FilesIn(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Canonical(const std::string& path) {
  std::error_code error;
  const fs::path canonical = fs::weakly_canonical(path, error);
  return error ? path : canonical.string();
}

}  // namespace

void MergeMessage(const Message& child, Message* base) {
  std::vector<std::string> replaced;
  ClearReplaced(child, base, "", &replaced);
  base->MergeFrom(child);
}

void MergeConfig(const ParsedConfig& child, ParsedConfig* base) {
  std::vector<std::string> replaced;
  ClearReplaced(child.config, &base->config, "", &replaced);
  base->config.MergeFrom(child.config);
  for (const std::string& prefix : replaced) EraseSources(prefix, &base->sources);
  for (const auto& [path, source] : child.sources) base->sources[path] = source;
}

std::string ReadConfigText(const std::string& path, const ConfigSource& wanted_by) {
  std::error_code error;
  std::ifstream in(path, std::ios::binary);
  if (in && !fs::is_directory(path, error)) {
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  }
  const fs::path folder = fs::path(path).parent_path();
  const std::string nearest =
      NearestName(fs::path(path).filename().string(), FilesIn(folder.empty() ? "." : folder));
  Diagnostics diagnostics;
  diagnostics.Add(wanted_by, "cannot read '" + path + "'",
                  nearest.empty() ? "" : "did you mean '" + (folder / nearest).string() + "'?");
  diagnostics.Throw();
  return "";
}

ParsedConfig ParseWithBases(const std::string& text, const std::string& path,
                            std::vector<std::string> open) {
  open.push_back(Canonical(path));
  const ParsedConfig own = ParseConfigText(text, path);
  ParsedConfig merged;
  for (int i = 0; i < own.config.base_size(); ++i) {
    const ConfigSource& source = own.sources.at(StrCat("base[", i, "]"));
    const fs::path folder = fs::path(path).parent_path();
    const std::string base = (folder / own.config.base(i)).lexically_normal().string();
    if (std::find(open.begin(), open.end(), Canonical(base)) != open.end()) {
      Diagnostics diagnostics;
      diagnostics.Add(source, "'" + own.config.base(i) + "' is this file or has it as a base");
      diagnostics.Throw();
    }
    MergeConfig(ParseWithBases(ReadConfigText(base, source), base, open), &merged);
  }
  MergeConfig(own, &merged);
  merged.config.clear_base();
  EraseSources("base[", &merged.sources);
  return merged;
}

}  // namespace encke
