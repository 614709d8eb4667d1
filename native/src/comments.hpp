// Comments and where they belong (artdaqdb_format.md section C.5).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fhicl {

struct Comment {
  std::uint32_t line;
  std::string_view text;  // JSON-escaped
  /// Whether it can be the `comment` of a value on the next line: it begins with # and holds no `#include `.
  bool may_stand_above;
};

/// The comments of an unprepared text, by line; at most one a line.
class Comments {
 public:
  explicit Comments(std::string_view source);
  Comments(const Comments&) = delete;
  Comments& operator=(const Comments&) = delete;

  const std::vector<Comment>& all() const { return comments_; }

  /// The escaped `annotation` of a value at `line`, and its escaped `comment`; empty if there is none.
  std::string_view annotation(std::uint32_t line) const;
  std::string_view comment(std::uint32_t line) const;

 private:
  const Comment* at(std::uint32_t line) const;

  std::string escaped_;
  std::vector<Comment> comments_;
};

}  // namespace fhicl
