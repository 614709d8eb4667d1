#include "error.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace fhicl {

void fail_at(std::string_view text, const char* where, std::string message) {
  const auto position = static_cast<std::size_t>(where - text.data());
  if (position >= text.size()) fail(std::move(message));
  std::size_t line = 1;
  std::size_t start = 0;
  for (std::size_t i = 0; i < position; ++i) {
    // Prepared text has no CR; in other text CR LF is one line end.
    if (text[i] == '\n' || (text[i] == '\r' && text[i + 1] != '\n')) {
      ++line;
      start = i + 1;
    }
  }
  throw Error{line, position - start + 1, std::move(message)};
}

void fail(std::string message) { throw Error{0, 1, std::move(message)}; }

std::string excerpt(std::string_view piece) {
  constexpr std::size_t kLongest = 40;
  std::string shown;
  for (const char c : piece.substr(0, kLongest)) {
    if (c >= ' ' && c <= '~') {
      shown += c;
    } else if (c == '\n' || c == '\r') {
      break;
    } else if (c == '\t') {
      shown += ' ';
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
      shown += hex;
    }
  }
  if (piece.size() > kLongest) shown += "...";
  return shown;
}

}  // namespace fhicl
