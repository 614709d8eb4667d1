#include "json_text.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace fhicl {

void append_escaped(std::string& out, std::string_view text) {
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!is(text[i], kJsonEscape)) continue;
    out.append(text, plain, i - plain);
    plain = i + 1;
    out += '\\';
    switch (text[i]) {
      case '\b': out += 'b'; break;
      case '\f': out += 'f'; break;
      case '\n': out += 'n'; break;
      case '\r': out += 'r'; break;
      case '\t': out += 't'; break;
      default: out += text[i];
    }
  }
  out.append(text, plain, std::string_view::npos);
}

void append_unescaped(std::string& out, std::string_view escaped) {
  std::size_t plain = 0;
  for (std::size_t i = escaped.find('\\'); i != std::string_view::npos; i = escaped.find('\\', plain)) {
    out.append(escaped, plain, i - plain);
    plain = i + 2;
    if (i + 1 == escaped.size()) return;
    switch (escaped[i + 1]) {
      case '"':
      case '\\': out += escaped[i + 1]; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      default: break;
    }
  }
  out.append(escaped, plain, std::string_view::npos);
}

void append_double(std::string& out, double value) {
  const double size = std::fabs(value);
  const bool fixed = value == 0 || (size >= 1e-3 && size < 1e5);
  std::array<char, 64> digits{};
  const auto format = fixed ? std::chars_format::fixed : std::chars_format::scientific;
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), value, format, 3).ptr;
  std::string_view mantissa(digits.data(), static_cast<std::size_t>(end - digits.data()));
  std::string_view power;
  if (const std::size_t exponent = mantissa.find('e'); exponent != std::string_view::npos) {
    power = mantissa.substr(exponent + 1);
    mantissa = mantissa.substr(0, exponent);
  }
  while (mantissa.ends_with('0') && !mantissa.ends_with(".0")) mantissa.remove_suffix(1);
  out += mantissa;
  if (power.empty()) return;
  out += 'e';
  out += power.starts_with('+') ? power.substr(1) : power;
}

}  // namespace fhicl
