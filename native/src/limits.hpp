// What the engine takes at most. Beyond a limit there is an ordinary error, never a crash.
#pragma once

#include <cstddef>

namespace fhicl {

/// Bytes of one FHiCL text.
inline constexpr std::size_t kTextLimit = std::size_t{64} << 20;

/// Bytes of one JSON document or exported text, read or written. A document is four to nine times its FHiCL, but a
/// comment is repeated for every value on its line, so that the output is not bounded by the input alone.
inline constexpr std::size_t kDocumentLimit = std::size_t{256} << 20;

/// Values of one text: no more could be stored, since the smallest descriptor has some 60 bytes.
inline constexpr std::size_t kValueLimit = kDocumentLimit / 64;

/// Values of one JSON document: artdaqDB's own have more than 12 bytes for each.
inline constexpr std::size_t kJsonValueLimit = kDocumentLimit / 10;

/// Tables and sequences inside each other.
inline constexpr unsigned kDepthLimit = 1000;

/// The same for values as Python objects: Python compares and prints them by recursion, of which it takes 1000 levels.
inline constexpr unsigned kValuesDepthLimit = 200;

/// Objects and arrays inside each other: each FHiCL level is two of them in "metadata".
inline constexpr unsigned kJsonDepthLimit = 2 * kDepthLimit + 16;

}  // namespace fhicl
