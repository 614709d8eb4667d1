// Which of several entries with one key counts (artdaqdb_format.md section C.3, "Duplicates").
#pragma once

#include <string_view>

#include "tree.hpp"

namespace fhicl {

/// Merges entries of one key in a table: the last value takes the first one's place, unless the first is protected.
/// Throws Error at the later key, a view into `text`.
void settle_duplicates(Tree& tree, Index table, std::string_view text);

/// Removes, for each entry after the prolog, one prolog entry of its name.
void override_prolog(Tree& tree);

/// The name that override_prolog() compares: the key up to an index.
inline std::string_view plain_name(std::string_view key) { return key.substr(0, key.find('[')); }

}  // namespace fhicl
