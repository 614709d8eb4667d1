#include "export.hpp"

#include <string>

#include "error.hpp"
#include "json_text.hpp"
#include "json_tree.hpp"
#include "limits.hpp"

namespace fhicl {
namespace {

constexpr std::string_view kIncludeKeys = "fhicl_pound_include";

// Old documents: a string is quoted only if one of these occurs in it.
bool needs_quotes(std::string_view text) { return text.find_first_of(" .%()/-\\") != std::string_view::npos; }

void append_quoted(std::string& out, std::string_view escaped, std::string_view quote) {
  out += quote;
  append_unescaped(out, escaped);
  out += quote;
}

void append_legacy_string(std::string& out, std::string_view escaped) {
  std::string text;
  append_unescaped(text, escaped);
  const std::string_view quote = needs_quotes(text) ? "\"" : "";
  out.append(quote).append(text).append(quote);
}

bool has_string_type(std::string_view type) {
  return type == "string" || type == "string_unquoted" || type == "string_singlequoted" ||
         type == "string_doublequoted";
}

[[noreturn]] void refuse(const std::string& reason) { fail("the document cannot be exported: " + reason); }

// A value of the wrong JSON type in a descriptor or document is an error. A missing one silently truncates the table or
// sequence, and is returned as `false`.
class Exporter {
 public:
  Exporter(const JsonTree& tree, std::string& out) : tree_(tree), out_(out) {}

  void document() {
    const JsonNode& whole = required(tree_.root(), "document");
    const JsonNode& data = required(whole, "data");
    const JsonNode& metadata = required(whole, "metadata");
    const JsonNode& prolog = required(data, "prolog");
    if (prolog.count > 0) out_ += "BEGIN_PROLOG\n";
    section(prolog, required(metadata, "prolog"));
    if (prolog.count > 0) out_ += "\nEND_PROLOG\n";
    section(required(data, "main"), required(metadata, "main"));
  }

 private:
  const JsonNode& required(const JsonNode& object, std::string_view key) const {
    const JsonNode* const member = tree_.member(&object, key);
    if (member == nullptr) refuse("it has no \"" + std::string(key) + "\"");
    if (member->type != JsonType::object) refuse("\"" + std::string(key) + "\" is no object");
    return *member;
  }

  void section(const JsonNode& data, const JsonNode& metadata) {
    const JsonNode& descriptors = required(metadata, "children");
    for (Index index = data.first; index != kNone; index = tree_[index].next) {
      const JsonNode& entry = tree_[index];
      if (!atom(entry.key, entry, tree_.member(&descriptors, entry.key))) {
        refuse("the descriptor of \"" + excerpt(entry.key) + "\" is missing or incomplete");
      }
    }
  }

  // A member that must be a string if it is there.
  const JsonNode* text_member(const JsonNode& descriptor, std::string_view key) const {
    const JsonNode* const member = tree_.member(&descriptor, key);
    if (member != nullptr && member->type != JsonType::string) {
      refuse("\"" + std::string(key) + "\" in a descriptor is no string");
    }
    return member;
  }

  const JsonNode* type_of(const JsonNode* descriptor) const {
    if (descriptor == nullptr) return nullptr;
    if (descriptor->type != JsonType::object) refuse("a descriptor is no object");
    return text_member(*descriptor, "type");
  }

  [[noreturn]] void mismatch(std::string_view type, std::string_view key) const {
    refuse("the value of \"" + excerpt(key) + "\" does not fit its type \"" + excerpt(type) + "\"");
  }

  bool atom(std::string_view key, const JsonNode& data, const JsonNode* descriptor) {
    const JsonNode* const type_member = type_of(descriptor);
    if (type_member == nullptr) return false;
    std::string_view type = type_member->text;
    if (key.starts_with(kIncludeKeys)) {
      if (data.type != JsonType::string) mismatch("include", key);
      out_.append(" \n#include \"").append(data.text).append("\" \n");
      return true;
    }
    const bool table_as_string = type == "table" && data.type == JsonType::string;
    if (table_as_string) type = "string";

    const std::size_t begin = out_.size();
    const JsonNode* const comment = text_member(*descriptor, "comment");
    if (comment != nullptr) above(comment->text);
    out_ += key;
    protection(*descriptor);
    out_ += ": ";
    value(type, key, data, *descriptor);
    const bool complete = comment != nullptr && (type == "table" || table_as_string || annotation(*descriptor));
    if (!complete) out_.resize(begin);
    return complete;
  }

  void above(std::string_view comment) {
    const std::size_t begin = out_.size();
    append_unescaped(out_, comment);
    if (out_.find("#include ", begin) != std::string::npos) out_.resize(begin);
    out_ += '\n';
  }

  void protection(const JsonNode& descriptor) {
    const JsonNode* const protection = text_member(descriptor, "protection");
    if (protection != nullptr && protection->text != "@none") out_.append(" ").append(protection->text);
  }

  bool annotation(const JsonNode& descriptor) {
    const JsonNode* const annotation = text_member(descriptor, "annotation");
    if (annotation == nullptr) return false;
    out_ += ' ';
    append_unescaped(out_, annotation->text);
    out_ += '\n';
    return true;
  }

  void value(std::string_view type, std::string_view key, const JsonNode& data, const JsonNode& descriptor) {
    if (out_.size() > kDocumentLimit) {
      refuse("the text would have more than " + std::to_string(kDocumentLimit) + " bytes");
    }
    if (type == "table") {
      if (data.type != JsonType::object) mismatch(type, key);
      table(data, descriptor);
    } else if (type == "sequence") {
      if (data.type != JsonType::array) mismatch(type, key);
      sequence(data, descriptor);
    } else if (has_string_type(type)) {
      if (data.type != JsonType::string) mismatch(type, key);
      string(type, data.text);
    } else if (type == "nil" || type == "complex" || type == "tableid" || type == "bool" || type == "number") {
      plain(type, key, data);
    } else {
      refuse("FHiCL atom type \"" + excerpt(type) + "\" is not implemented");
    }
  }

  void plain(std::string_view type, std::string_view key, const JsonNode& data) {
    const bool native = (type == "bool" && data.type == JsonType::boolean) ||
                        (type == "number" && (data.type == JsonType::integer || data.type == JsonType::real));
    if (native) {
      append_scalar(out_, data);
    } else if (data.type == JsonType::string) {
      out_ += data.text;
    } else {
      mismatch(type, key);
    }
  }

  void string(std::string_view type, std::string_view escaped) {
    if (type == "string_unquoted") {
      append_unescaped(out_, escaped);
    } else if (type == "string_singlequoted") {
      append_quoted(out_, escaped, "'");
    } else if (type == "string_doublequoted") {
      append_quoted(out_, escaped, "\"");
    } else {
      append_legacy_string(out_, escaped);
    }
  }

  const JsonNode* children_of(const JsonNode& descriptor) const {
    const JsonNode* const children = tree_.member(&descriptor, "children");
    if (children != nullptr && children->type != JsonType::object) {
      refuse("\"children\" in a descriptor is no object");
    }
    return children;
  }

  void table(const JsonNode& data, const JsonNode& descriptor) {
    out_ += "{\n";
    const JsonNode* const children = children_of(descriptor);
    for (Index index = data.first; index != kNone; index = tree_[index].next) {
      const JsonNode& entry = tree_[index];
      if (!atom(entry.key, entry, tree_.member(children, entry.key))) break;
    }
    out_ += "\n}";
  }

  void sequence(const JsonNode& data, const JsonNode& descriptor) {
    out_ += '[';
    const JsonNode* const children = children_of(descriptor);
    Index in_step = children == nullptr ? kNone : children->first;
    unsigned position = 0;
    for (Index index = data.first; index != kNone; index = tree_[index].next) {
      const std::string key = std::to_string(position++);
      // If the n-th child is called n, it is the first of that name.
      const bool as_expected = in_step != kNone && tree_[in_step].key == key;
      const JsonNode* const child = as_expected ? &tree_[in_step] : tree_.member(children, key);
      in_step = as_expected ? tree_[in_step].next : kNone;
      const std::size_t begin = out_.size();
      if (position > 1) out_ += ", ";
      if (!element(key, tree_[index], child)) {
        out_.resize(begin);
        break;
      }
    }
    out_ += ']';
  }

  // Elements are written by their JSON type; only strings, tables and sequences by their descriptor.
  bool element(std::string_view key, const JsonNode& data, const JsonNode* descriptor) {
    if (descriptor == nullptr) return false;
    if (data.type != JsonType::object && data.type != JsonType::array && data.type != JsonType::string) {
      append_scalar(out_, data);
      return true;
    }
    const JsonNode* const type = type_of(descriptor);
    if (type == nullptr) return false;
    if (data.type == JsonType::string) {
      if (type->text == "number") {
        out_ += data.text;
      } else {
        string(type->text, data.text);
      }
      return true;
    }
    value(type->text, key, data, *descriptor);
    if (text_member(*descriptor, "comment") == nullptr) return false;
    return type->text == "table" || annotation(*descriptor);
  }

  const JsonTree& tree_;
  std::string& out_;
};

std::string decoded(const JsonNode* node) {
  std::string text;
  if (node != nullptr && node->type == JsonType::string) append_unescaped(text, node->text);
  return text;
}

std::vector<std::string> names(const JsonTree& tree, const JsonNode* list) {
  std::vector<std::string> names;
  if (list == nullptr || list->type != JsonType::array) return names;
  for (Index index = list->first; index != kNone; index = tree[index].next) {
    if (const JsonNode* const name = tree.member(&tree[index], "name")) names.push_back(decoded(name));
  }
  return names;
}

std::string exported(const JsonTree& tree) {
  std::string text;
  Exporter(tree, text).document();
  return text;
}

std::string in_original_format(const JsonTree& tree, std::string_view format) {
  if (format.empty() || format == "fhicl") return exported(tree);
  if (format == "xml") refuse("it came from XML, which only artdaqDB itself writes");
  const JsonNode* value = &tree.root();
  if (format == "json") {
    value = tree.member(tree.member(value, "document"), "data");
    if (value == nullptr) refuse("it has no \"data\"");
  }
  std::string text;
  tree.append(text, *value);
  return text;
}

}  // namespace

std::string export_fhicl(std::string_view json) { return exported(JsonTree(json)); }

Document read_document(std::string_view json) {
  const JsonTree tree(json);
  const JsonNode* const root = &tree.root();
  Document document;
  document.version = decoded(tree.member(root, "version"));
  document.configurations = names(tree, tree.member(root, "configurations"));
  document.entities = names(tree, tree.member(root, "entities"));
  if (const JsonNode* const old = tree.member(tree.member(root, "configurable_entity"), "name");
      old != nullptr && document.entities.empty()) {
    document.entities.push_back(decoded(old));
  }
  document.runs = names(tree, tree.member(root, "runs"));
  document.collection = decoded(tree.member(root, "collection"));
  const JsonNode* const id = tree.member(root, "_id");
  const JsonNode* const oid = tree.member(id, "$oid");
  document.oid = decoded(oid != nullptr ? oid : tree.member(id, "_oid"));
  document.origin_format = decoded(tree.member(tree.member(root, "origin"), "format"));
  document.exported = in_original_format(tree, document.origin_format);
  return document;
}

}  // namespace fhicl
