// Limits of the engine. Beyond one it throws an ordinary error; it never crashes.
#pragma once

#include <cstddef>

namespace fhicl {

/// Bytes of one FHiCL text.
inline constexpr std::size_t kTextLimit = std::size_t{64} << 20;

/// Bytes of one JSON document or exported text, read or written. A document is four to nine times its FHiCL, but a
/// comment is repeated for every value on its line, so that the output is not bounded by the input alone.
inline constexpr std::size_t kDocumentLimit = std::size_t{256} << 20;

/// Values of one text; more could not be stored, because the smallest descriptor has some 60 bytes.
inline constexpr std::size_t kValueLimit = kDocumentLimit / 64;

/// Values of one JSON document: artdaqDB's own have more than 12 bytes for each.
inline constexpr std::size_t kJsonValueLimit = kDocumentLimit / 10;

/// Depth of nested tables and sequences.
inline constexpr unsigned kDepthLimit = 1000;

/// The same for values as Python objects, which Python compares and prints with at most 1000 levels of recursion.
inline constexpr unsigned kValuesDepthLimit = 200;

/// Depth of nested objects and arrays: each FHiCL level is two of them in "metadata".
inline constexpr unsigned kJsonDepthLimit = 2 * kDepthLimit + 16;

}  // namespace fhicl
