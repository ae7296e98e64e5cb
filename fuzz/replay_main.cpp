// SPDX-License-Identifier: Apache-2.0
// Replaces libFuzzer: runs a fuzz target on every file below the named folders, and on a fixed
// series of mutations of each.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned seed)
    __attribute__((weak));

namespace {

constexpr unsigned kMutations = 40;
constexpr std::size_t kMaxBytes = 64U << 10;

// Every eighth mutation starts with the input; the others continue with the previous mutation.
std::size_t run_mutations(const std::vector<std::uint8_t>& input) {
    if (LLVMFuzzerCustomMutator == nullptr || input.size() > kMaxBytes) return 0;
    std::vector<std::uint8_t> bytes;
    for (unsigned seed = 0; seed < kMutations; ++seed) {
        if (seed % 8 == 0) bytes = input;
        const std::size_t size = bytes.size();
        bytes.resize(kMaxBytes);
        bytes.resize(LLVMFuzzerCustomMutator(bytes.data(), size, kMaxBytes, seed));
        LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    }
    return kMutations;
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t count = 0;
    std::size_t mutations = 0;
    for (int i = 1; i < argc; ++i) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
            if (!entry.is_regular_file()) continue;
            std::ifstream file(entry.path(), std::ios::binary);
            const std::vector<std::uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
            std::printf("%s\n", entry.path().c_str());
            std::fflush(stdout);  // so that the last line before a crash names its input
            LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
            mutations += run_mutations(bytes);
            ++count;
        }
    }
    std::printf("%zu inputs and %zu mutations of them replayed\n", count, mutations);
    return count > 0 ? 0 : 1;
}
