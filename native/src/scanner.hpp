// Tokens of the grammar (artdaqdb_format.md section C.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "prepared.hpp"
#include "tree.hpp"

namespace fhicl {

/// A place in the text and the number of its line.
struct Cursor {
  const char* at;
  std::uint32_t line;
};

/// A value that is neither table nor sequence.
struct Atom {
  Type type;
  std::string_view text;  // as "data" stores it (C.4), before JSON escapes
};

/// Position of the quote that closes the string at rest[0]; npos if there is none. A backslash before a double quote
/// always escapes it, even after another backslash.
std::size_t closing_quote(std::string_view rest);

/// Reads tokens from a prepared text. Its last LF ends every token, so only skip() can reach the end.
class Scanner {
 public:
  explicit Scanner(const Prepared& prepared)
      : here{prepared.text().data(), 1}, text_(prepared.text()), ascii_(prepared.ascii()) {}

  Cursor here;

  bool at_end() const { return here.at == text_.data() + text_.size(); }
  std::string_view text() const { return text_; }
  std::string_view rest() const { return text_.substr(static_cast<std::size_t>(here.at - text_.data())); }

  /// Passes white space and comments. A comment with a byte that is not 7-bit is not passed.
  void skip();

  /// Skips, then passes `expected` if it is next.
  bool take(char expected);
  bool take(std::string_view expected);

  /// Passes and returns a word; empty if none is next.
  std::string_view word();

  /// Passes an index and returns its digits without leading zeros; empty if none is next.
  std::string_view digits();

  /// Passes an atom if one begins here. Throws Error for one that begins and is malformed.
  bool atom(Atom& atom);

  /// Throws Error at the cursor.
  [[noreturn]] void fail(std::string message) const;

 private:
  const char* comment_end() const;
  const char* number_end(const char* begin) const;
  const char* quoted_end() const;
  void check_quoted(const char* end);
  bool quoted(Atom& atom);
  bool complex(Atom& atom);
  void complex_part();
  bool bare(Atom& atom);
  bool starts_with(const char* at, std::string_view expected) const;

  std::string_view text_;
  bool ascii_;
};

inline void Scanner::skip() {
  const char* const end = text_.data() + text_.size();
  while (here.at != end) {
    const char c = *here.at;
    if (c == '\n') {
      ++here.line;
      ++here.at;
    } else if (c == ' ' || c == '\t' || c == '\v' || c == '\f') {
      ++here.at;
    } else if (c == '#' || (c == '/' && here.at[1] == '/')) {
      const char* const line_end = comment_end();
      if (line_end == nullptr) return;
      here.at = line_end;
    } else {
      return;
    }
  }
}

inline bool Scanner::take(char expected) {
  skip();
  if (at_end() || *here.at != expected) return false;
  ++here.at;
  return true;
}

}  // namespace fhicl
