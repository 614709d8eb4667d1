// A stored document as the FHiCL that artdaqDB exports (artdaqdb_format.md section C.7).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fhicl {

/// The parts of a stored document that a reader needs (A.4); missing ones are empty.
struct Document {
  std::string exported;
  std::string version;
  std::vector<std::string> configurations;
  std::vector<std::string> entities;
  std::vector<std::string> runs;
  std::string collection;
  std::string oid;
  std::string origin_format;
};

/// The FHiCL of a document. Throws Error if artdaqDB cannot export it, or if it is not JSON.
std::string export_fhicl(std::string_view json);

/// Reads a document with its names. `exported` is in the format it came from: FHiCL, or for origin format `json` the
/// JSON of its data, or for others the whole document. Throws Error as export_fhicl() does, and for XML.
Document read_document(std::string_view json);

}  // namespace fhicl
