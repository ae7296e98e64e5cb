// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cache/level_one.hpp"
#include "cache/slice_encoder.hpp"
#include "cache/slice_store.hpp"

namespace qed {

/// Changes the cache after the file has changed. Memory is never ahead of the file: the caller is
/// the only writer of the image's tables, and calls after its write. Takes the budget's lock
/// itself.
class SliceWriter {
public:
    SliceWriter(MemoryBudget& budget, LevelOne& level_one, SliceDirectory& directory,
                SliceStore& store) noexcept;
    /// False: the system had no memory.
    bool is_valid() const noexcept { return updater_ != nullptr; }

    bool publish(const SliceRef& pin, std::uint32_t first, std::span<const Entry> entries) noexcept;
    void drop(std::uint64_t slice) noexcept;
    void install_table(std::uint64_t slice, Entry table) noexcept;
    void set_l1(std::uint64_t index, Entry table) noexcept;

private:
    void drop_slice(DirectoryBlock& block, std::uint32_t index) noexcept QED_REQUIRES(budget_lock);
    void drop_table(std::uint64_t index) noexcept;

    MemoryBudget& budget_;
    LevelOne& level_one_;
    SliceDirectory& directory_;
    SliceStore& store_;
    const std::unique_ptr<SliceUpdater> updater_;
};

}  // namespace qed
