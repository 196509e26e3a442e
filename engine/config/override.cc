#include "engine/config/override.h"

#include <cstdlib>
#include <sstream>

#include "engine/core/error.h"

namespace encke {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::string Trim(const std::string& text) {
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// A text as the config language writes it.
std::string Quoted(const std::string& text) {
  const bool is_quoted = text.size() >= 2 && (text[0] == '"' || text[0] == '\'');
  if (is_quoted) return text;
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// One step of a path: "step[3]" -> field step, index 3; no index: -1.
struct PathStep {
  std::string name;
  int index = -1;
};

PathStep ParseStep(const std::string& text) {
  const size_t bracket = text.find('[');
  if (bracket == std::string::npos) return {text, -1};
  return {text.substr(0, bracket), std::atoi(text.c_str() + bracket + 1)};
}

// Where an override's path leads.
struct Target {
  Message* message = nullptr;              // holds the field
  const FieldDescriptor* field = nullptr;  // not a message
};

// The message inside `field` that the path goes on in; nullptr with `mistake` if it cannot.
Message* Descend(Message* message, const FieldDescriptor& field, int index, std::string* mistake) {
  const auto* reflection = message->GetReflection();
  if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
    *mistake = "'" + field.name() + "' is a value and has no fields";
    return nullptr;
  }
  if (!field.is_repeated()) return reflection->MutableMessage(message, &field);
  const int size = reflection->FieldSize(*message, &field);
  if (index < 0 || index >= size) {
    *mistake = StrCat("there are ", size, " of '", field.name(), "': name one as ", field.name(),
                      "[0] and so on");
    return nullptr;
  }
  return reflection->MutableRepeatedMessage(message, &field, index);
}

Target Find(const std::string& path, Message* root, std::string* mistake) {
  const std::vector<std::string> steps = Split(path, '.');
  Message* message = root;
  for (size_t i = 0; i < steps.size(); ++i) {
    const PathStep step = ParseStep(steps[i]);
    const FieldDescriptor* field = message->GetDescriptor()->FindFieldByName(step.name);
    if (field == nullptr) {
      *mistake = UnknownField(*message->GetDescriptor(), step.name);
      return {};
    }
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (i + 1 == steps.size() && !is_message) return {message, field};
    if (i + 1 == steps.size()) {
      *mistake = "'" + step.name + "' is a group of fields; set one of them: " + path + ".NAME=...";
      return {};
    }
    message = Descend(message, *field, step.index, mistake);
    if (message == nullptr) return {};
  }
  *mistake = "the name of a field is missing before '='";
  return {};
}

std::string Assign(const Target& target, const std::string& value) {
  const FieldDescriptor& field = *target.field;
  const bool is_text = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  target.message->GetReflection()->ClearField(target.message, &field);
  const std::vector<std::string> values =
      field.is_repeated() ? Split(value, ',') : std::vector<std::string>{value};
  for (const std::string& raw : values) {
    const std::string one = Trim(raw);
    const std::string mistake = ParseScalar(is_text ? Quoted(one) : one, field, target.message);
    if (!mistake.empty()) return mistake;
  }
  return "";
}

}  // namespace

void ApplyOverride(const std::string& text, ParsedConfig* parsed, Diagnostics* diagnostics) {
  const ConfigSource source{"--set " + text, 0, 0, ""};
  const size_t equals = text.find('=');
  if (equals == std::string::npos) {
    return diagnostics->Add(source, "an '=' is missing", "write --set training.batch=32");
  }
  const std::string path = Trim(text.substr(0, equals));
  if (path == "base") {
    return diagnostics->Add(source, "'base' can be given in a file only");
  }
  std::string mistake;
  const Target target = Find(path, &parsed->config, &mistake);
  if (mistake.empty()) mistake = Assign(target, text.substr(equals + 1));
  if (!mistake.empty()) return diagnostics->Add(source, mistake);
  EraseSources(path + "[", &parsed->sources);
  parsed->sources[path] = source;
}

}  // namespace encke
