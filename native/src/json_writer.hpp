// A parsed text as artdaqDB stores it (artdaqdb_format.md sections C.4 to C.6), in the JSON of section A.7.
#pragma once

#include <string>
#include <string_view>

#include "comments.hpp"
#include "tree.hpp"

namespace fhicl {

/// Appends the value of "data": the objects `prolog` and `main`. Throws Error beyond kDocumentLimit.
void append_data(std::string& out, const Tree& tree);

/// Appends the value of "metadata": a descriptor for every key. Throws Error beyond kDocumentLimit.
void append_metadata(std::string& out, const Tree& tree, const Comments& comments);

/// Appends the value of "comments": the list of all.
void append_comments(std::string& out, const Comments& comments);

/// The text that artdaqDB's fhicl_to_json returns for it (C.1), with `name` unescaped.
std::string to_json(const Tree& tree, const Comments& comments, std::string_view name, std::string_view timestamp);

}  // namespace fhicl
