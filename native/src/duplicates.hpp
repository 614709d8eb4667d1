// Which of several entries with one key counts (artdaqdb_format.md section C.3, "Duplicates").
#pragma once

#include <string_view>

#include "tree.hpp"

namespace fhicl {

/// Leaves one entry for each key of a table: the last value in the first one's place, unless the first is protected.
/// Throws Error at the later key, which looks into `text`.
void settle_duplicates(Tree& tree, Index table, std::string_view text);

/// Each entry after the prolog takes one prolog entry of its name away.
void override_prolog(Tree& tree);

/// The name that counts for override_prolog(): the key up to an index.
inline std::string_view plain_name(std::string_view key) { return key.substr(0, key.find('[')); }

}  // namespace fhicl
