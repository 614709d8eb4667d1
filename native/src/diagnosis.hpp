// Messages for text that the grammar refuses.
#pragma once

#include <string>
#include <string_view>

namespace fhicl {

/// Why no entry begins at `rest`, which is neither empty nor begins with white space.
std::string not_an_entry(std::string_view rest);

/// Why no value begins at `rest`, which may be the end of the text; `context` is such as "after ','".
std::string not_a_value(std::string_view rest, std::string_view context);

/// The same after `key` and ':'.
std::string missing_value(std::string_view rest, std::string_view key);

/// Why a table (else: sequence) cannot continue at `rest`, which may be the end of the text.
std::string not_closed(bool table, std::string_view rest);

}  // namespace fhicl
