// SPDX-License-Identifier: Apache-2.0
// Any bytes as an image: check ends, and after a repair of everything it finds nothing.

#include <cstddef>
#include <cstdint>
#include <span>

#include "image_mutator.hpp"
#include "input_file.hpp"
#include "qed/check.hpp"
#include "qed/task.hpp"

std::size_t qed::fuzz::image_at() noexcept {
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace qed;
    const auto file = fuzz::file_of(std::span(data, size));

    const CheckOptions look;
    (void)sync_wait(check_file(*file, look));

    CheckOptions mend;
    mend.repair = Repair::all;
    const auto repaired = sync_wait(check_file(*file, mend));
    if (!repaired) return 0;  // an unusable header, or no space left for copies
    if (repaired->check_errors > 0 || repaired->corruptions > 0) return 0;

    const auto again = sync_wait(check_file(*file, look));
    if (!again || again->corruptions > 0 || again->leaks > 0) __builtin_trap();
    return 0;
}
