// The fuzz target: any bytes, taken as FHiCL and as a stored document, give a result or an Error.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "comments.hpp"
#include "error.hpp"
#include "export.hpp"
#include "json_tree.hpp"
#include "json_writer.hpp"
#include "parser.hpp"
#include "prepared.hpp"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Runs `work`; an Error must have a position and a reason.
template <typename Work>
bool accepted(std::string_view text, Work work) {
  try {
    work();
    return true;
  } catch (const fhicl::Error& error) {
    require(!error.message.empty() && error.column >= 1 && error.line <= text.size());
    return false;
  }
}

std::string imported(std::string_view text) {
  const fhicl::Prepared prepared(text);
  return fhicl::to_json(fhicl::parse(prepared), fhicl::Comments(text), "name", "time");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  accepted(text, [&] { fhicl::read_document(text); });

  std::string document;
  if (!accepted(text, [&] { document = imported(text); })) return 0;
  require(accepted(document, [&] { fhicl::JsonTree tree(document); }));
  std::string exported;
  if (!accepted(document, [&] { exported = fhicl::export_fhicl(document); })) return 0;
  accepted(exported, [&] { imported(exported); });
  return 0;
}
