#include "engine/config/parser.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <vector>

#include "engine/core/error.h"

namespace encke {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::TextFormat;

// Keeps the first message of protobuf's own parser.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!message_.empty()) return;
    line_ = line;
    column_ = column;
    message_ = message;
  }
  int line() const { return line_ + 1; }
  int column() const { return column_ + 1; }
  const std::string& message() const { return message_; }

 private:
  int line_ = 0, column_ = 0;  // from 0
  std::string message_;
};

// Walks a message along with protobuf's record of places.
class SourceRecorder {
 public:
  SourceRecorder(const SourceLines& lines, SourceMap* sources) : lines_(lines), sources_(sources) {}

  void Record(const Message& message, TextFormat::ParseInfoTree* tree, const std::string& prefix) {
    std::vector<const FieldDescriptor*> fields;
    message.GetReflection()->ListFields(message, &fields);
    for (const FieldDescriptor* field : fields) {
      const std::string path = prefix + field->name();
      if (!field->is_repeated()) {
        RecordOne(message, *field, -1, tree, path);
        continue;
      }
      const int size = message.GetReflection()->FieldSize(message, field);
      for (int i = 0; i < size; ++i) RecordOne(message, *field, i, tree, StrCat(path, "[", i, "]"));
    }
  }

 private:
  void RecordOne(const Message& message, const FieldDescriptor& field, int index,
                 TextFormat::ParseInfoTree* tree, const std::string& path) {
    TextFormat::ParseLocation at = tree->GetLocation(&field, index);
    // Protobuf records a list in brackets once, with its first element.
    for (int first = index - 1; at.line < 0 && first >= 0; --first) {
      at = tree->GetLocation(&field, first);
    }
    if (at.line < 0) return;
    (*sources_)[path] = lines_.At(at.line + 1, at.column + 1);
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return;
    const auto* reflection = message.GetReflection();
    const Message& nested = index < 0 ? reflection->GetMessage(message, &field)
                                      : reflection->GetRepeatedMessage(message, &field, index);
    TextFormat::ParseInfoTree* nested_tree = tree->GetTreeForNested(&field, index);
    if (nested_tree != nullptr) Record(nested, nested_tree, path + ".");
  }

  const SourceLines& lines_;
  SourceMap* sources_;
};

// What a field takes, for people.
std::string TypeName(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number >= 0";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return "a text in quotes";
    default:
      return "a value";
  }
}

std::string EnumMistake(const std::string& value, const FieldDescriptor& field) {
  std::vector<std::string> names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    names.push_back(field.enum_type()->value(i)->name());
  }
  return "'" + value + "' is not a value of '" + field.name() + "'" + DidYouMean(value, names) +
         " (legal: " + Joined(names) + ")";
}

}  // namespace

void EraseSources(const std::string& prefix, SourceMap* sources) {
  auto it = sources->lower_bound(prefix);
  while (it != sources->end() && it->first.compare(0, prefix.size(), prefix) == 0) {
    it = sources->erase(it);
  }
}

std::string UnknownField(const Descriptor& message, const std::string& name) {
  std::vector<std::string> names;
  for (int i = 0; i < message.field_count(); ++i) names.push_back(message.field(i)->name());
  const std::string meant = DidYouMean(name, names);
  return "'" + message.name() + "' has no field '" + name + "'" +
         (meant.empty() ? " (it has: " + Joined(names) + ")" : meant);
}

std::string ParseScalar(const std::string& value, const FieldDescriptor& field, Message* message) {
  FirstError errors;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  if (parser.ParseFieldValueFromString(value, &field, message)) return "";
  if (field.cpp_type() == FieldDescriptor::CPPTYPE_ENUM) return EnumMistake(value, field);
  return "'" + field.name() + "' takes " + TypeName(field) + ", not '" + value + "'";
}

ParsedConfig ParseConfigText(const std::string& text, const std::string& file) {
  const SourceLines lines(file, text);
  ParsedConfig parsed;
  FirstError errors;
  TextFormat::ParseInfoTree tree;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&tree);
  if (!parser.ParseFromString(text, &parsed.config)) {
    Diagnostics diagnostics;
    DiagnoseText(text, lines, *config::Config::descriptor(), &diagnostics);
    if (diagnostics.empty())
      diagnostics.Add(lines.At(errors.line(), errors.column()), errors.message());
    diagnostics.Throw();
  }
  SourceRecorder(lines, &parsed.sources).Record(parsed.config, &tree, "");
  return parsed;
}

}  // namespace encke
