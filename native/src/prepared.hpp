// FHiCL text made ready for the parser (artdaqdb_format.md section C.2).
#pragma once

#include <string>
#include <string_view>

namespace fhicl {

/// Prefix of the keys of includes.
inline constexpr std::string_view kIncludeKey = "fhicl_pound_include_";

/// The text the grammar sees: includes turned into entries `fhicl_pound_include_<n>: "file"`, every line end one LF, an
/// LF at the very end, no CR. Error positions and the lines of values count in it.
class Prepared {
 public:
  /// Holds views into `source`, which must outlive it. Throws Error for a malformed include, an empty text, or one
  /// beyond kTextLimit.
  explicit Prepared(std::string_view source);
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  std::string_view text() const { return text_; }
  /// Whether every byte is 7-bit.
  bool ascii() const { return ascii_; }

 private:
  std::string storage_;
  std::string_view text_;
  bool ascii_ = true;
};

}  // namespace fhicl
