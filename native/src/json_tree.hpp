// JSON in artdaqDB's dialect (artdaqdb_format.md section A.7), read leniently.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tree.hpp"

namespace fhicl {

enum class JsonType : std::uint8_t { object, array, string, integer, real, boolean };

/// A value with its key. Members and elements are a chain: `first`, then `next` of each.
struct JsonNode {
  std::string_view key;   // as the dialect keeps it: escapes not decoded, backslashes before other characters doubled
  std::string_view text;  // of a string likewise; of a number or boolean as it stands
  Index first = kNone;
  Index next = kNone;
  std::uint32_t count = 0;  // of members or elements
  JsonType type = JsonType::object;
};

/// A JSON text whose top level is an object. Duplicate keys are kept; look-ups take the first.
class JsonTree {
 public:
  /// Holds views into `text`, which must outlive it. Ignores text after the object. Throws Error where it is not JSON.
  explicit JsonTree(std::string_view text);
  JsonTree(const JsonTree&) = delete;
  JsonTree& operator=(const JsonTree&) = delete;

  const JsonNode& root() const { return nodes_[kRoot]; }
  const JsonNode& operator[](Index index) const { return nodes_[index]; }

  /// The first member of that key, or nullptr; also if `object` is nullptr or not an object.
  const JsonNode* member(const JsonNode* object, std::string_view key) const;

  /// Appends the value in the form of section A.7.
  void append(std::string& out, const JsonNode& value) const;

 private:
  friend class JsonReader;
  static constexpr Index kRoot = 1;

  std::vector<JsonNode> nodes_{JsonNode{}};
  std::deque<std::string> doubled_;  // strings that do not stand in the text as the dialect keeps them
  mutable std::map<const JsonNode*, std::vector<const JsonNode*>> by_key_;  // of large objects, once needed
};

/// Appends a number or boolean as artdaqDB prints it: 64-bit integers in decimal, others with three decimals.
void append_scalar(std::string& out, const JsonNode& value);

}  // namespace fhicl
