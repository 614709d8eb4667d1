// The Python module archiverd._fhicl: the engine's functions on bytes, run without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <string>
#include <string_view>
#include <vector>

#include "comments.hpp"
#include "error.hpp"
#include "export.hpp"
#include "json_writer.hpp"
#include "limits.hpp"
#include "parser.hpp"
#include "prepared.hpp"

namespace nb = nanobind;

namespace {

std::string_view view(const nb::bytes& bytes) { return {bytes.c_str(), bytes.size()}; }

nb::bytes to_bytes(std::string_view text) { return nb::bytes(text.data(), text.size()); }

// Runs `work` without the GIL.
template <typename Work>
auto unlocked(Work work) {
  const nb::gil_scoped_release release;
  return work();
}

void check(const nb::bytes& text) {
  unlocked([source = view(text)] { fhicl::parse(fhicl::Prepared(source)); });
}

struct Converted {
  std::string data;
  std::string metadata;
  std::string comments;
};

nb::tuple convert(const nb::bytes& text) {
  const Converted converted = unlocked([source = view(text)] {
    const fhicl::Prepared prepared(source);
    const fhicl::Tree tree = fhicl::parse(prepared);
    const fhicl::Comments comments(source);
    Converted result;
    fhicl::append_data(result.data, tree);
    fhicl::append_metadata(result.metadata, tree, comments);
    fhicl::append_comments(result.comments, comments);
    return result;
  });
  return nb::make_tuple(to_bytes(converted.data), to_bytes(converted.metadata), to_bytes(converted.comments));
}

nb::bytes to_json(const nb::bytes& text, const nb::bytes& name, const nb::bytes& timestamp) {
  const std::string json = unlocked([source = view(text), name = view(name), timestamp = view(timestamp)] {
    const fhicl::Prepared prepared(source);
    const fhicl::Tree tree = fhicl::parse(prepared);
    return fhicl::to_json(tree, fhicl::Comments(source), name, timestamp);
  });
  return to_bytes(json);
}

nb::bytes from_json(const nb::bytes& text) {
  const std::string fcl = unlocked([json = view(text)] { return fhicl::export_fhicl(json); });
  return to_bytes(fcl);
}

nb::tuple to_tuple(const std::vector<std::string>& names) {
  nb::list list;
  for (const std::string& name : names) list.append(to_bytes(name));
  return nb::tuple(list);
}

nb::tuple read_document(const nb::bytes& text) {
  const fhicl::Document document = unlocked([json = view(text)] { return fhicl::read_document(json); });
  return nb::make_tuple(to_bytes(document.exported), to_bytes(document.version), to_tuple(document.configurations),
                        to_tuple(document.entities), to_tuple(document.runs), to_bytes(document.collection),
                        to_bytes(document.oid), to_bytes(document.origin_format));
}

nb::str to_str(std::string_view ascii) { return nb::str(ascii.data(), ascii.size()); }

nb::object to_object(const fhicl::Tree& tree, fhicl::Index index, unsigned depth);

// [(key, value), ...]
nb::list to_pairs(const fhicl::Tree& tree, fhicl::Index first, unsigned depth) {
  nb::list pairs;
  for (fhicl::Index index = first; index != fhicl::kNone; index = tree.nodes[index].next) {
    pairs.append(nb::make_tuple(to_str(tree.nodes[index].key), to_object(tree, index, depth)));
  }
  return pairs;
}

nb::object to_object(const fhicl::Tree& tree, fhicl::Index index, unsigned depth) {
  const fhicl::Node& node = tree.nodes[index];
  if (fhicl::is_container(node.type) && depth == fhicl::kValuesDepthLimit) {
    fhicl::fail("values are nested deeper than " + std::to_string(depth) + " levels");
  }
  if (node.type == fhicl::Type::table) return nb::tuple(to_pairs(tree, node.first, depth + 1));
  if (node.type == fhicl::Type::sequence) {
    nb::list elements;
    for (fhicl::Index child = node.first; child != fhicl::kNone; child = tree.nodes[child].next) {
      elements.append(to_object(tree, child, depth + 1));
    }
    return elements;
  }
  return nb::make_tuple(to_str(fhicl::type_name(node.type)), to_str(node.text));
}

nb::tuple parse_values(const nb::bytes& text) {
  const fhicl::Prepared prepared(view(text));
  const fhicl::Tree tree = unlocked([&] { return fhicl::parse(prepared); });
  return nb::make_tuple(to_pairs(tree, tree.prolog, 0), to_pairs(tree, tree.main, 0));
}

}  // namespace

NB_MODULE(_fhicl, module) {
  static PyObject* parse_error = nullptr;
  parse_error = PyErr_NewException("archiverd._fhicl.ParseError", PyExc_ValueError, nullptr);
  module.attr("ParseError") = nb::borrow(parse_error);
  nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
    try {
      std::rethrow_exception(thrown);
    } catch (const fhicl::Error& error) {
      const nb::tuple details = nb::make_tuple(error.line, error.column, error.message);
      PyErr_SetObject(parse_error, details.ptr());
    }
  });

  module.attr("TEXT_LIMIT") = fhicl::kTextLimit;
  module.attr("DOCUMENT_LIMIT") = fhicl::kDocumentLimit;
  module.attr("DEPTH_LIMIT") = fhicl::kDepthLimit;
  module.attr("VALUES_DEPTH_LIMIT") = fhicl::kValuesDepthLimit;
  module.def("check", &check, nb::arg("text"));
  module.def("convert", &convert, nb::arg("text"));
  module.def("to_json", &to_json, nb::arg("text"), nb::arg("name"), nb::arg("timestamp"));
  module.def("from_json", &from_json, nb::arg("text"));
  module.def("read_document", &read_document, nb::arg("text"));
  module.def("parse_values", &parse_values, nb::arg("text"));
}
