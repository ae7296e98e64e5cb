// SPDX-License-Identifier: Apache-2.0
#include "cache/table_cache.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <new>

#include "base/assert.hpp"

// Making and destroying a cache, and what readers do: find().

namespace qed {
namespace {

// A place may change while find() looks at it; after so many times it leaves the answer to load(),
// which takes the lock.
constexpr int kFindTries = 4;

inline Mapping::Kind kind_of_marker(Entry entry) {
    if (entry == kUnallocatedEntry) return Mapping::Kind::unallocated;
    return entry == kZeroEntry ? Mapping::Kind::zero : Mapping::Kind::corrupt;
}

// Slices as wanted, but no larger than a table, and not so small that the directory of the largest
// legal image would not fit its limits.
SliceAddressing address_slices(const Geometry& geometry, std::uint32_t wanted_slice_bytes) {
    const auto bits_for = [&](unsigned entry_bits) {
        const std::uint64_t last = geometry.max_image_bytes() - 1;
        return static_cast<unsigned>(
            std::bit_width(last >> (entry_bits + geometry.cluster_bits())));
    };
    auto entry_bits = static_cast<unsigned>(std::countr_zero(wanted_slice_bytes / sizeof(Entry)));
    entry_bits = std::min(entry_bits, geometry.entry_bits());
    while (bits_for(entry_bits) > kMaxSlotBits + kMaxBlockBits)
        ++entry_bits;
    const unsigned slice_bits = bits_for(entry_bits);
    const unsigned leaf_bits =
        std::max(kMinBlockBits, slice_bits > kMaxSlotBits ? slice_bits - kMaxSlotBits : 0U);
    return {geometry, entry_bits, leaf_bits};
}

}  // namespace

Result<std::unique_ptr<TableCache>> TableCache::create(BlockFile& file, SharedBudget& budget,
                                                       const Geometry& geometry,
                                                       const EntryDecoder& judge,
                                                       const TableCacheOptions& options) {
    QED_ASSERT(std::has_single_bit(options.slice_bytes) && options.slice_bytes >= 512 &&
               options.slice_bytes <= SliceArena::kMaxBytes);
    std::unique_ptr<TableCache> cache(new (std::nothrow) TableCache(
        file, budget, geometry, judge, address_slices(geometry, options.slice_bytes), options));
    if (cache == nullptr || cache->l1_.data() == nullptr || cache->places_.data() == nullptr ||
        cache->leaves_in_page_.data() == nullptr || cache->updater_ == nullptr) {
        return std::unexpected(Error::out_of_memory());
    }
    return cache;
}

// The arrays are sized for the largest legal image, so that growing moves nothing.
TableCache::TableCache(BlockFile& file, SharedBudget& budget, const Geometry& geometry,
                       const EntryDecoder& judge, const SliceAddressing& addressing,
                       const TableCacheOptions& options)
    : places_(addressing.place({geometry.max_image_bytes() - 1}) / kSlotsInPage * kSlotsInPage +
              kSlotsInPage),
      addressing_(addressing),
      shape_(SliceShape::make(addressing.entry_bits(), geometry.cluster_bits())),
      file_(file),
      budget_(budget),
      decoder_(judge),
      geometry_(geometry),
      readahead_(std::max(options.readahead_slices, 1U)),
      l1_(geometry.l1_entries_used(geometry.max_image_bytes())),
      updater_(SliceUpdater::create(shape_)),
      own_share_(budget.entry_bytes_),
      share_(options.limit_bytes != 0 ? &own_share_ : &budget.common_),
      leaves_in_page_(places_.size() / kSlotsInPage) {
    const std::scoped_lock lock(budget_.mutex_);
    if (is_limited()) budget_.add_share(own_share_, options.limit_bytes);
    budget_.add_cache(*this);
}

TableCache::~TableCache() {
    for (std::uint64_t place = 0;;) {
        // The lock is given back for each leaf: other images go on meanwhile.
        const std::scoped_lock lock(budget_.mutex_);
        DirectoryBlock* leaf = leaf_from(place);
        if (leaf == nullptr) break;
        place = leaf->index + 1;
        free_with_slices(*leaf);
    }
    const std::scoped_lock lock(budget_.mutex_);
    slices_ = 0;
    budget_.remove_cache(*this);
    if (is_limited()) budget_.remove_share(own_share_);
}

// docs/cache.md, "Why a hit is right", has the argument for the order of these loads. What is
// likely is done here; each of the rest is the last thing that is called, so that no register needs
// saving.
TableCache::Found TableCache::find_likely(GuestOffset at, std::uint64_t length) noexcept {
    const std::size_t shard = own_thread_shard();
    const bool is_in_one_cluster =
        addressing_.in_cluster(at) + length <= addressing_.cluster_bytes();
    if (!is_in_one_cluster || shard >= kSharedShard) [[unlikely]]
        return find_any(at, length);
    const DirectorySlot& place = places_[addressing_.place(at)];
    const std::uint64_t version = place.version.load(std::memory_order_acquire);
    DirectoryBlock* leaf = place.leaf.load(std::memory_order_acquire);
    if (version == 0 || leaf == nullptr) [[unlikely]]
        return find_any(at, length);
    const std::uint32_t slot = addressing_.slot(at);
    const SliceWord word(leaf->words()[slot].load(std::memory_order_acquire));
    if (word.is_ranked()) return find_ranked(at, length);
    if (word.is_absent()) [[unlikely]]
        return find_any(at, length);
    // Noted before it is certain: what is no longer needed leaves its register.
    note_use(*leaf, slot);
    counters_.add_own(shard, CacheCounter::hits);
    const Entry entry = read_unranked(word, addressing_.entry(at), shape_);
    if (place.version.load(std::memory_order_relaxed) != version) [[unlikely]]
        return find_again(at, length);
    return found_one(entry, at, length);
}

// The same for ranked forms, from the beginning: find_likely() has seen that it is to be one.
TableCache::Found TableCache::find_ranked(GuestOffset at, std::uint64_t length) noexcept {
    const DirectorySlot& place = places_[addressing_.place(at)];
    const std::uint64_t version = place.version.load(std::memory_order_acquire);
    DirectoryBlock* leaf = place.leaf.load(std::memory_order_acquire);
    if (version == 0 || leaf == nullptr) [[unlikely]]
        return find_any(at, length);
    const std::uint32_t slot = addressing_.slot(at);
    const SliceWord word(leaf->words()[slot].load(std::memory_order_acquire));
    if (!word.is_ranked()) [[unlikely]]
        return find_any(at, length);
    note_use(*leaf, slot);
    counters_.add_own(own_thread_shard(), CacheCounter::hits);
    const Entry entry = read_ranked(word, addressing_.entry(at), shape_);
    if (place.version.load(std::memory_order_relaxed) != version) [[unlikely]]
        return find_again(at, length);
    return found_one(entry, at, length);
}

inline TableCache::Found TableCache::found_one(Entry entry, GuestOffset at,
                                               std::uint64_t length) const noexcept {
    if (!is_data_entry(entry)) return Found::not_data(kind_of_marker(entry), length);
    return Found::in_file(entry + addressing_.in_cluster(at), length);
}

// A place changed while find() looked at it, which has counted a hit too early.
TableCache::Found TableCache::find_again(GuestOffset at, std::uint64_t length) noexcept {
    counters_.add(CacheCounter::hits, ~std::uint64_t{0});
    return find_any(at, length);
}

TableCache::Found TableCache::find_any(GuestOffset at, std::uint64_t length) noexcept {
    const DirectorySlot& place = places_[addressing_.place(at)];
    const std::uint32_t slot = addressing_.slot(at);
    for (int i = 0; i < kFindTries; ++i) {
        const std::uint64_t version = place.version.load(std::memory_order_acquire);
        DirectoryBlock* leaf = place.leaf.load(std::memory_order_acquire);
        if (version == 0 || leaf == nullptr) return find_in_l1(at, length);
        const SliceWord word(leaf->words()[slot].load(std::memory_order_acquire));
        if (word.is_absent()) return find_in_l1(at, length);
        const Found found = find_in_word(word, at, length);
        if (place.version.load(std::memory_order_relaxed) != version) continue;
        note_use(*leaf, slot);
        counters_.add(CacheCounter::hits);
        return found;
    }
    return Found::not_data(Mapping::Kind::not_loaded, 0);
}

inline void TableCache::note_use(DirectoryBlock& leaf, std::uint32_t slot) const noexcept {
    std::atomic<std::uint8_t>& uses = leaf.uses(addressing_.slots_in_leaf())[slot];
    const std::uint8_t count = uses.load(std::memory_order_relaxed);
    if (count < kMaxUses) [[unlikely]]
        uses.store(static_cast<std::uint8_t>(count + 1), std::memory_order_relaxed);
}

TableCache::Found TableCache::find_in_word(SliceWord word, GuestOffset at,
                                           std::uint64_t length) const noexcept {
    const std::uint32_t index = addressing_.entry(at);
    const Entry first = read_entry(word, index, shape_);
    const std::uint64_t in_cluster = addressing_.in_cluster(at);
    const auto limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(
        addressing_.clusters_for(in_cluster + length), shape_.entries() - index));
    const std::uint64_t mapped = std::min(
        run_length(word, index, limit, first) * addressing_.cluster_bytes() - in_cluster, length);
    if (!is_data_entry(first)) return Found::not_data(kind_of_marker(first), mapped);
    return Found::in_file(first + in_cluster, mapped);
}

std::uint32_t TableCache::run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                                     Entry first) const noexcept {
    if (!word.has_payload()) return limit;
    const std::uint64_t step = is_data_entry(first) ? geometry_.cluster_bytes() : 0;
    Entry expected = first + step;
    std::uint32_t run = 1;
    while (run < limit && read_entry(word, index + run, shape_) == expected) {
        ++run;
        expected += step;
    }
    return run;
}

std::size_t TableCache::find_runs(GuestOffset at, std::uint64_t length,
                                  std::span<Mapping> runs) noexcept {
    const DirectorySlot& place = places_[addressing_.place(at)];
    const std::uint64_t version = place.version.load(std::memory_order_acquire);
    DirectoryBlock* leaf = place.leaf.load(std::memory_order_acquire);
    if (version == 0 || leaf == nullptr) return 0;
    const std::uint32_t slot = addressing_.slot(at);
    const SliceWord word(leaf->words()[slot].load(std::memory_order_acquire));
    if (!word.has_payload()) return 0;  // one answer for all of the slice

    const std::uint32_t index = addressing_.entry(at);
    const std::uint64_t in_cluster = addressing_.in_cluster(at);
    std::array<Entry, kMaxRuns> room;
    const std::span entries = std::span(room).first(
        std::min<std::uint64_t>({room.size(), runs.size(), shape_.entries() - index,
                                 addressing_.clusters_for(in_cluster + length)}));
    read_entries(word, index, entries, shape_);
    if (place.version.load(std::memory_order_relaxed) != version) return 0;
    note_use(*leaf, slot);
    counters_.add(CacheCounter::hits);
    return split_runs(entries, in_cluster, length, runs);
}

/// Neighbours that one answer holds for become one.
std::size_t TableCache::split_runs(std::span<const Entry> entries, std::uint64_t in_cluster,
                                   std::uint64_t length, std::span<Mapping> runs) const noexcept {
    const std::uint64_t cluster = addressing_.cluster_bytes();
    std::size_t count = 0;
    for (std::size_t i = 0; i < entries.size();) {
        const Entry first = entries[i];
        const bool is_data = is_data_entry(first);
        const std::uint64_t step = is_data ? cluster : 0;
        Entry expected = first;
        std::uint64_t bytes = 0;
        for (; i < entries.size() && entries[i] == expected; ++i) {
            expected += step;
            bytes += cluster;
        }
        bytes = std::min(bytes - in_cluster, length);
        runs[count++] = is_data ? Mapping::in_place(FileOffset{first + in_cluster}, bytes)
                                : Mapping::without_data(kind_of_marker(first), bytes);
        length -= bytes;
        in_cluster = 0;
    }
    return count;
}

TableCache::Found TableCache::find_in_l1(GuestOffset at, std::uint64_t length) const noexcept {
    std::uint64_t index = geometry_.l1_index(at);
    const Entry table = l1(index);
    if (is_data_entry(table)) return Found::not_data(Mapping::Kind::not_loaded, 0);
    const std::uint64_t span = geometry_.table_span_bytes();
    std::uint64_t found = std::min(length, span - (at.value & (span - 1)));
    while (found < length && index + 1 < l1_.size() && l1(index + 1) == table) {
        ++index;
        found += std::min(length - found, span);
    }
    return Found::not_data(
        table == kUnallocatedEntry ? Mapping::Kind::unallocated : Mapping::Kind::corrupt, found);
}

CacheStats TableCache::stats() const {
    const std::scoped_lock lock(budget_.mutex_);
    CacheStats stats;
    add_to(stats);
    budget_.add_state(stats);
    return stats;
}

void TableCache::add_to(CacheStats& stats) const noexcept {
    stats.hits += counters_.sum(CacheCounter::hits);
    stats.misses += counters_.sum(CacheCounter::misses);
    stats.coalesced += counters_.sum(CacheCounter::coalesced);
    stats.read_bytes += counters_.sum(CacheCounter::read_bytes);
    stats.commits += counters_.sum(CacheCounter::commits);
    stats.duplicates_dropped += counters_.sum(CacheCounter::duplicates_dropped);
    stats.stale_dropped += counters_.sum(CacheCounter::stale_dropped);
    stats.evictions += counters_.sum(CacheCounter::evictions);
    stats.slices += slices_;
    stats.pinned += pinned_;
    stats.loads_in_flight += loads_;
}

}  // namespace qed
