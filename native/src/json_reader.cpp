// The reader of JsonTree: recursive descent, at most kJsonDepthLimit deep.
#include <string>
#include <utility>

#include "characters.hpp"
#include "error.hpp"
#include "json_text.hpp"
#include "json_tree.hpp"
#include "limits.hpp"

namespace fhicl {

class JsonReader {
 public:
  JsonReader(JsonTree& tree, std::string_view text)
      : tree_(tree), text_(text), at_(text.data()), end_(text.data() + text.size()) {}

  void document() {
    skip();
    if (at_ == end_ || *at_ != '{') refuse("expected '{': a document is a JSON object");
    value({});
  }

 private:
  [[noreturn]] void refuse(std::string message) const { fail_at(text_, at_, std::move(message)); }
  [[noreturn]] void refuse_value() const;
  void skip();
  bool take(char expected);
  Index value(std::string_view key);
  void members(Index object);
  void elements(Index array);
  std::string_view string();
  std::string_view doubled_backslashes(const char* begin);
  JsonType number();
  std::string_view passed(const char* begin) const { return {begin, static_cast<std::size_t>(at_ - begin)}; }

  JsonTree& tree_;
  std::string_view text_;
  const char* at_;
  const char* end_;
  unsigned depth_ = 0;
};

void JsonReader::skip() {
  while (at_ != end_ && is(*at_, kSpace)) ++at_;
}

bool JsonReader::take(char expected) {
  skip();
  if (at_ == end_ || *at_ != expected) return false;
  ++at_;
  return true;
}

void JsonReader::refuse_value() const {
  if (at_ == end_) refuse("expected a value, found the end of the text");
  const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
  if (rest.starts_with("null")) refuse("artdaqDB's JSON has no null");
  refuse("expected a value, found '" + excerpt(rest.substr(0, 12)) + "'");
}

// Passes a value and returns its node.
Index JsonReader::value(std::string_view key) {
  skip();
  if (at_ == end_) refuse_value();
  const auto index = static_cast<Index>(tree_.nodes_.size());
  if (index > kJsonValueLimit) refuse("the document has more than " + std::to_string(kJsonValueLimit) + " values");
  JsonNode node;
  node.key = key;
  const char* const begin = at_;
  const std::string_view rest(at_, static_cast<std::size_t>(end_ - at_));
  if (*at_ == '{' || *at_ == '[') {
    if (++depth_ > kJsonDepthLimit) {
      refuse("objects and arrays are nested deeper than " + std::to_string(kJsonDepthLimit) + " levels");
    }
    ++at_;
    node.type = *begin == '{' ? JsonType::object : JsonType::array;
    tree_.nodes_.push_back(node);
    node.type == JsonType::object ? members(index) : elements(index);
    --depth_;
    return index;
  }
  if (*at_ == '"') {
    node.type = JsonType::string;
    node.text = string();
  } else if (rest.starts_with("true") || rest.starts_with("false")) {
    node.type = JsonType::boolean;
    at_ += *at_ == 't' ? 4 : 5;
    node.text = passed(begin);
  } else {
    node.type = number();
    node.text = passed(begin);
  }
  tree_.nodes_.push_back(node);
  return index;
}

void JsonReader::members(Index object) {
  if (take('}')) return;
  Index last = kNone;
  do {
    skip();
    if (at_ == end_ || *at_ != '"') refuse("expected '\"': a key");
    const std::string_view key = string();
    if (!take(':')) refuse("expected ':' after the key \"" + excerpt(key) + "\"");
    const Index member = value(key);
    (last == kNone ? tree_.nodes_[object].first : tree_.nodes_[last].next) = member;
    last = member;
    ++tree_.nodes_[object].count;
  } while (take(','));
  if (!take('}')) refuse("expected ',' or '}' in an object");
}

void JsonReader::elements(Index array) {
  if (take(']')) return;
  Index last = kNone;
  do {
    const Index element = value({});
    (last == kNone ? tree_.nodes_[array].first : tree_.nodes_[last].next) = element;
    last = element;
    ++tree_.nodes_[array].count;
  } while (take(','));
  if (!take(']')) refuse("expected ',' or ']' in an array");
}

// Passes a string and returns it as the dialect keeps it.
std::string_view JsonReader::string() {
  const char* const quote = at_++;
  bool foreign_escapes = false;
  for (;; ++at_) {
    while (at_ != end_ && *at_ != '"' && *at_ != '\\') ++at_;
    if (at_ == end_ || (*at_ == '\\' && at_ + 1 == end_)) {
      at_ = quote;
      refuse("a string is not closed");
    }
    if (*at_ == '"') break;
    if (is_kept_escape(at_[1])) {
      ++at_;
    } else {
      foreign_escapes = true;
    }
  }
  const std::string_view kept = foreign_escapes ? doubled_backslashes(quote + 1) : passed(quote + 1);
  ++at_;
  return kept;
}

std::string_view JsonReader::doubled_backslashes(const char* begin) {
  std::string& kept = tree_.doubled_.emplace_back();
  for (; begin != at_; ++begin) {
    kept += *begin;
    if (*begin != '\\') continue;
    if (is_kept_escape(begin[1])) {
      kept += *++begin;
    } else {
      kept += '\\';
    }
  }
  return kept;
}

// An exponent is understood only after a decimal point.
JsonType JsonReader::number() {
  const char* const begin = at_;
  const auto digits = [&] {
    const char* const first = at_;
    while (at_ != end_ && is(*at_, kDigit)) ++at_;
    return at_ != first;
  };
  if (*at_ == '+' || *at_ == '-') ++at_;
  const bool whole = digits();
  if (at_ == end_ || *at_ != '.') {
    if (whole) return JsonType::integer;
    at_ = begin;
    refuse_value();
  }
  ++at_;
  if (!digits() && !whole) {
    at_ = begin;
    refuse_value();
  }
  const char* const mantissa_end = at_;
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (!digits()) at_ = mantissa_end;
  }
  return JsonType::real;
}

JsonTree::JsonTree(std::string_view text) {
  if (text.empty()) fail("the document is empty");
  if (text.size() > kDocumentLimit) {
    fail("the document has " + std::to_string(text.size()) + " bytes, more than the " +
         std::to_string(kDocumentLimit) + " that are taken");
  }
  nodes_.reserve(text.size() / 32);
  JsonReader(*this, text).document();
}

}  // namespace fhicl
