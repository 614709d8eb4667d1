// The grammar of artdaqdb_format.md section C.3.
#pragma once

#include "prepared.hpp"
#include "tree.hpp"

namespace fhicl {

/// Parses a text. The tree looks into `prepared`. Throws Error; positions are those of section C.8.
Tree parse(const Prepared& prepared);

}  // namespace fhicl
