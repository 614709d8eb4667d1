#include "parser.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "diagnosis.hpp"
#include "duplicates.hpp"
#include "error.hpp"
#include "limits.hpp"
#include "scanner.hpp"

namespace fhicl {
namespace {

// A chain of nodes that grows at its end.
struct Chain {
  Index first = kNone;
  Index last = kNone;

  void append(std::vector<Node>& nodes, Index index) {
    (first == kNone ? first : nodes[last].next) = index;
    last = index;
  }
};

// Recursive descent, at most kDepthLimit deep.
class Parser {
 public:
  explicit Parser(const Prepared& prepared) : scanner_(prepared), value_limit_(value_limit(prepared.text().size())) {
    tree_.nodes.reserve(prepared.text().size() / 24);
  }

  Tree document();

 private:
  enum class Names { plain, qualified };
  using IndexedEntry = std::pair<Index, const char*>;  // one with a key such as a[0], and where it stands

  Chain entries(Names names);
  Index entry(Names names);
  std::string_view qualified_name();
  bool binding(Protection& protection);
  Index value();
  void container(Index index);
  Chain elements();
  void protect(Index index, Protection protection, const char* where);
  void note_protection_inside(Index container);
  void reject_indexed(Index entries) const;

  Scanner scanner_;
  const std::size_t value_limit_;
  Tree tree_;
  unsigned depth_ = 0;
  bool protections_ = false;
  std::vector<IndexedEntry> indexed_;
};

Tree Parser::document() {
  Chain prolog;
  while (scanner_.take("BEGIN_PROLOG")) {
    const Chain more = entries(Names::qualified);
    if (more.first != kNone) {
      prolog.append(tree_.nodes, more.first);
      prolog.last = more.last;
    }
    if (!scanner_.take("END_PROLOG")) {
      scanner_.fail(scanner_.at_end() ? "BEGIN_PROLOG without END_PROLOG" : not_an_entry(scanner_.rest()));
    }
  }
  tree_.prolog = prolog.first;
  tree_.main = entries(Names::qualified).first;
  scanner_.skip();
  if (!scanner_.at_end()) scanner_.fail(not_an_entry(scanner_.rest()));
  override_prolog(tree_);
  reject_indexed(tree_.prolog);
  reject_indexed(tree_.main);
  return std::move(tree_);
}

Chain Parser::entries(Names names) {
  Chain chain;
  while (const Index index = entry(names)) chain.append(tree_.nodes, index);
  return chain;
}

// Passes `name binding value`, or stays where it was and returns kNone. After ':' a value must follow; after a
// protection its absence only means that this is no entry (C.8).
Index Parser::entry(Names names) {
  scanner_.skip();
  const Cursor start = scanner_.here;
  const std::string_view key = names == Names::qualified ? qualified_name() : scanner_.word();
  Protection protection{};
  if (key.empty() || !binding(protection)) {
    scanner_.here = start;
    return kNone;
  }
  const Index index = value();
  if (index == kNone) {
    if (protection == Protection::none) {
      scanner_.skip();
      scanner_.fail(missing_value(scanner_.rest(), key));
    }
    scanner_.here = start;
    return kNone;
  }
  tree_.nodes[index].key = key;
  if (protection != Protection::none) protect(index, protection, start.at);
  if (key.find('[') != std::string_view::npos) indexed_.emplace_back(index, start.at);
  return index;
}

// Passes words joined by '.' and indices in '[' ']', with white space allowed around them; stored without it.
std::string_view Parser::qualified_name() {
  const std::string_view first = scanner_.word();
  if (first.empty()) return {};
  std::string joined(first);
  for (;;) {
    const Cursor before = scanner_.here;
    if (scanner_.take('.')) {
      scanner_.skip();
      const std::string_view word = scanner_.word();
      if (word.empty()) scanner_.fail("expected a name after '" + excerpt(joined) + ".'");
      joined.append(".").append(word);
    } else if (scanner_.take('[')) {
      scanner_.skip();
      const std::string_view index = scanner_.digits();
      if (index.empty()) scanner_.fail("expected an index after '" + excerpt(joined) + "['");
      if (!scanner_.take(']')) scanner_.fail("expected ']' after an index");
      joined.append("[").append(index).append("]");
    } else {
      scanner_.here = before;
      break;
    }
  }
  if (joined.size() == first.size()) return first;
  return tree_.joined_keys.emplace_back(std::move(joined));
}

bool Parser::binding(Protection& protection) {
  if (scanner_.take(':')) {
    protection = Protection::none;
  } else if (scanner_.take("@protect_ignore:")) {
    protection = Protection::ignore;
  } else if (scanner_.take("@protect_error:")) {
    protection = Protection::error;
  } else {
    return false;
  }
  return true;
}

// Passes a value and returns its node, or stays where it was and returns kNone.
Index Parser::value() {
  const Cursor before = scanner_.here;
  scanner_.skip();
  const auto index = static_cast<Index>(tree_.nodes.size());
  if (index > value_limit_) scanner_.fail("the text has more than " + std::to_string(value_limit_) + " values");
  Node node;
  node.line = scanner_.here.line;
  if (!scanner_.at_end() && (*scanner_.here.at == '{' || *scanner_.here.at == '[')) {
    tree_.nodes.push_back(node);
    container(index);
    return index;
  }
  Atom atom;
  if (!scanner_.atom(atom)) {
    scanner_.here = before;
    return kNone;
  }
  node.type = atom.type;
  node.text = atom.text;
  tree_.nodes.push_back(node);
  return index;
}

void Parser::container(Index index) {
  if (++depth_ > kDepthLimit) {
    scanner_.fail("tables and sequences are nested deeper than " + std::to_string(kDepthLimit) + " levels");
  }
  const bool table = *scanner_.here.at++ == '{';
  tree_.nodes[index].type = table ? Type::table : Type::sequence;
  tree_.nodes[index].first = table ? entries(Names::plain).first : elements().first;
  if (!scanner_.take(table ? '}' : ']')) scanner_.fail(not_closed(table, scanner_.rest()));
  if (table) settle_duplicates(tree_, index, scanner_.text());
  if (protections_) note_protection_inside(index);
  --depth_;
}

// The first element may be missing even before a ','.
Chain Parser::elements() {
  Chain chain;
  if (const Index first = value()) chain.append(tree_.nodes, first);
  while (scanner_.take(',')) {
    const Index next = value();
    if (next == kNone) {
      const Cursor after_comma = scanner_.here;
      scanner_.skip();
      std::string message = not_a_value(scanner_.rest(), "after ',' in a sequence");
      scanner_.here = after_comma;
      scanner_.fail(std::move(message));
    }
    chain.append(tree_.nodes, next);
  }
  return chain;
}

void Parser::protect(Index index, Protection protection, const char* where) {
  Node& node = tree_.nodes[index];
  node.protection = protection;
  protections_ = true;
  if (node.weakest_inside != Protection::none && node.weakest_inside < protection) {
    fail_at(scanner_.text(), where,
            "'" + excerpt(node.key) + "' is " + std::string(protection_name(protection)) +
                " but holds an entry that is only " + std::string(protection_name(node.weakest_inside)));
  }
}

void Parser::note_protection_inside(Index container) {
  Protection weakest = Protection::none;
  const auto note = [&](Protection protection) {
    if (protection != Protection::none && (weakest == Protection::none || protection < weakest)) weakest = protection;
  };
  for (Index child = tree_.nodes[container].first; child != kNone; child = tree_.nodes[child].next) {
    note(tree_.nodes[child].protection);
    note(tree_.nodes[child].weakest_inside);
  }
  tree_.nodes[container].weakest_inside = weakest;
}

// Keys such as a[0] parse but cannot be stored.
void Parser::reject_indexed(Index entries) const {
  if (indexed_.empty()) return;
  for (Index index = entries; index != kNone; index = tree_.nodes[index].next) {
    const auto found = std::lower_bound(indexed_.begin(), indexed_.end(), IndexedEntry{index, nullptr});
    if (found != indexed_.end() && found->first == index) {
      fail_at(scanner_.text(), found->second,
              "'" + excerpt(tree_.nodes[index].key) + "': an element of a sequence cannot be set by its index");
    }
  }
}

}  // namespace

Tree parse(const Prepared& prepared) { return Parser(prepared).document(); }

}  // namespace fhicl
