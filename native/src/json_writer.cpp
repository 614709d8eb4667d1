#include "json_writer.hpp"

#include <algorithm>
#include <string_view>

#include "error.hpp"
#include "json_text.hpp"
#include "limits.hpp"
#include "prepared.hpp"

namespace fhicl {
namespace {

void check_size(const std::string& out) {
  if (out.size() > kDocumentLimit) {
    fail("the document would have more than " + std::to_string(kDocumentLimit) + " bytes");
  }
}

class DataWriter {
 public:
  DataWriter(std::string& out, const std::vector<Node>& nodes) : out_(out), nodes_(nodes) {}

  void object(Index first) {
    out_ += "{\n";
    Separator separate;
    for (Index index = first; index != kNone; index = nodes_[index].next) {
      separate(out_);
      out_ += '"';
      out_ += nodes_[index].key;
      out_ += "\" : ";
      value(nodes_[index]);
    }
    out_ += "\n}";
  }

 private:
  void array(Index first) {
    out_ += "[\n";
    Separator separate;
    for (Index index = first; index != kNone; index = nodes_[index].next) {
      separate(out_);
      value(nodes_[index]);
    }
    out_ += "\n]";
  }

  void value(const Node& node) {
    check_size(out_);
    if (node.type == Type::table) return object(node.first);
    if (node.type == Type::sequence) return array(node.first);
    out_ += '"';
    if (is_string(node.type)) {
      append_escaped(out_, node.text);
    } else {
      out_ += node.text;
    }
    out_ += '"';
  }

  std::string& out_;
  const std::vector<Node>& nodes_;
};

class MetadataWriter {
 public:
  MetadataWriter(std::string& out, const std::vector<Node>& nodes, const Comments& comments)
      : out_(out), nodes_(nodes), comments_(comments) {}

  // The descriptor of "prolog" and "main" themselves.
  void section(std::string_view name, Index first) {
    out_ += "{\n\"type\" : \"table\",\n\"comment\" : \"#";
    out_ += name;
    out_ += "\",\n\"children\" : ";
    children(first, Type::table);
    out_ += "\n}";
  }

 private:
  void children(Index first, Type of) {
    out_ += "{\n";
    Separator separate;
    unsigned element = 0;
    for (Index index = first; index != kNone; index = nodes_[index].next) {
      separate(out_);
      out_ += '"';
      if (of == Type::table) {
        out_ += nodes_[index].key;
      } else {
        out_ += std::to_string(element++);
      }
      out_ += "\" : ";
      descriptor(nodes_[index]);
    }
    out_ += "\n}";
  }

  void descriptor(const Node& node) {
    check_size(out_);
    const bool include = node.key.find(kIncludeKey) != std::string_view::npos;
    out_ += "{\n\"type\" : \"";
    out_ += type_name(node.type);
    out_ += "\",\n\"comment\" : \"";
    if (!include) out_ += comments_.comment(node.line);
    if (node.type != Type::table || include) {
      out_ += "\",\n\"annotation\" : \"";
      if (!include) out_ += comments_.annotation(node.line);
    }
    if (node.protection != Protection::none) {
      out_ += "\",\n\"protection\" : \"";
      out_ += protection_name(node.protection);
    }
    out_ += '"';
    if (is_container(node.type)) {
      out_ += ",\n\"children\" : ";
      children(node.first, node.type);
    }
    out_ += "\n}";
  }

  std::string& out_;
  const std::vector<Node>& nodes_;
  const Comments& comments_;
};

}  // namespace

void append_data(std::string& out, const Tree& tree) {
  DataWriter writer(out, tree.nodes);
  out += "{\n\"prolog\" : ";
  writer.object(tree.prolog);
  out += ",\n\"main\" : ";
  writer.object(tree.main);
  out += "\n}";
}

void append_metadata(std::string& out, const Tree& tree, const Comments& comments) {
  constexpr std::size_t kUsualDescriptor = 112;  // bytes; a guess that saves most of the growing
  out.reserve(std::min(out.size() + kUsualDescriptor * tree.nodes.size(), kDocumentLimit));
  MetadataWriter writer(out, tree.nodes, comments);
  out += "{\n\"prolog\" : ";
  writer.section("prolog", tree.prolog);
  out += ",\n\"main\" : ";
  writer.section("main", tree.main);
  out += "\n}";
}

void append_comments(std::string& out, const Comments& comments) {
  out += "[\n";
  Separator separate;
  const auto append = [&](std::uint32_t line, std::string_view text) {
    separate(out);
    out += "{\n\"linenum\" : ";
    out += std::to_string(line);
    out += ",\n\"value\" : \"";
    out += text;
    out += "\"\n}";
  };
  for (const Comment& comment : comments.all()) append(comment.line, comment.text);
  if (comments.all().empty()) append(0, "No comments");
  out += "\n]";
}

std::string to_json(const Tree& tree, const Comments& comments, std::string_view name, std::string_view timestamp) {
  std::string out = "{\n\"document\" : {\n\"data\" : ";
  append_data(out, tree);
  out += ",\n\"metadata\" : ";
  append_metadata(out, tree, comments);
  out += "\n},\n\"comments\" : ";
  append_comments(out, comments);
  out += ",\n\"origin\" : {\n\"format\" : \"fhicl\",\n\"name\" : \"";
  out += name;
  out += "\",\n\"source\" : \"fhicl_to_json\",\n\"timestamp\" : \"";
  out += timestamp;
  out +=
      "\"\n},\n\"version\" : \"notprovided\",\n\"entities\" : [\n\n],\n"
      "\"configurations\" : [\n\n]\n}";
  return out;
}

}  // namespace fhicl
