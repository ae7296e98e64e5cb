// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <new>

#include "qed/error.hpp"

namespace qed {

/// Runs `work`, which returns a Result, and converts a failed allocation into an error, so that no
/// exception leaves libqed. (Coroutines do the same in their promise.)
template <class Work>
auto without_throwing(Work work) noexcept -> decltype(work()) {
    try {
        return work();
    } catch (const std::bad_alloc&) {
        return std::unexpected(Error::out_of_memory());
    }
}

}  // namespace qed
