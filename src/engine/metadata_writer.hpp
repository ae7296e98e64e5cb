// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/task.hpp"
#include "qed/units.hpp"

namespace qed {

/// A new mapping for consecutive guest clusters.
struct MappingUpdate {
    enum class State : std::uint8_t {
        unallocated,
        zero,
        data,  ///< consecutive clusters of the image file, starting at `storage`
    };
    GuestOffset at{};  ///< start of the first cluster
    std::uint64_t clusters = 0;
    State state = State::unallocated;
    FileOffset storage{};
    /// The content of the clusters must be durable before the mapping names them.
    bool after_flush = false;
};

/// Writes changes of the mapping to the image's metadata, and publishes them to readers afterwards.
/// The order of the writes keeps the file consistent after a power cut at any moment.
///
/// Thread-safety: any number of requests may commit at once. The caller holds the range lock of
/// the clusters that it updates.
class MetadataWriter {
public:
    /// An update must not cross a multiple of this many guest bytes.
    virtual std::uint64_t update_span() const noexcept = 0;
    /// Writes and publishes the update; `update` lives until the task has ended. After a failure no
    /// update was published, but the file may hold the old or the new mapping: the caller must not
    /// use the clusters that the update names again.
    virtual Task<Result<void>> commit(const MappingUpdate& update) = 0;
    /// Everything that was committed before is durable when it succeeds. What the updates have
    /// released is then free as soon as the requests in flight have ended.
    virtual Task<Result<void>> flush() = 0;

protected:
    ~MetadataWriter() = default;
};

}  // namespace qed
