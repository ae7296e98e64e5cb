// SPDX-License-Identifier: Apache-2.0
#include "cache/mapping_reader.hpp"

#include <algorithm>
#include <array>

namespace qed {
namespace {

// A slot may change while find() reads it. After so many attempts find() leaves the range to
// load(), which takes the lock.
constexpr int kFindTries = 4;

}  // namespace

// Fast path. The slow paths are tail calls, so this function saves no registers.
Found MappingReader::find(GuestOffset at, std::uint64_t length) noexcept {
    const SliceAddressing& addressing = lookup_.addressing();
    const std::size_t shard = own_thread_shard();
    const bool is_in_one_cluster = addressing.in_cluster(at) + length <= addressing.cluster_bytes();
    if (!is_in_one_cluster || shard >= kSharedShard) [[unlikely]]
        return find_any(at, length);
    const DirectorySlot& slot = slots_[addressing.slot(at)];
    const std::uint64_t version = slot.version.load(std::memory_order_acquire);
    DirectoryBlock* block = slot.block.load(std::memory_order_acquire);
    if (version == 0 || block == nullptr) [[unlikely]]
        return find_any(at, length);
    const std::uint32_t index = addressing.in_block(at);
    const SliceWord word(block->words()[index].load(std::memory_order_acquire));
    if (word.is_ranked()) return find_ranked(at, length);
    if (word.is_absent()) [[unlikely]]
        return find_any(at, length);
    // Counted before the result is certain: this frees the register.
    note_use(*block, index);
    counters_.add_own(shard, CacheCounter::hits);
    const Entry entry = read_unranked(word, addressing.entry(at), lookup_.shape());
    if (slot.version.load(std::memory_order_relaxed) != version) [[unlikely]]
        return find_again(at, length);
    return lookup_.found_one(entry, at, length);
}

// The same for ranked forms, from the beginning: find() has found a ranked form.
Found MappingReader::find_ranked(GuestOffset at, std::uint64_t length) noexcept {
    const SliceAddressing& addressing = lookup_.addressing();
    const DirectorySlot& slot = slots_[addressing.slot(at)];
    const std::uint64_t version = slot.version.load(std::memory_order_acquire);
    DirectoryBlock* block = slot.block.load(std::memory_order_acquire);
    if (version == 0 || block == nullptr) [[unlikely]]
        return find_any(at, length);
    const std::uint32_t index = addressing.in_block(at);
    const SliceWord word(block->words()[index].load(std::memory_order_acquire));
    if (!word.is_ranked()) [[unlikely]]
        return find_any(at, length);
    note_use(*block, index);
    counters_.add_own(own_thread_shard(), CacheCounter::hits);
    const Entry entry = read_ranked(word, addressing.entry(at), lookup_.shape());
    if (slot.version.load(std::memory_order_relaxed) != version) [[unlikely]]
        return find_again(at, length);
    return lookup_.found_one(entry, at, length);
}

// A slot changed while find() read it; find() has counted a hit too early.
Found MappingReader::find_again(GuestOffset at, std::uint64_t length) noexcept {
    counters_.add(CacheCounter::hits, ~std::uint64_t{0});
    return find_any(at, length);
}

Found MappingReader::find_any(GuestOffset at, std::uint64_t length) noexcept {
    const SliceAddressing& addressing = lookup_.addressing();
    const DirectorySlot& slot = slots_[addressing.slot(at)];
    const std::uint32_t index = addressing.in_block(at);
    for (int i = 0; i < kFindTries; ++i) {
        const std::uint64_t version = slot.version.load(std::memory_order_acquire);
        DirectoryBlock* block = slot.block.load(std::memory_order_acquire);
        if (version == 0 || block == nullptr) return level_one_.find(at, length);
        const SliceWord word(block->words()[index].load(std::memory_order_acquire));
        if (word.is_absent()) return level_one_.find(at, length);
        const Found found = lookup_.find(word, at, length);
        if (slot.version.load(std::memory_order_relaxed) != version) continue;
        note_use(*block, index);
        counters_.add(CacheCounter::hits);
        return found;
    }
    return Found::not_data(Mapping::Kind::not_loaded, 0);
}

std::size_t MappingReader::find_runs(GuestOffset at, std::uint64_t length,
                                     std::span<Mapping> runs) noexcept {
    const SliceAddressing& addressing = lookup_.addressing();
    const DirectorySlot& slot = slots_[addressing.slot(at)];
    const std::uint64_t version = slot.version.load(std::memory_order_acquire);
    DirectoryBlock* block = slot.block.load(std::memory_order_acquire);
    if (version == 0 || block == nullptr) return 0;
    const std::uint32_t index = addressing.in_block(at);
    const SliceWord word(block->words()[index].load(std::memory_order_acquire));
    if (!word.has_payload()) return 0;  // one result for the whole slice

    const std::uint32_t first = addressing.entry(at);
    std::array<Entry, kMaxRuns> room;
    const std::span entries = std::span(room).first(
        std::min<std::uint64_t>({room.size(), runs.size(), lookup_.shape().entries() - first,
                                 addressing.clusters_for(addressing.in_cluster(at) + length)}));
    read_entries(word, first, entries, lookup_.shape());
    if (slot.version.load(std::memory_order_relaxed) != version) return 0;
    note_use(*block, index);
    counters_.add(CacheCounter::hits);
    return lookup_.split(entries, at, length, runs);
}

// A hint for the eviction: a lost increment does no harm. The cache line of a hot slice is only
// read.
inline void MappingReader::note_use(DirectoryBlock& block, std::uint32_t index) const noexcept {
    std::atomic<std::uint8_t>& uses = block.uses(lookup_.addressing().slices_in_block())[index];
    const std::uint8_t count = uses.load(std::memory_order_relaxed);
    if (count < kMaxUses) [[unlikely]]
        uses.store(static_cast<std::uint8_t>(count + 1), std::memory_order_relaxed);
}

}  // namespace qed
