// JSON text as artdaqDB writes it (artdaqdb_format.md section A.7).
#pragma once

#include <string>
#include <string_view>

#include "characters.hpp"

namespace fhicl {

/// Appends `text` with `" \ BS FF LF CR TAB` escaped and everything else as it is.
void append_escaped(std::string& out, std::string_view text);

/// Appends the decoded text of an escaped string; an unknown escape is dropped with its character.
void append_unescaped(std::string& out, std::string_view escaped);

/// Whether a backslash before `c` is an escape of the dialect.
constexpr bool is_kept_escape(char c) {
  return c == '"' || c == '\\' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't';
}

/// Appends a double with at most three decimals (A.7): 1.235e05, 2.0, 1.5.
void append_double(std::string& out, double value);

/// Separator of members of an object or array: nothing before the first, `,` LF before the others.
class Separator {
 public:
  void operator()(std::string& out) {
    if (!first_) out += ",\n";
    first_ = false;
  }

 private:
  bool first_ = true;
};

}  // namespace fhicl
