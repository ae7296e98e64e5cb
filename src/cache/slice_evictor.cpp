// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_evictor.hpp"

#include <algorithm>

namespace qed {
namespace {

// Decrements the use count and returns the old value. Readers may increment it meanwhile: it is
// only a hint.
unsigned take_use(std::atomic<std::uint8_t>& uses) {
    const std::uint8_t value = uses.load(std::memory_order_relaxed);
    if (value != 0) uses.store(static_cast<std::uint8_t>(value - 1), std::memory_order_relaxed);
    return value;
}

}  // namespace

bool SliceEvictor::may_evict(const BudgetEntry& entry) const noexcept {
    return is_block(entry) ? block_of(entry).records == 0
                           : static_cast<const SliceRecord&>(entry).pins == 0;
}

unsigned SliceEvictor::age(BudgetEntry& entry) noexcept {
    DirectoryBlock& block = block_of(entry);
    if (!is_block(entry)) return take_use(block.use_count(static_cast<SliceRecord&>(entry).index));
    unsigned most = 0;
    for (std::uint32_t i = 0; i < block.slices; ++i)
        most = std::max(most, take_use(block.use_count(i)));
    return most;
}

void SliceEvictor::reset_uses(BudgetEntry& entry) noexcept {
    if (is_block(entry)) return;  // age() has reset it
    const std::uint32_t index = static_cast<SliceRecord&>(entry).index;
    block_of(entry).use_count(index).store(0, std::memory_order_relaxed);
}

std::uint64_t SliceEvictor::ghost_key(const BudgetEntry& entry) const noexcept {
    const DirectoryBlock& block = block_of(entry);
    const std::uint32_t index = is_block(entry) ? 0 : static_cast<const SliceRecord&>(entry).index;
    const std::uint64_t slice = block.slot * block.slices + index;
    const auto cache = reinterpret_cast<std::uintptr_t>(this);
    std::uint64_t key = (slice * 2 + (is_block(entry) ? 1 : 0)) ^ (cache << 20);
    key = (key ^ (key >> 31)) * 0x9e3779b97f4a7c15U;
    return key ^ (key >> 29);
}

void SliceEvictor::evict(BudgetEntry& entry) noexcept {
    store_.evict(entry);
}

std::uint64_t SliceEvictor::release_unused(std::uint64_t slot) noexcept {
    constexpr int kBlocksAtOnce = 16;  // misses wait meanwhile
    for (int i = 0; i < kBlocksAtOnce; ++i) {
        DirectoryBlock* block = directory_.first_from(slot);
        if (block == nullptr) return 0;
        slot = block->slot + 1;
        release_unused(*block);
    }
    return slot;
}

void SliceEvictor::release_unused(DirectoryBlock& block) noexcept {
    const std::uint64_t slice = directory_.addressing().slice_at(block.slot, 0);
    bool is_used = false;
    for (std::uint32_t i = 0; i < block.slices; ++i) {
        SliceRecord* record = block.record(i);
        const bool was_used = take_use(block.use_count(i)) != 0;
        is_used = is_used || was_used;
        if (record == nullptr || record->is_loading || was_used || !may_evict(*record)) continue;
        store_.evict(*record);
        if (directory_.find(slice) != &block) return;  // it had no other slice
    }
    if (!is_used && may_evict(block)) store_.evict(block);
}

void SliceEvictor::add_to(CacheStats& stats) const noexcept {
    stats.hits += counters_.sum(CacheCounter::hits);
    stats.misses += counters_.sum(CacheCounter::misses);
    stats.coalesced += counters_.sum(CacheCounter::coalesced);
    stats.read_bytes += counters_.sum(CacheCounter::read_bytes);
    stats.commits += counters_.sum(CacheCounter::commits);
    stats.duplicates_dropped += counters_.sum(CacheCounter::duplicates_dropped);
    stats.stale_dropped += counters_.sum(CacheCounter::stale_dropped);
    stats.evictions += counters_.sum(CacheCounter::evictions);
    store_.add_to(stats);
}

}  // namespace qed
