// The grammar of artdaqdb_format.md section C.3.
#pragma once

#include "prepared.hpp"
#include "tree.hpp"

namespace fhicl {

/// Parses a text. The tree holds views into `prepared`. Throws Error with a position of section C.8.
Tree parse(const Prepared& prepared);

}  // namespace fhicl
