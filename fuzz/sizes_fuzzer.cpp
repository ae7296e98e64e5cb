// SPDX-License-Identifier: Apache-2.0
// Any text as a size or a number on the command line.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "cli/terminal/sizes.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qed::cli;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto bytes = parse_size(text, "--size")) {
        if (*bytes >= kMaxSize) __builtin_trap();
        const auto again = parse_size(std::to_string(*bytes), "--size");
        if (!again || *again != *bytes) __builtin_trap();
        if (human_size(*bytes).empty()) __builtin_trap();
    } else if (bytes.error().message().find("--size") == std::string::npos) {
        __builtin_trap();  // an error without the position
    }
    const auto number = parse_number(text, "-m", 1, 16);
    if (number && (*number < 1 || *number > 16)) __builtin_trap();
    return 0;
}
