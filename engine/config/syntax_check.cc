// Finds all mistakes of a config text in one go. Protobuf's parser stops at the first one and names
// the token behind it; this one is asked only when that parser has refused the text, walks it by
// the schema, and goes on after every mistake with the next field.
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <map>
#include <memory>

#include "engine/config/parser.h"
#include "engine/core/error.h"

namespace encke {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::io::ArrayInputStream;
using google::protobuf::io::Tokenizer;
using Token = Tokenizer::Token;

// Lexical errors: a text without closing quote, a stray character.
class LexicalErrors : public google::protobuf::io::ErrorCollector {
 public:
  LexicalErrors(const SourceLines& lines, Diagnostics* diagnostics)
      : lines_(lines), diagnostics_(diagnostics) {}
  void AddError(int line, int column, const std::string& message) override {
    diagnostics_->Add(lines_.At(line + 1, column + 1), message);
  }

 private:
  const SourceLines& lines_;
  Diagnostics* diagnostics_;
};

std::vector<Token> Tokenize(const std::string& text, LexicalErrors* errors) {
  ArrayInputStream input(text.data(), static_cast<int>(text.size()));
  Tokenizer tokenizer(&input, errors);
  tokenizer.set_allow_f_after_float(true);
  tokenizer.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
  tokenizer.set_require_space_after_number(false);
  std::vector<Token> tokens;
  while (tokenizer.Next()) tokens.push_back(tokenizer.current());
  tokens.push_back(tokenizer.current());  // TYPE_END
  return tokens;
}

class SyntaxCheck {
 public:
  SyntaxCheck(std::vector<Token> tokens, const SourceLines& lines, Diagnostics* diagnostics)
      : tokens_(std::move(tokens)), lines_(lines), diagnostics_(diagnostics) {}

  void CheckFile(const Descriptor& root) {
    Given given;
    while (!AtEnd()) {
      if (Is("}") || Is(">") || Is("]")) {
        Report("this '" + Current().text + "' closes nothing");
        Advance();
      } else {
        CheckField(root, &given);
      }
    }
  }

 private:
  // Lines of the fields seen in one message: by field name, and by the name of a oneof.
  using Given = std::map<std::string, std::pair<int, std::string>>;

  const Token& Current() const { return tokens_[position_]; }
  bool AtEnd() const { return Current().type == Tokenizer::TYPE_END; }
  bool Is(const char* symbol) const {
    return Current().type == Tokenizer::TYPE_SYMBOL && Current().text == symbol;
  }
  bool IsOpen() const { return Is("{") || Is("<"); }
  void Advance() {
    if (!AtEnd()) ++position_;
  }
  bool Consume(const char* symbol) {
    if (!Is(symbol)) return false;
    Advance();
    return true;
  }
  void Report(const Token& token, const std::string& message) {
    diagnostics_->Add(lines_.At(token.line + 1, token.column + 1), message);
  }
  void Report(const std::string& message) { Report(Current(), message); }

  // Skips a value that means nothing to us: one scalar, or everything up to the matching bracket.
  void SkipValue() {
    if (IsOpen() || Is("[")) {
      int depth = 0;
      do {
        if (IsOpen() || Is("[")) ++depth;
        if (Is("}") || Is(">") || Is("]")) --depth;
        Advance();
      } while (depth > 0 && !AtEnd());
    } else if (!Is("}") && !Is(">")) {
      TakeScalar();
    }
  }

  // The text of a scalar: sign and all, neighbouring strings as one.
  std::string TakeScalar() {
    std::string text;
    if (Consume("-")) text = "-";
    const bool is_string = Current().type == Tokenizer::TYPE_STRING;
    do {
      text += Current().text;
      Advance();
    } while (is_string && Current().type == Tokenizer::TYPE_STRING);
    return text;
  }

  void SkipLine() {
    const int line = Current().line;
    do {
      Advance();
    } while (!AtEnd() && Current().line == line && !Is("}"));
  }

  void CheckField(const Descriptor& message, Given* given) {
    if (Current().type != Tokenizer::TYPE_IDENTIFIER) {
      Report("a field name is expected here, not '" + Current().text + "'");
      return SkipLine();
    }
    const Token name = Current();
    Advance();
    const FieldDescriptor* field = message.FindFieldByName(name.text);
    if (field == nullptr) {
      Report(name, UnknownField(message, name.text));
      Consume(":");
      SkipValue();
    } else {
      CheckGiven(name, *field, given);
      CheckAfterName(name, *field);
    }
    if (!Consume(",")) Consume(";");
  }

  void CheckGiven(const Token& name, const FieldDescriptor& field, Given* given) {
    const auto* oneof = field.containing_oneof();
    const std::string key = oneof != nullptr ? "oneof " + oneof->name() : field.name();
    const auto [seen, is_new] = given->insert({key, {name.line + 1, name.text}});
    if (is_new || field.is_repeated()) return;
    const auto& [line, other] = seen->second;
    if (other == name.text) {
      Report(name, StrCat("'", name.text, "' is given twice, first in line ", line));
    } else {
      Report(name, StrCat("'", name.text, "' does not go together with '", other, "' in line ",
                          line, ": one of them only"));
    }
  }

  void CheckAfterName(const Token& name, const FieldDescriptor& field) {
    const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!Consume(":") && !is_message) {
      Report(name, "a ':' is missing after '" + name.text + "'");
      return SkipValue();
    }
    if (!Is("[") || !field.is_repeated()) return CheckValue(name, field);
    Advance();
    while (!AtEnd() && !Is("]") && !Is("}")) {
      CheckValue(name, field);
      if (!Consume(",")) break;
    }
    if (!Consume("]")) Report("a ']' or ',' is missing here");
  }

  void CheckValue(const Token& name, const FieldDescriptor& field) {
    const bool is_message = field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (is_message && IsOpen()) return CheckMessage(name, *field.message_type());
    if (is_message) {
      Report(name, "'" + name.text + "' is a group of fields: " + name.text + " { ... }");
      return SkipValue();
    }
    if (IsOpen() || Is("[") || Is("}") || AtEnd()) {
      Report(name, "'" + name.text + "' takes one value: " + name.text + ": ...");
      return SkipValue();
    }
    const Token at = Current();
    const std::unique_ptr<Message> scratch(
        MessageFactory::generated_factory()->GetPrototype(field.containing_type())->New());
    const std::string mistake = ParseScalar(TakeScalar(), field, scratch.get());
    if (!mistake.empty()) Report(at, mistake);
  }

  void CheckMessage(const Token& name, const Descriptor& message) {
    const std::string close = Is("{") ? "}" : ">";
    Advance();
    Given given;
    while (!AtEnd() && !Is(close.c_str())) CheckField(message, &given);
    if (AtEnd()) Report(name, "'" + name.text + "' is never closed: a '" + close + "' is missing");
    Advance();
  }

  std::vector<Token> tokens_;
  size_t position_ = 0;
  const SourceLines& lines_;
  Diagnostics* diagnostics_;
};

}  // namespace

void DiagnoseText(const std::string& text, const SourceLines& lines, const Descriptor& root,
                  Diagnostics* diagnostics) {
  LexicalErrors errors(lines, diagnostics);
  SyntaxCheck(Tokenize(text, &errors), lines, diagnostics).CheckFile(root);
}

}  // namespace encke
