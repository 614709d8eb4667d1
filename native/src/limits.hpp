// Limits of the engine. Beyond one it throws an ordinary error; it never crashes.
#pragma once

#include <algorithm>
#include <cstddef>

namespace fhicl {

/// Bytes of one FHiCL text.
inline constexpr std::size_t kTextLimit = std::size_t{64} << 20;

/// Bytes of one JSON document or exported text, read or written. A document is four to nine times its FHiCL, but a
/// comment is repeated for every value on its line, so that the output is not bounded by the input alone.
inline constexpr std::size_t kDocumentLimit = std::size_t{256} << 20;

/// Values of a text of so many bytes. A value takes up to 640 bytes while a text is stored, read and compared, most of
/// them in its descriptor, whether its text has one byte or a hundred: so many keep that within 1 GiB, or within forty
/// times a text that is longer. More than four million could not be stored: the smallest descriptor has some 60 bytes.
constexpr std::size_t value_limit(std::size_t bytes) {
  constexpr std::size_t kAlways = 1'500'000;
  return std::min(std::max(kAlways, bytes / 16), kDocumentLimit / 64);
}

/// Values of one JSON document: artdaqDB's own have more than 12 bytes for each.
inline constexpr std::size_t kJsonValueLimit = kDocumentLimit / 10;

/// Depth of nested tables and sequences.
inline constexpr unsigned kDepthLimit = 1000;

/// The same for values as Python objects, which Python compares and prints with at most 1000 levels of recursion.
inline constexpr unsigned kValuesDepthLimit = 200;

/// Depth of nested objects and arrays: each FHiCL level is two of them in "metadata".
inline constexpr unsigned kJsonDepthLimit = 2 * kDepthLimit + 16;

}  // namespace fhicl
