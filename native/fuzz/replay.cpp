// Without libFuzzer: runs the target over the files given, and over mutations of each.
//   fuzz_engine [-n MUTATIONS] [-s SEED] FILE...
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

// A copy of exactly the size, so that a read beyond it is noticed.
void run(const std::string& input) {
  const std::vector<std::uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

class Mutator {
 public:
  Mutator(std::uint64_t seed, const std::vector<std::string>& corpus) : random_(seed), corpus_(corpus) {}

  std::string operator()(std::string text) {
    for (std::size_t edits = 1 + below(4); edits > 0; --edits) edit(text);
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void edit(std::string& text) {
    static constexpr std::string_view kPieces[] = {
        "{",          "}",         "[",        "]",            ":",          ",",          "\"",
        "'",          "\\",        "#",        "//",           "\n",         "\r",         "\r\n",
        "\v",         " ",         "-",        ".5",           "a",          "a: 1",       "a: {}",
        "a.b",        "a[0]",      "\x80",     "@nil",         "@local::a",  "true",       "infinity",
        "1e5",        "0x1F",      "(1, 2)",   "#include ",    "END_PROLOG", "null",       "1.5e3",
        "BEGIN_PROLOG", "@protect_error: ", "@protect_ignore: ", "\"children\" : {", "\"type\" : \"table\""};
    const std::size_t at = below(text.size() + 1);
    switch (below(5)) {
      case 0: text.erase(at, below(8)); break;
      case 1: text.insert(at, kPieces[below(std::size(kPieces))]); break;
      case 2: text.insert(at, 1, static_cast<char>(below(256))); break;
      case 3: text.insert(at, text.substr(below(text.size() + 1), below(40))); break;
      default: {
        const std::string& other = corpus_[below(corpus_.size())];
        text = text.substr(0, at) + other.substr(below(other.size() + 1));
      }
    }
  }

  std::mt19937_64 random_;
  const std::vector<std::string>& corpus_;
};

}  // namespace

int main(int argc, char** argv) {
  std::size_t mutations = 0;
  std::uint64_t seed = 1;
  std::vector<std::string> corpus;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if ((argument == "-n" || argument == "-s") && i + 1 < argc) {
      (argument == "-n" ? mutations : seed) = std::strtoull(argv[++i], nullptr, 10);
      continue;
    }
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::cerr << "cannot read " << argument << '\n';
      return 1;
    }
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  Mutator mutated(seed, corpus);
  for (const std::string& input : corpus) {
    run(input);
    for (std::size_t i = 0; i < mutations; ++i) run(mutated(input));
  }
  std::cout << corpus.size() * (mutations + 1) << " inputs\n";
}
