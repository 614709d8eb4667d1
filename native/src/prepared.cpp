#include "prepared.hpp"

#include <algorithm>
#include <utility>

#include "characters.hpp"
#include "error.hpp"
#include "limits.hpp"

namespace fhicl {
namespace {

constexpr std::string_view kInclude = "#include";

// Every `#include`, one white-space character and the text up to the next quote becomes an entry's key, anywhere in the
// text. artdaqDB continues its search in the replaced text at the end position of the old match: if the key is shorter
// than what it replaces, that much of the following text is not searched, and if no text is left artdaqDB crashes.
std::string includes_as_entries(std::string_view source) {
  std::string text;
  text.reserve(source.size() + 1024);
  std::size_t copied = 0;
  std::size_t search = 0;
  unsigned count = 0;
  for (;;) {
    const std::size_t at = source.find(kInclude, search);
    const std::size_t after = at + kInclude.size();
    if (at == std::string_view::npos || after >= source.size()) break;
    if (!is(source[after], kSpace)) {
      search = after;
      continue;
    }
    const std::size_t quote = std::min(source.find_first_of("'\"", after + 1), source.size());
    const std::string key = std::string(kIncludeKey) + std::to_string(count++) + ":";
    text.append(source, copied, at - copied).append(key);
    copied = quote;
    const std::size_t replaced = quote - at;
    search = quote + (replaced > key.size() ? replaced - key.size() : 0);
    if (search > source.size()) {
      fail_at(source, source.data() + at, "#include without a quoted file name: the rest of the text belongs to it");
    }
  }
  return text.append(source, copied, std::string_view::npos);
}

// CR LF, and a CR at the very end, count as one line end; any other CR is one by itself.
void lines_end_in_lf(std::string& text) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dropped = text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n';
    if (!dropped) text[kept++] = text[i] == '\r' ? '\n' : text[i];
  }
  text.resize(kept);
}

void reject_include_lines(std::string_view text) {
  for (std::size_t at = text.find(kInclude); at != std::string_view::npos; at = text.find(kInclude, at + 1)) {
    if (at == 0 || text[at - 1] == '\n') {
      fail_at(text, text.data() + at,
              "malformed #include directive: '" + excerpt(text.substr(at, text.find('\n', at) - at)) +
                  "'; it must read #include \"file\"");
    }
  }
}

}  // namespace

Prepared::Prepared(std::string_view source) : text_(source) {
  if (source.empty()) fail("the text is empty");
  if (source.size() > kTextLimit) {
    fail("the text has " + std::to_string(source.size()) + " bytes, more than the " + std::to_string(kTextLimit) +
         " that are taken");
  }
  const bool includes = source.find(kInclude) != std::string_view::npos;
  const bool carriage_returns = source.find('\r') != std::string_view::npos;
  if (includes || carriage_returns || source.back() != '\n') {
    storage_ = includes ? includes_as_entries(source) : std::string(source);
    if (carriage_returns) lines_end_in_lf(storage_);
    if (storage_.back() != '\n') storage_ += '\n';
    text_ = storage_;
  }
  if (includes) reject_include_lines(text_);
  unsigned char bits = 0;
  for (const char c : text_) bits |= static_cast<unsigned char>(c);
  ascii_ = bits < 0x80;
}

}  // namespace fhicl
