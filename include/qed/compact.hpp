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

struct CompactOptions {
    LockMode lock = LockMode::normal;  ///< normal or none
    bool sort = false;                 ///< first puts the data into the order of the disk
    /// Called regularly with the done and the total bytes; returns false to stop.
    Progress progress;
};
static_assert(std::is_trivially_destructible_v<CompactOptions>);

struct CompactReport {
    std::uint64_t file_bytes_before = 0;  ///< length of the image file
    std::uint64_t file_bytes_after = 0;
    std::uint64_t zero_clusters = 0;    ///< clusters that held only zeroes and were freed
    std::uint64_t leaks_reclaimed = 0;  ///< free and leaked clusters, including `zero_clusters`
    std::uint64_t sorted_bytes = 0;     ///< moved by `sort`
};

/// The first half of compact(), for an image that is open for writing: turns its clusters that hold
/// only zeroes into zero clusters, or into unallocated clusters if there is no backing file.
/// Returns their number. The other half is check_file() with Repair::leaks on the closed image.
/// \errors io_error, no_space, write_stopped, corrupt_metadata, cancelled ...
/// \cost   reads all data of the image once
QED_API Result<std::uint64_t> give_up_zero_clusters(Image& image,
                                                    const CompactOptions& options = {});

/// Shrinks the file of the image at `path` in place to the size of its data: turns clusters that
/// hold only zeroes into zero clusters, moves the last clusters of the file into free ones, and
/// truncates the file. The guest sees the same bytes as before.
///
/// The image must not be in use. An interruption at any moment, even a power cut, does no harm:
/// every step is ordered like a guest's write, and a second run continues where the first stopped.
/// \errors needs_check (repair first), locked, read_only, io_error, no_space, cancelled ...
/// \cost   reads all data of the image once; copies at most as many bytes as the file shrinks by.
///         With `sort`, at most twice the data is copied besides
QED_API Result<CompactReport> compact(const std::string& path, const CompactOptions& options);

}  // namespace qed
