#include "diagnosis.hpp"

#include <algorithm>

#include "characters.hpp"
#include "error.hpp"
#include "prepared.hpp"
#include "scanner.hpp"

namespace fhicl {
namespace {

// The text at `rest` up to white space or the end of a value.
std::string token(std::string_view rest) {
  std::size_t length = 0;
  while (length < rest.size() && !is(rest[length], kSpace) && (length == 0 || !is(rest[length], kEnd4))) ++length;
  return "'" + excerpt(rest.substr(0, length)) + "'";
}

std::string_view line(std::string_view rest) { return rest.substr(0, rest.find('\n')); }

bool begins_comment(std::string_view rest) { return rest.starts_with('#') || rest.starts_with("//"); }

std::string not_ascii(std::string_view what, std::string_view piece) {
  const auto found = std::find_if_not(piece.begin(), piece.end(), is_ascii);
  return std::string(what) + " holds " + excerpt(piece.substr(static_cast<std::size_t>(found - piece.begin()), 1)) +
         ", which is not 7-bit ASCII";
}

std::string not_a_string(std::string_view rest) {
  const std::size_t close = closing_quote(rest);
  if (close == std::string_view::npos) return std::string("a string is not closed: there is no further ") + rest[0];
  const std::string_view string = rest.substr(0, close + 1);
  if (!std::all_of(string.begin(), string.end(), is_ascii)) return not_ascii("a string", string);
  return "a string must be followed by white space, ',', ']' or '}', not by " + token(rest.substr(close + 1));
}

}  // namespace

std::string not_an_entry(std::string_view rest) {
  if (begins_comment(rest)) return not_ascii("a comment", line(rest));
  if (!is_ascii(rest[0])) return not_ascii("the text", rest.substr(0, 1));
  if (rest.starts_with("BEGIN_PROLOG")) {
    return "a prolog must stand before all other entries, and not inside another prolog";
  }
  if (rest.starts_with("END_PROLOG")) return "END_PROLOG without BEGIN_PROLOG";
  if (rest.starts_with("@table::")) return "@table:: references cannot be archived: resolve them first (fhicl-dump)";
  if (rest.starts_with("/*")) return "a comment begins with # or //";
  if (is(rest[0], kWord) && !is(rest[0], kDigit)) {
    std::size_t length = 0;
    while (is(rest[length], kWord)) ++length;
    if (is(rest[length], kSpace)) return "expected ':' and a value after " + token(rest);
  }
  return "expected a key and ':', found " + token(rest);
}

std::string missing_value(std::string_view rest, std::string_view key) {
  if (key.starts_with(kIncludeKey)) return not_a_value(rest, "after #include, its file name in quotes");
  return not_a_value(rest, "after '" + excerpt(key) + ":'");
}

std::string not_a_value(std::string_view rest, std::string_view context) {
  const std::string expected = "expected a value " + std::string(context);
  if (rest.empty()) return expected + ", found the end of the text";
  if (rest[0] == '"' || rest[0] == '\'') return not_a_string(rest);
  if (begins_comment(rest)) return not_ascii("a comment", line(rest));
  if (rest.starts_with("@table::")) return "@table:: references cannot be archived: resolve them first (fhicl-dump)";
  if (is(rest[0], kSpace) || is(rest[0], kEnd4)) return expected;
  return expected + ", found " + token(rest) + "; text that is not a word or a number needs quotes";
}

std::string not_closed(bool table, std::string_view rest) {
  if (rest.empty()) return table ? "a table is not closed: '}' is missing" : "a sequence is not closed: ']' is missing";
  if (!table) return "expected ',' or ']' in a sequence, found " + token(rest);
  if (rest[0] == ',') return "the entries of a table are not separated by ','";
  return not_an_entry(rest);
}

}  // namespace fhicl
