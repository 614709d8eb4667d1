#include "tree.hpp"

#include <array>

namespace fhicl {

std::string_view type_name(Type type) {
  constexpr std::array<std::string_view, 9> kNames = {"nil",
                                                      "bool",
                                                      "number",
                                                      "complex",
                                                      "string_unquoted",
                                                      "string_singlequoted",
                                                      "string_doublequoted",
                                                      "sequence",
                                                      "table"};
  return kNames[static_cast<std::size_t>(type)];
}

std::string_view protection_name(Protection protection) {
  constexpr std::array<std::string_view, 3> kNames = {"", "@protect_ignore", "@protect_error"};
  return kNames[static_cast<std::size_t>(protection)];
}

}  // namespace fhicl
