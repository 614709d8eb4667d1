// A parsed FHiCL text: one vector of nodes with views into it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace fhicl {

/// The types of artdaqdb_format.md section C.3; their names in metadata are type_name().
enum class Type : std::uint8_t {
  nil,
  boolean,
  number,
  complex,
  string_unquoted,
  string_singlequoted,
  string_doublequoted,
  sequence,
  table,
};

/// The `type` of section C.6.
std::string_view type_name(Type type);

constexpr bool is_string(Type type) { return type >= Type::string_unquoted && type <= Type::string_doublequoted; }
constexpr bool is_container(Type type) { return type >= Type::sequence; }

/// Ordered by strength.
enum class Protection : std::uint8_t { none, ignore, error };

/// `@protect_ignore`, `@protect_error` or nothing.
std::string_view protection_name(Protection protection);

/// A place in Tree::nodes; kNone is no node.
using Index = std::uint32_t;
inline constexpr Index kNone = 0;

/// A value with its key. Children are a chain: `first`, then `next` of each.
struct Node {
  std::string_view key;   // empty for elements of a sequence
  std::string_view text;  // of an atom, as "data" stores it (C.4), before JSON escapes
  std::uint32_t line = 0;
  Index first = kNone;
  Index next = kNone;
  Type type = Type::nil;
  Protection protection = Protection::none;
  /// The weakest modifier on anything inside; none if there is none.
  Protection weakest_inside = Protection::none;
};

/// The document: chains of top-level entries in and after the prolog.
struct Tree {
  std::vector<Node> nodes{Node{}};
  Index prolog = kNone;
  Index main = kNone;
  /// Keys that are not in the text literally, such as `a . b`. A deque, for stable addresses.
  std::deque<std::string> joined_keys;
};

}  // namespace fhicl
