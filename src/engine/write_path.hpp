// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/write_context.hpp"

namespace qed {

/// Writes guest data: in place where a cluster exists, else into new clusters.
///
/// A write into new clusters holds their range lock. It asks the mapping again, reserves clusters,
/// writes the data with what surrounds it in them, and lets the MetadataWriter name them. A failure
/// before that gives the clusters back; a failure in it leaks them, since the file may name them.
///
/// Thread-safety: any number of requests at once. Cost: the mapping is asked once for each extent
/// written in place, twice for new clusters.
class WritePath {
public:
    explicit WritePath(const WriteContext& context) : context_(context) {}

    /// Writes without a coroutine if memory knows that all of the range can be written in place.
    /// \param seen  set to a mapping that is writable_in_place when the data has been written, else
    ///              to what is known of the first bytes, for write()
    Result<void> try_in_place(GuestOffset at, std::span<const std::byte> data, Mapping& seen);
    /// A write of the guest, once the disk has admitted it.
    /// \param seen  what try_in_place() saw, so that the mapping is not asked again; else {}
    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, Mapping seen) {
        return write_range(at, data, seen, true);
    }
    /// A write of the engine's own, also past the end of the disk, before it grows.
    Task<Result<void>> write_internally(GuestOffset at, std::span<const std::byte> data) {
        return write_range(at, data, {}, false);
    }

private:
    struct Piece;
    Task<Result<void>> write_range(GuestOffset at, std::span<const std::byte> data, Mapping seen,
                                   bool is_request);
    /// Writes a first part of `data` that one mapping update covers, and returns its length.
    Task<Result<std::uint64_t>> write_new_clusters(GuestOffset at, std::span<const std::byte> data);
    Result<Piece> reserve(GuestOffset at, std::span<const std::byte> data, bool from_base);
    /// The data with what surrounds it in its clusters.
    Task<Result<void>> write_filled(Piece& piece);
    Task<Result<void>> write_joined(Piece& piece);
    Task<Result<void>> write_apart(Piece& piece);
    Task<Result<void>> copy(GuestOffset at, std::uint64_t length, FileOffset to, bool from_base);
    /// What the guest sees at `at` while the clusters are not allocated.
    Task<Result<void>> fill(GuestOffset at, std::span<std::byte> buffer, bool from_base);

    const WriteContext& context_;
};

}  // namespace qed
