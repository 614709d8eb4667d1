#include "comments.hpp"

#include <algorithm>

#include "characters.hpp"
#include "json_text.hpp"

namespace fhicl {
namespace {

// One pass over the text, as in artdaqDB's own scan. It ignores backslashes before quotes and the grammar: after an
// empty string, or an odd number of quotes, # and // inside strings count as comments.
class Scan {
 public:
  explicit Scan(std::string_view source) : begin_(source.data()), at_(begin_), end_(begin_ + source.size()) {}

  // Passes the next comment and its line end. The scan ends at the first thing not expected.
  bool next(std::uint32_t& line, std::string_view& text);

 private:
  bool at_comment() const { return *at_ == '#' || (*at_ == '/' && at_ + 1 != end_ && at_[1] == '/'); }
  bool at_quote() const { return *at_ == '"' || *at_ == '\''; }
  bool at_line_end() const { return *at_ == '\n' || *at_ == '\r'; }
  void skip_plain();
  bool pass_quoted();
  void count_lines();

  const char* begin_;
  const char* at_;
  const char* end_;
  const char* counted_ = begin_;  // line ends are counted up to here
  std::uint32_t line_ = 1;
  bool ended_ = false;
};

void Scan::skip_plain() {
  while (at_ != end_ && is_ascii(*at_) && !at_comment() && !at_quote()) ++at_;
}

bool Scan::pass_quoted() {
  const char* const close = std::find_if(at_ + 1, end_, [&](char c) { return c == *at_ || !is_ascii(c); });
  if (close == end_ || *close != *at_ || close == at_ + 1) return false;
  at_ = close + 1;
  return true;
}

// Counts an LF not after a CR, and a CR not after an LF: CR LF counts once, but so does CR LF CR LF.
void Scan::count_lines() {
  for (; counted_ != at_; ++counted_) {
    const char before = counted_ == begin_ ? '\0' : counted_[-1];
    if ((*counted_ == '\n' && before != '\r') || (*counted_ == '\r' && before != '\n')) ++line_;
  }
}

bool Scan::next(std::uint32_t& line, std::string_view& text) {
  if (ended_) return false;
  skip_plain();
  while (at_ != end_ && at_quote() && pass_quoted()) skip_plain();
  while (at_ != end_ && is_ascii(*at_) && !at_comment()) ++at_;
  if (at_ == end_ || !is_ascii(*at_)) return false;

  count_lines();
  line = line_;
  const char* const comment = at_;
  while (at_ != end_ && is_ascii(*at_) && !at_line_end()) ++at_;
  text = {comment, static_cast<std::size_t>(at_ - comment)};

  ended_ = at_ == end_ || !at_line_end();
  if (!ended_) at_ += *at_ == '\r' && at_ + 1 != end_ && at_[1] == '\n' ? 2 : 1;
  return true;
}

}  // namespace

Comments::Comments(std::string_view source) {
  // Two passes: the views below need a buffer that does not move.
  std::uint32_t line = 0;
  std::string_view text;
  std::vector<std::size_t> lengths;
  for (Scan scan(source); scan.next(line, text);) {
    const std::size_t before = escaped_.size();
    append_escaped(escaped_, text);
    lengths.push_back(escaped_.size() - before);
    const bool may_stand_above = text[0] == '#' && text.find("#include ") == std::string_view::npos;
    comments_.push_back({line, {}, may_stand_above});
  }
  std::size_t begin = 0;
  for (std::size_t i = 0; i < comments_.size(); ++i) {
    comments_[i].text = std::string_view(escaped_).substr(begin, lengths[i]);
    begin += lengths[i];
  }
}

const Comment* Comments::at(std::uint32_t line) const {
  const auto before = [](const Comment& comment, std::uint32_t wanted) { return comment.line < wanted; };
  const auto found = std::lower_bound(comments_.begin(), comments_.end(), line, before);
  return found != comments_.end() && found->line == line ? &*found : nullptr;
}

std::string_view Comments::annotation(std::uint32_t line) const {
  const Comment* const comment = at(line);
  return comment == nullptr ? std::string_view{} : comment->text;
}

std::string_view Comments::comment(std::uint32_t line) const {
  const Comment* const comment = at(line - 1);
  return comment == nullptr || !comment->may_stand_above ? std::string_view{} : comment->text;
}

}  // namespace fhicl
