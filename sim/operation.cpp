// SPDX-License-Identifier: Apache-2.0
#include "sim/operation.hpp"

#include <array>

#include <fmt/format.h>

namespace qed::sim {

std::string to_string(const Operation& operation) {
    static constexpr std::array kNames{"read",
                                       "write",
                                       "FUA write",
                                       "store zeroes",
                                       "write zeroes",
                                       "write zeroes and unmap",
                                       "discard",
                                       "flush",
                                       "resize",
                                       "quiesce",
                                       "prefetch",
                                       "sort steps",
                                       "compact steps",
                                       "reopen",
                                       "kill",
                                       "repair",
                                       "repair leaks",
                                       "shrink",
                                       "compact",
                                       "rename the backing file",
                                       "detach the backing file"};
    const char* name = kNames.at(static_cast<std::size_t>(operation.step));
    if (operation.step == Step::resize) return fmt::format("{} to {:#x}", name, operation.length);
    if (operation.step == Step::compact_step || operation.step == Step::sort_step)
        return fmt::format("{} of {:#x}", name, operation.length);
    if (!has_range(operation.step)) return name;
    return fmt::format("{} {:#x}+{:#x}", name, operation.offset, operation.length);
}

}  // namespace qed::sim
