// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace qed::sim {

/// The operations of a guest and of the program that uses the image.
enum class Step : std::uint8_t {
    read,
    write,
    write_fua,
    store_zeroes,  ///< a write of zero bytes
    write_zeroes,
    write_zeroes_unmap,
    discard,
    flush,
    resize,  ///< to `length` bytes
    quiesce,
    prefetch,
    sort_step,     ///< several of them, each for a window of `length` bytes
    compact_step,  ///< several of them, of `length` bytes each
    reopen,        ///< close and open
    kill,          ///< kill the process, keep the power, and open again
    repair,        ///< close, check and repair everything, open
    repair_leaks,
    shrink,          ///< compact steps until there is nothing left to do, then quiesce
    compact,         ///< free clusters of zeroes, close, repair leaks, open
    rename_backing,  ///< store another name for the same base
    detach_backing,  ///< copy what the base shows, and name no backing file any more
};

struct Operation {
    Step step = Step::flush;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// Whether `step` requires that no other request is in flight.
constexpr bool needs_quiet(Step step) {
    return step >= Step::reopen;
}
constexpr bool has_range(Step step) {
    return step <= Step::discard || step == Step::prefetch;
}

std::string to_string(const Operation& operation);

}  // namespace qed::sim
