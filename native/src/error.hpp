// The only error the engine throws.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fhicl {

/// A message and its place. Lines and columns count from 1; line 0, column 1 is the end of the text (C.8).
struct Error {
  std::size_t line;
  std::size_t column;
  std::string message;
};

/// Throws the error at `where`, which points into `text` or to its end.
[[noreturn]] void fail_at(std::string_view text, const char* where, std::string message);

/// Throws an error about the text as a whole (line 0, column 1).
[[noreturn]] void fail(std::string message);

/// An excerpt of the text for a message: at most a few dozen printable characters on one line.
std::string excerpt(std::string_view piece);

}  // namespace fhicl
