// Character classes of the grammar (artdaqdb_format.md section C.3), as one table look-up each.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace fhicl {

enum : std::uint16_t {
  kSpace = 1 << 0,     // space, TAB, LF, VT, FF, CR
  kDigit = 1 << 1,     // 0-9
  kWord = 1 << 2,      // A-Z a-z 0-9 _
  kBare = 1 << 3,      // kWord and : . @
  kDecimal = 1 << 4,   // 0-9 . - + e E
  kHex = 1 << 5,       // 0-9 A-F a-f
  kEnd1 = 1 << 6,      // E1: not graphic, or # / , ] }
  kEnd2 = 1 << 7,      // E2: E1 or )
  kEnd3 = 1 << 8,      // E3: E1 or . [ :
  kEnd4 = 1 << 9,      // E4: not graphic, or , ] }
  kText = 1 << 10,     // what a string may hold: printable ASCII, LF, TAB
  kEscape = 1 << 11,   // what may follow a backslash in a double-quoted string
  kJsonEscape = 1 << 12,  // what JSON text needs a backslash for: " \ BS FF LF CR TAB
};

constexpr std::array<std::uint16_t, 256> make_classes() {
  std::array<std::uint16_t, 256> classes{};
  const auto in = [](std::string_view set, char c) { return set.find(c) != std::string_view::npos; };
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool ascii = byte < 128;
    const bool graphic = byte > 0x20 && byte < 0x7f;
    const bool digit = c >= '0' && c <= '9';
    const bool word = digit || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
    const bool end1 = !graphic || in("#/,]}", c);
    unsigned bits = 0;
    if (c == ' ' || (c >= '\t' && c <= '\r')) bits |= kSpace;
    if (digit) bits |= kDigit;
    if (word) bits |= kWord;
    if (word || in(":.@", c)) bits |= kBare;
    if (digit || in(".-+eE", c)) bits |= kDecimal;
    if (digit || (ascii && in("abcdefABCDEF", c))) bits |= kHex;
    if (end1) bits |= kEnd1;
    if (end1 || c == ')') bits |= kEnd2;
    if (end1 || in(".[:", c)) bits |= kEnd3;
    if (!graphic || in(",]}", c)) bits |= kEnd4;
    if (graphic || c == ' ' || c == '\n' || c == '\t') bits |= kText;
    if (in("\"'\\nt", c)) bits |= kEscape;
    if (in("\"\\\b\f\n\r\t", c)) bits |= kJsonEscape;
    classes[byte] = static_cast<std::uint16_t>(bits);
  }
  return classes;
}

inline constexpr std::array<std::uint16_t, 256> kClasses = make_classes();

/// Whether `c` belongs to any of the classes in `mask`.
constexpr bool is(char c, unsigned mask) { return (kClasses[static_cast<unsigned char>(c)] & mask) != 0; }

constexpr bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

}  // namespace fhicl
