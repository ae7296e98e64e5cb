// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace qed::sim {

/// What a guest, or the program around the image, can do.
enum class Step : std::uint8_t {
    read,
    write,
    write_fua,
    store_zeroes,  ///< a write whose data happens to be zeroes
    write_zeroes,
    write_zeroes_unmap,
    discard,
    flush,
    resize,  ///< to `length` bytes
    settle,
    prefetch,
    reopen,  ///< close and open
    kill,    ///< the process dies, the power stays: open again
    repair,  ///< close, check and repair everything, open
    repair_leaks,
    compact,         ///< give up clusters of zeroes, close, repair leaks, open
    rename_backing,  ///< the base is called something else from now on; it stays what it is
};

struct Operation {
    Step step = Step::flush;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// Whether no request may be in flight meanwhile.
constexpr bool needs_quiet(Step step) {
    return step >= Step::reopen;
}
constexpr bool has_range(Step step) {
    return step <= Step::discard || step == Step::prefetch;
}

std::string to_string(const Operation& operation);

}  // namespace qed::sim
