// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

#include "base/thread_shard.hpp"
#include "support/made_tables.hpp"

/// Other designs of the hit path, for comparison. Each translates a guest offset of an image whose
/// tables are all in memory. None can evict, which only makes them faster than a real cache.
namespace qed::bench {

/// The traditional design: whole tables in one list, searched in order under one lock, with a
/// reference held while an entry is read.
class TableList {
public:
    TableList(const MadeTables& tables, const Geometry& geometry, std::uint64_t count)
        : geometry_(geometry) {
        for (std::uint64_t i = 0; i < count; ++i) {
            Table table{.file_offset = tables.table(i), .references = 1, .entries = {}};
            table.entries.resize(geometry.table_entries());
            for (std::uint64_t k = 0; k < geometry.table_entries(); ++k)
                table.entries[k] = tables.entry(i * geometry.table_entries() + k);
            l1_.push_back(table.file_offset);
            tables_.push_back(std::move(table));
        }
    }
    Entry translate(GuestOffset at) noexcept {
        const Entry wanted = l1_[geometry_.l1_index(at)];
        Table* table = nullptr;
        {
            const std::scoped_lock lock(mutex_);
            for (Table& candidate : tables_) {
                if (candidate.file_offset != wanted) continue;
                ++candidate.references;
                table = &candidate;
                break;
            }
        }
        const Entry entry = table->entries[geometry_.l2_index(at)];
        const std::scoped_lock lock(mutex_);
        --table->references;
        return entry + geometry_.in_cluster(at);
    }

private:
    struct Table {
        Entry file_offset;
        unsigned references;
        std::vector<Entry> entries;
    };
    Geometry geometry_;
    std::vector<Entry> l1_;
    std::mutex mutex_;  // guards the list and the references
    std::list<Table> tables_;
};

/// Slices in an open-addressing hash table that readers search without a lock.
class SliceHash {
public:
    static constexpr unsigned kEntryBits = 9;
    struct Slice {
        std::uint64_t key = 0;
        std::atomic<std::uint32_t> pins{0};
        std::atomic<std::uint8_t> uses{0};
        std::unique_ptr<std::atomic<Entry>[]> entries;
    };
    SliceHash(const MadeTables& tables, const Geometry& geometry, std::uint64_t count)
        : geometry_(geometry), places_(std::bit_ceil(count * 2)) {
        for (std::uint64_t key = 0; key < count; ++key) {
            auto slice = std::make_unique<Slice>();
            slice->key = key;
            slice->entries = std::make_unique<std::atomic<Entry>[]>(1U << kEntryBits);
            for (std::uint64_t i = 0; i < (1U << kEntryBits); ++i)
                slice->entries[i] = tables.entry((key << kEntryBits) + i);
            std::size_t place = hash(key);
            while (places_[place].load() != nullptr)
                place = (place + 1) & (places_.size() - 1);
            places_[place] = slice.get();
            slices_.push_back(std::move(slice));
        }
    }

protected:
    Slice& find(GuestOffset at) const noexcept {
        const std::uint64_t key = at.value >> (geometry_.cluster_bits() + kEntryBits);
        std::size_t place = hash(key);
        for (;; place = (place + 1) & (places_.size() - 1)) {
            Slice* slice = places_[place].load(std::memory_order_acquire);
            if (slice->key == key) return *slice;
        }
    }
    Entry entry(const Slice& slice, GuestOffset at) const noexcept {
        const std::uint64_t index = geometry_.cluster_index(at) & ((1U << kEntryBits) - 1);
        return slice.entries[index].load(std::memory_order_relaxed) + geometry_.in_cluster(at);
    }
    static void note_use(Slice& slice) noexcept {
        const std::uint8_t uses = slice.uses.load(std::memory_order_relaxed);
        if (uses < 3) slice.uses.store(static_cast<std::uint8_t>(uses + 1));
    }
    Geometry geometry_;

private:
    std::size_t hash(std::uint64_t key) const noexcept {
        return (key * 0x9e3779b97f4a7c15U >> 32) & (places_.size() - 1);
    }
    std::vector<std::atomic<Slice*>> places_;
    std::vector<std::unique_ptr<Slice>> slices_;
};

/// A reader pins the slice while it reads it.
class PinnedHash : public SliceHash {
public:
    using SliceHash::SliceHash;
    Entry translate(GuestOffset at) noexcept {
        Slice& slice = find(at);
        slice.pins.fetch_add(1, std::memory_order_acquire);
        const Entry found = entry(slice, at);
        note_use(slice);
        slice.pins.fetch_sub(1, std::memory_order_release);
        return found;
    }
};

/// A reader announces its epoch; memory is reused when all readers have left the epoch.
class EpochHash : public SliceHash {
public:
    using SliceHash::SliceHash;
    Entry translate(GuestOffset at) noexcept {
        std::atomic<std::uint64_t>& mine = announced_[thread_shard()].epoch;
        mine.store(epoch_.load(std::memory_order_relaxed), std::memory_order_seq_cst);
        Slice& slice = find(at);
        const Entry found = entry(slice, at);
        note_use(slice);
        mine.store(0, std::memory_order_release);
        return found;
    }

private:
    struct alignas(kCacheLineBytes) Announced {
        std::atomic<std::uint64_t> epoch{0};
    };
    std::atomic<std::uint64_t> epoch_{1};
    std::array<Announced, kThreadShards> announced_;
};

}  // namespace qed::bench
