#include "scanner.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "characters.hpp"
#include "error.hpp"

namespace fhicl {
namespace {

const char* pass(const char* at, unsigned classes) {
  while (is(*at, classes)) ++at;
  return at;
}

std::string_view between(const char* begin, const char* end) {
  return {begin, static_cast<std::size_t>(end - begin)};
}

// [+-]? ( d+ .? d* | . d+ ) ( [eE] [+-]? d+ )?
bool is_decimal(const char* at, const char* end) {
  const auto digits = [&] {
    const char* const begin = at;
    while (at != end && is(*at, kDigit)) ++at;
    return at != begin;
  };
  if (*at == '+' || *at == '-') ++at;
  bool mantissa = digits();
  if (at != end && *at == '.') {
    ++at;
    mantissa |= digits();
  }
  if (!mantissa) return false;
  if (at != end && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != end && (*at == '+' || *at == '-')) ++at;
    if (!digits()) return false;
  }
  return at == end;
}

// The white space that the source text of an unquoted value keeps (C.4).
const char* pass_attached(const char* at) {
  while (*at == '\v' || *at == '\f') ++at;
  return at;
}

}  // namespace

std::size_t closing_quote(std::string_view rest) {
  const char quote = rest[0];
  std::size_t close = rest.find(quote, 1);
  while (quote == '"' && close != std::string_view::npos && rest[close - 1] == '\\') {
    close = rest.find(quote, close + 1);
  }
  return close;
}

void Scanner::fail(std::string message) const { fail_at(text_, here.at, std::move(message)); }

bool Scanner::starts_with(const char* at, std::string_view expected) const {
  return text_.substr(static_cast<std::size_t>(at - text_.data())).starts_with(expected);
}

const char* Scanner::comment_end() const {
  const std::string_view rest = this->rest();
  const auto* const end = static_cast<const char*>(std::memchr(rest.data(), '\n', rest.size()));
  return ascii_ || std::all_of(rest.data(), end, is_ascii) ? end : nullptr;
}

bool Scanner::take(std::string_view expected) {
  skip();
  if (!starts_with(here.at, expected)) return false;
  here.at += expected.size();
  return true;
}

std::string_view Scanner::word() {
  if (at_end() || is(*here.at, kDigit)) return {};
  const char* const begin = here.at;
  const char* const end = pass(begin, kWord);
  if (end == begin || !is(*end, kEnd3)) return {};
  here.at = end;
  return between(begin, end);
}

std::string_view Scanner::digits() {
  if (at_end()) return {};
  const char* begin = here.at;
  const char* const end = pass(begin, kDigit);
  if (end == begin || !is(*end, kEnd2)) return {};
  here.at = end;
  while (end - begin > 1 && *begin == '0') ++begin;
  return between(begin, end);
}

const char* Scanner::number_end(const char* begin) const {
  const char* end = pass(begin, kDigit);
  if (end != begin && is(*end, kEnd2)) return end;

  end = pass(begin, kDecimal);
  if (end != begin && is(*end, kEnd2) && is_decimal(begin, end)) return end;

  if (*begin == '0' && (begin[1] == 'x' || begin[1] == 'X' || begin[1] == 'b' || begin[1] == 'B')) {
    const bool hexadecimal = begin[1] == 'x' || begin[1] == 'X';
    end = begin + 2;
    while (hexadecimal ? is(*end, kHex) : *end == '0' || *end == '1') ++end;
    return end != begin + 2 && is(*end, kEnd2) ? end : nullptr;
  }

  constexpr std::string_view kInfinity = "infinity";
  const char* const unsigned_part = begin + (*begin == '+' || *begin == '-');
  if (starts_with(unsigned_part, kInfinity)) {
    end = unsigned_part + kInfinity.size();
    if (is(*end, kEnd4) || *end == ')') return end;
  }
  return nullptr;
}

// Past the closing quote, or nullptr.
const char* Scanner::quoted_end() const {
  const std::string_view rest = this->rest();
  const std::size_t close = closing_quote(rest);
  if (close == std::string_view::npos || !is(rest[close + 1], kEnd4)) return nullptr;
  const char* const end = rest.data() + close + 1;
  return ascii_ || std::all_of(rest.data(), end, is_ascii) ? end : nullptr;
}

// Moves over the string, counting its lines. Its text must be printable; double-quoted text knows five escapes.
void Scanner::check_quoted(const char* end) {
  const bool escapes = *here.at == '"';
  for (++here.at; here.at != end - 1; ++here.at) {
    const char c = *here.at;
    if (c == '\n') {
      ++here.line;
    } else if (c == '\\' && escapes) {
      if (!is(here.at[1], kEscape)) {
        fail("'\\" + excerpt({here.at + 1, 1}) +
             "' is no escape in a double-quoted string; write \\\\ for a backslash, or quote with '");
      }
      ++here.at;
    } else if (!is(c, kText)) {
      fail("a string cannot hold the control character " + excerpt({here.at, 1}));
    }
  }
  here.at = end;
}

bool Scanner::quoted(Atom& atom) {
  const char* const begin = here.at;
  const char* const end = quoted_end();
  if (end == nullptr) return false;
  check_quoted(end);
  atom = {*begin == '"' ? Type::string_doublequoted : Type::string_singlequoted, between(begin + 1, end - 1)};
  return true;
}

void Scanner::complex_part() {
  skip();
  const char* const end = at_end() ? nullptr : number_end(here.at);
  if (end == nullptr) fail("expected a number: '(' begins a complex number '(real,imaginary)'");
  here.at = end;
}

// Only the text up to the first blank or comment is stored (C.4): artdaqDB loses the rest.
bool Scanner::complex(Atom& atom) {
  const char* const begin = here.at++;
  complex_part();
  if (!take(',')) fail("expected ',' in a complex number '(real,imaginary)'");
  complex_part();
  if (!take(')')) fail("expected ')' after a complex number");
  std::string_view text = between(begin, pass_attached(here.at));
  text = text.substr(0, text.find_first_of(" \t\n#"));
  atom = {Type::complex, text.substr(0, text.find("//"))};
  return true;
}

bool Scanner::bare(Atom& atom) {
  const char* const begin = here.at;
  const auto found = [&](Type type, const char* end) {
    atom = {type, between(begin, pass_attached(end))};
    here.at = end;
    return true;
  };
  if (*begin == '@' && starts_with(begin, "@nil") && is(begin[4], kEnd4)) return found(Type::nil, begin + 4);
  if (*begin == 't' && starts_with(begin, "true") && is(begin[4], kEnd4)) return found(Type::boolean, begin + 4);
  if (*begin == 'f' && starts_with(begin, "false") && is(begin[5], kEnd4)) return found(Type::boolean, begin + 5);
  if (const char* const end = number_end(begin)) return found(Type::number, end);

  const char* const word_end = pass(begin, kWord);
  if (is(*begin, kDigit)) {
    const bool all_digits = pass(begin, kDigit) == word_end;
    return !all_digits && is(*word_end, kEnd1) && found(Type::string_unquoted, word_end);
  }
  if (word_end != begin && is(*word_end, kEnd3)) return found(Type::string_unquoted, word_end);
  const char* const end = pass(begin, kBare);
  return end != begin && is(*end, kEnd3) && found(Type::string_unquoted, end);
}

bool Scanner::atom(Atom& atom) {
  if (at_end()) return false;
  switch (*here.at) {
    case '"':
    case '\'':
      return quoted(atom);
    case '(':
      return complex(atom);
    default:
      return bare(atom);
  }
}

}  // namespace fhicl
