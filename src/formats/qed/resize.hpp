// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "coro/async_mutex.hpp"
#include "engine/cow_engine.hpp"
#include "formats/qed/header_store.hpp"
#include "formats/qed/tables.hpp"
#include "qed/geometry.hpp"

namespace qed {

/// Changes the size of an open QED image's disk. One change at a time; requests run meanwhile.
class QedResize {
public:
    struct Parts {
        QedTables& tables;
        CowEngine& engine;
        HeaderStore& header;
        FlushGroup& flushes;
    };
    /// \param bytes  the size that requests are checked against
    QedResize(const Parts& parts, const Geometry& geometry, std::atomic<std::uint64_t>& bytes)
        : parts_(parts), geometry_(geometry), bytes_(bytes) {}

    /// \errors invalid_argument for a size that the format does not allow, and if data would be
    ///         lost without `allow_data_loss`; those of writes
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss);

private:
    Task<Result<void>> grow(std::uint64_t bytes);
    Task<Result<void>> shrink(std::uint64_t bytes, bool allow_data_loss);
    Task<Result<void>> check_no_data(std::uint64_t bytes, std::uint64_t end);
    Task<Result<void>> write_size(std::uint64_t bytes);

    const WriteContext& context() const noexcept { return parts_.engine.context(); }

    const Parts parts_;
    const Geometry geometry_;
    std::atomic<std::uint64_t>& bytes_;
    AsyncMutex resizing_;
};

}  // namespace qed
