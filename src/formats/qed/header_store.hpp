// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string_view>

#include "base/mutex.hpp"
#include "engine/dirty_marker.hpp"
#include "engine/flush_group.hpp"
#include "qed/block_file.hpp"
#include "qed/header.hpp"
#include "qed/task.hpp"

namespace qed {

/// The header of an open image. Keeps memory equal to the file, and the order in which the header
/// may change. It writes the name of the backing file, but does not keep it: the layer does.
///
/// Thread-safety: the holder of the committer's table lock makes changes. Every other member may be
/// called from any thread at any time.
class HeaderStore final : public DirtyMarker {
public:
    HeaderStore(BlockFile& file, FlushGroup& flushes, const Header& header);

    Header header() const;
    bool has_backing() const noexcept { return has_backing_.load(std::memory_order_relaxed); }

    /// Whether NEED_CHECK is set durably.
    bool is_dirty() const noexcept override { return dirty_.load(std::memory_order_acquire); }
    Task<Result<void>> set_dirty() override;
    Task<Result<void>> clear_dirty() override;

    /// Writes `changed` to the file, and uses it as the header afterwards.
    Task<Result<void>> replace(Header changed);
    /// Makes another backing file name durable, or none if it is empty.
    /// \errors invalid_argument when it is too long
    Task<Result<void>> replace_backing(std::string_view name, bool is_raw);

private:
    void adopt(const Header& header) noexcept;
    Task<Result<void>> write_name(std::string_view name, Header& changed);

    BlockFile& file_;
    FlushGroup& flushes_;
    mutable Mutex mutex_;
    Header header_ QED_GUARDED_BY(mutex_);
    std::atomic<bool> has_backing_{false};
    std::atomic<bool> dirty_{false};
};

}  // namespace qed
