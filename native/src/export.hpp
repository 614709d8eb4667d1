// A stored document as the FHiCL that artdaqDB exports (artdaqdb_format.md section C.7).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fhicl {

/// What a reader needs of a stored document (A.4); parts that are missing are empty.
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

/// The FHiCL of a document. Throws Error where artdaqDB cannot export it, or where it is no JSON.
std::string export_fhicl(std::string_view json);

/// Reads a document with its names. `exported` is in the format it came from: FHiCL, or for origin format `json` the
/// JSON of its data, or for others the whole document. Throws Error as export_fhicl() does, and for XML.
Document read_document(std::string_view json);

}  // namespace fhicl
