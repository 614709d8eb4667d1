// The one way the engine says no.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fhicl {

/// What is wrong and where. Lines and columns count from 1; line 0, column 1 is the end of the text (C.8).
struct Error {
  std::size_t line;
  std::size_t column;
  std::string message;
};

/// Throws the error at `where`, which points into `text` or to its end.
[[noreturn]] void fail_at(std::string_view text, const char* where, std::string message);

/// Throws an error that concerns the text as a whole (line 0, column 1).
[[noreturn]] void fail(std::string message);

/// A piece of the text for a message: at most a few dozen characters, on one line, printable.
std::string excerpt(std::string_view piece);

}  // namespace fhicl
