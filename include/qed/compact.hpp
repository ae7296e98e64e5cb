// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

struct CompactOptions {
    LockMode lock = LockMode::normal;  ///< normal or none
    /// Called now and then with done and total bytes; returns false to stop.
    bool (*progress)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* progress_context = nullptr;
};
static_assert(std::is_trivially_destructible_v<CompactOptions>);

struct CompactReport {
    std::uint64_t file_bytes_before = 0;  ///< length of the image file
    std::uint64_t file_bytes_after = 0;
    std::uint64_t zero_clusters = 0;    ///< held nothing but zeroes and were given up
    std::uint64_t leaks_reclaimed = 0;  ///< clusters, those of `zero_clusters` included
};

/// The first half of compact(), for an image that is open for writing: its clusters that hold
/// nothing but zeroes become zero clusters, or unallocated ones where there is no backing file.
/// Returns how many. Once the image is closed, check_file() with Repair::leaks is the other half.
/// \errors io_error, no_space, write_stopped, corrupt_metadata, cancelled ...
/// \cost   reads all data of the image once
Result<std::uint64_t> give_up_zero_clusters(Image& image, const CompactOptions& options = {});

/// Makes the file of the image at `path` as small as its data, in place: clusters that hold only
/// zeroes become zero clusters, the last clusters of the file move down into the free ones, and
/// the file is cut. The guest sees the same bytes as before.
///
/// The image must not be in use. May be interrupted at any moment, also by a power cut: every step
/// is ordered like a guest's write, and running it again goes on where it stopped.
/// \errors needs_check (repair first), locked, read_only, io_error, no_space, cancelled ...
/// \cost   reads all data of the image once; copies at most what the file shrinks by
Result<CompactReport> compact(const std::string& path, const CompactOptions& options);

}  // namespace qed
