#include "duplicates.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "error.hpp"

namespace fhicl {
namespace {

// Above this many entries, sorting the keys is quicker than comparing all with all.
constexpr std::size_t kFewEntries = 12;

void redefine(Node& earlier, const Node& later, std::string_view text) {
  const std::string quoted_key = "'" + excerpt(later.key) + "'";
  if (later.protection > earlier.protection) {
    fail_at(text, later.key.data(), quoted_key + " is defined before with less protection");
  }
  if (earlier.protection == Protection::error) {
    fail_at(text, later.key.data(), quoted_key + " is defined before with @protect_error");
  }
  if (earlier.protection == Protection::ignore) return;
  const std::string_view key = earlier.key;
  const Index next = earlier.next;
  earlier = later;
  earlier.key = key;
  earlier.next = next;
}

void settle_few(std::vector<Node>& nodes, Index first, std::string_view text) {
  Index before = first;
  while (const Index index = nodes[before].next) {
    const std::string_view key = nodes[index].key;
    Index earlier = first;
    while (earlier != index && nodes[earlier].key != key) earlier = nodes[earlier].next;
    if (earlier == index) {
      before = index;
    } else {
      redefine(nodes[earlier], nodes[index], text);
      nodes[before].next = nodes[index].next;
    }
  }
}

void settle_many(std::vector<Node>& nodes, Index first, std::string_view text) {
  std::vector<Index> by_key;
  for (Index index = first; index != kNone; index = nodes[index].next) by_key.push_back(index);
  std::stable_sort(by_key.begin(), by_key.end(), [&](Index a, Index b) { return nodes[a].key < nodes[b].key; });

  bool dropped = false;
  Index earlier = by_key.front();
  for (std::size_t i = 1; i < by_key.size(); ++i) {
    Node& later = nodes[by_key[i]];
    if (later.key != nodes[earlier].key) {
      earlier = by_key[i];
      continue;
    }
    redefine(nodes[earlier], later, text);
    later.key = {};  // no entry of a table has an empty key
    dropped = true;
  }
  if (!dropped) return;
  Index before = first;
  while (const Index index = nodes[before].next) {
    if (nodes[index].key.empty()) {
      nodes[before].next = nodes[index].next;
    } else {
      before = index;
    }
  }
}

}  // namespace

void settle_duplicates(Tree& tree, Index table, std::string_view text) {
  const Index first = tree.nodes[table].first;
  std::size_t entries = 0;
  for (Index index = first; index != kNone && entries <= kFewEntries; index = tree.nodes[index].next) ++entries;
  if (entries < 2) return;
  if (entries <= kFewEntries) {
    settle_few(tree.nodes, first, text);
  } else {
    settle_many(tree.nodes, first, text);
  }
}

void override_prolog(Tree& tree) {
  if (tree.prolog == kNone || tree.main == kNone) return;
  std::map<std::string_view, std::size_t> overrides;
  for (Index index = tree.prolog; index != kNone; index = tree.nodes[index].next) {
    overrides[plain_name(tree.nodes[index].key)] = 0;
  }
  for (Index index = tree.main; index != kNone; index = tree.nodes[index].next) {
    const auto found = overrides.find(plain_name(tree.nodes[index].key));
    if (found != overrides.end()) ++found->second;
  }
  Index* link = &tree.prolog;
  while (*link != kNone) {
    Node& node = tree.nodes[*link];
    std::size_t& left = overrides[plain_name(node.key)];
    if (left > 0) {
      --left;
      *link = node.next;
    } else {
      link = &node.next;
    }
  }
}

}  // namespace fhicl
