// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/write_context.hpp"

namespace qed {

/// Writes guest data: in place if a cluster is allocated, otherwise into new clusters.
///
/// A write into new clusters holds their range lock. It looks up the mapping again, reserves
/// clusters, writes the data and the bytes that surround it in these clusters, and calls the
/// MetadataWriter to name them. A failure before that call returns the clusters to the allocator. A
/// failure of the call leaks them, because the file may name them.
///
/// Thread-safety: any number of requests at once. Cost: one lookup for each extent that is written
/// in place, two for new clusters.
class WritePath {
public:
    explicit WritePath(const WriteContext& context) : context_(context) {}

    /// Writes without a coroutine if memory knows that the whole range can be written in place.
    /// \param seen  a mapping that is writable_in_place if the data has been written; otherwise the
    ///         mapping of the first bytes as far as it is known, to be passed to write()
    Result<void> try_in_place(GuestOffset at, std::span<const std::byte> data, Mapping& seen);
    /// A write of the guest that the disk has admitted.
    /// \param seen  the mapping from try_in_place(), so that it is not looked up again; or {}
    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, Mapping seen) {
        return write_range(at, data, seen, true);
    }
    /// A write by the engine itself. It may be past the end of the disk, before the disk grows.
    Task<Result<void>> write_internally(GuestOffset at, std::span<const std::byte> data) {
        return write_range(at, data, {}, false);
    }

private:
    struct Piece;
    Task<Result<void>> write_range(GuestOffset at, std::span<const std::byte> data, Mapping seen,
                                   bool is_request);
    /// Writes a first part of `data` that one mapping update covers, and returns its length.
    Task<Result<std::uint64_t>> write_new_clusters(GuestOffset at, std::span<const std::byte> data,
                                                   Prefer prefer);
    /// Free space waits for a flush.
    bool wants_flush() const noexcept;
    /// The data with the bytes that surround it in its clusters.
    Task<Result<void>> write_filled(const Piece& piece);
    Task<Result<void>> write_joined(const Piece& piece);
    Task<Result<void>> write_apart(const Piece& piece);
    Task<Result<void>> copy(GuestOffset at, std::uint64_t length, FileOffset to, bool from_base);
    /// The bytes that the guest sees at `at` while the clusters are not allocated.
    Task<Result<void>> fill(GuestOffset at, std::span<std::byte> buffer, bool from_base);

    const WriteContext& context_;
};

}  // namespace qed
