#include "json_tree.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "json_text.hpp"

namespace fhicl {
namespace {

// Above this many members, look-ups go through an index of the keys.
constexpr std::uint32_t kFewMembers = 16;

bool key_before(const JsonNode* node, std::string_view key) { return node->key < key; }

std::string_view without_plus(std::string_view number) {
  return number.starts_with('+') ? number.substr(1) : number;
}

}  // namespace

const JsonNode* JsonTree::member(const JsonNode* object, std::string_view key) const {
  if (object == nullptr || object->type != JsonType::object) return nullptr;
  if (object->count <= kFewMembers) {
    for (Index index = object->first; index != kNone; index = nodes_[index].next) {
      if (nodes_[index].key == key) return &nodes_[index];
    }
    return nullptr;
  }
  std::vector<const JsonNode*>& sorted = by_key_[object];
  if (sorted.empty()) {
    for (Index index = object->first; index != kNone; index = nodes_[index].next) sorted.push_back(&nodes_[index]);
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const JsonNode* a, const JsonNode* b) { return a->key < b->key; });
  }
  const auto found = std::lower_bound(sorted.begin(), sorted.end(), key, key_before);
  return found != sorted.end() && (*found)->key == key ? *found : nullptr;
}

void JsonTree::append(std::string& out, const JsonNode& value) const {
  switch (value.type) {
    case JsonType::object:
    case JsonType::array: {
      const bool object = value.type == JsonType::object;
      out += object ? "{\n" : "[\n";
      Separator separate;
      for (Index index = value.first; index != kNone; index = nodes_[index].next) {
        separate(out);
        if (object) out.append("\"").append(nodes_[index].key).append("\" : ");
        append(out, nodes_[index]);
      }
      out += object ? "\n}" : "\n]";
      return;
    }
    case JsonType::string:
      out.append("\"").append(value.text).append("\"");
      return;
    default:
      append_scalar(out, value);
  }
}

void append_scalar(std::string& out, const JsonNode& value) {
  const std::string_view number = without_plus(value.text);
  if (value.type == JsonType::integer) {
    std::int64_t integer = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), integer);
    if (error == std::errc{} && end == number.data() + number.size()) {
      out += std::to_string(integer);
      return;
    }
  }
  if (value.type == JsonType::boolean) {
    out += number;
    return;
  }
  double real = 0;
  std::from_chars(number.data(), number.data() + number.size(), real);
  append_double(out, real);
}

}  // namespace fhicl
