// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed {

struct RebaseOptions {
    bool dry_run = false;  ///< only count what would be written
    Progress progress;     ///< in bytes
    // The rest is used by rebase() only.
    BackingFormat format = BackingFormat::qed;  ///< of the new backing file
    /// Copy nothing: the caller knows that the contents match. The current chain is not opened, and
    /// neither backing file has to exist.
    bool change_name_only = false;
    bool direct = false;               ///< O_DIRECT for the image
    bool sync = false;                 ///< its writes are durable one by one
    bool ignore_flush = false;         ///< it is not flushed: a power cut may then lose content
    bool direct_backing = false;       ///< O_DIRECT for the new backing file
    LockMode lock = LockMode::normal;  ///< normal or none
    BackingPolicy backing{};  ///< for both chains. The current one may have more layers than
                              ///< `depth_limit`, up to kMaxBackingDepth
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

/// Gives the image at `path` another backing file, while its guest sees the same bytes: copies all
/// content in which the new chain differs, flushes, then changes the header.
///
/// \param new_backing  as the header will have it: relative to the image's folder. Null: none
/// No process may use the image. Blocks.
/// After a crash the image is over the old backing file or over the new one, and has the content
/// that it needs for both. The rebase can be run again.
/// \errors invalid_argument (the new chain would lead back to the image), backing_refused (more
///         than `backing.depth_limit` backing files, or a file that the policy refuses),
///         needs_check (the new backing file was not closed cleanly), no_space (found before the
///         first write, where it can be), locked, cancelled, not_qed, and those of reading and
///         writing
/// \cost   of prepare_rebase(); with `change_name_only` the write of one sector
QED_API Result<RebaseReport> rebase(const std::string& path, const char* new_backing,
                                    const RebaseOptions& options);

}  // namespace qed
