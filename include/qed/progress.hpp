// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"

namespace qed {

/// Tells the caller of an operation how much of the work is done, and lets the caller stop it. The
/// operation calls back on one thread at a time, but not always on the same thread.
struct Progress {
    /// Gets the work done and the total work, in bytes unless the operation says otherwise.
    /// Returns false to stop the operation.
    bool (*callback)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* context = nullptr;

    /// For operations: calls back where there is a callback.
    /// \param left_behind  what the caller finds after a stop, for the message
    /// \errors cancelled   the callback returned false
    QED_API Result<void> report(std::uint64_t done, std::uint64_t total,
                                std::string_view left_behind = {}) const;
};
static_assert(std::is_trivially_destructible_v<Progress>);

}  // namespace qed
