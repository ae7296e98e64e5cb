// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

struct RebaseOptions {
    bool dry_run = false;  ///< only count what would be written
    /// Called regularly with the done and the total bytes; returns false to stop.
    bool (*progress)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* progress_context = nullptr;
};
static_assert(std::is_trivially_destructible_v<RebaseOptions>);

struct RebaseReport {
    std::uint64_t written_bytes = 0;  ///< old content that the new backing file does not have
    std::uint64_t zeroed_bytes = 0;   ///< old zeroes where the new backing file has data
    std::uint64_t needed_bytes = 0;   ///< growth of the overlay's file, including tables
};

/// Copies into `overlay` all content in which `new_backing` (null: no backing file, zeroes) differs
/// from its current backing file, so that the guest sees the same bytes over either file. Does not
/// change the overlay's header: the caller then calls flush() and set_backing_name(). Until then
/// both backing files are valid.
///
/// \pre `overlay` is writable and its current chain is open
/// \errors cancelled, no_space, and those of reading and writing
/// \cost   reads the ranges that either backing file stores and the overlay does not. Does not read
///         ranges that both take from the same place of the same file
QED_API Result<RebaseReport> prepare_rebase(Image& overlay, Image* new_backing,
                                            const RebaseOptions& options);

}  // namespace qed
