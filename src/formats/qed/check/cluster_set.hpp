// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "qed/error.hpp"

namespace qed {

/// A set of cluster numbers below a bound: one bit each, in pages that exist once one of their
/// clusters is a member. Not thread-safe.
///
/// Memory is 4 KiB for each 32,768 consecutive clusters of which one is a member, up to a limit. If
/// a new member would exceed the limit, or the system has no memory, lack() reports it afterwards,
/// and the content of the set is meaningless. Members are inserted one by one and very often:
/// checking an error for each would cost as much as the work.
class ClusterSet {
public:
    /// Bounds the directory of pages: 64 MiB of address space, of which only used parts exist.
    static constexpr std::uint64_t kMaxClusters = std::uint64_t{1} << 38;

    /// An empty set of numbers below `clusters`.
    /// \errors unsupported (more than kMaxClusters), out_of_memory
    static Result<ClusterSet> create(std::uint64_t clusters, std::uint64_t memory_limit);

    bool contains(std::uint64_t cluster) const noexcept {
        const std::uint64_t* const page = pages_[cluster >> kPageBits];
        return page != nullptr && ((page[word_in_page(cluster)] >> (cluster & 63)) & 1) != 0;
    }
    /// Makes `cluster` a member; returns whether it was one already.
    bool insert(std::uint64_t cluster) {
        std::uint64_t& word = word_of(cluster);
        const std::uint64_t bit = std::uint64_t{1} << (cluster & 63);
        const bool was_member = (word & bit) != 0;
        word |= bit;
        return was_member;
    }
    /// Makes `count` clusters starting at `first` members; `repeated(cluster)` is called for each
    /// one that was a member already.
    template <class Repeated>
    void insert_run(std::uint64_t first, std::uint64_t count, Repeated repeated) {
        const std::uint64_t end = first + count;
        while (first < end) {
            const std::uint64_t in_word = std::min(end - first, 64 - (first & 63));
            const std::uint64_t mask = (~std::uint64_t{0} >> (64 - in_word)) << (first & 63);
            std::uint64_t& word = word_of(first);
            for (std::uint64_t left = word & mask; left != 0; left &= left - 1) {
                repeated((first & ~std::uint64_t{63}) +
                         static_cast<std::uint64_t>(std::countr_zero(left)));
            }
            word |= mask;
            first += in_word;
        }
    }
    /// Makes the clusters that `entries` name (shifted right by `cluster_bits`) members, faster
    /// than one by one where they are scattered: memory is asked for all of them before it is used.
    /// `repeated(cluster)` is called for each one that was already.
    template <std::size_t Count, class Repeated>
    void insert_scattered(std::span<const std::uint64_t, Count> entries, unsigned cluster_bits,
                          Repeated repeated) {
        std::array<std::uint64_t*, Count> words;
        for (std::size_t i = 0; i < Count; ++i) {
            words[i] = &word_of(entries[i] >> cluster_bits);
            __builtin_prefetch(words[i], 1);
        }
        for (std::size_t i = 0; i < Count; ++i) {
            const std::uint64_t cluster = entries[i] >> cluster_bits;
            const std::uint64_t bit = std::uint64_t{1} << (cluster & 63);
            const std::uint64_t before = *words[i];
            *words[i] = before | bit;
            if ((before & bit) != 0) [[unlikely]]
                repeated(cluster);
        }
    }
    void erase(std::uint64_t cluster) noexcept {
        std::uint64_t* const page = pages_[cluster >> kPageBits];
        if (page != nullptr) page[word_in_page(cluster)] &= ~(std::uint64_t{1} << (cluster & 63));
    }
    /// Adds the members of `other`, which has the same bound; `repeated(cluster)` is called for
    /// those that are in both.
    template <class Repeated>
    void merge(const ClusterSet& other, Repeated repeated);

    std::uint64_t bound() const noexcept { return clusters_; }
    std::uint64_t count() const noexcept;
    /// The first number at or after `from` that is no member, or bound().
    std::uint64_t next_absent(std::uint64_t from) const noexcept;
    /// The first member at or after `from`, or bound().
    std::uint64_t next_member(std::uint64_t from) const noexcept;
    /// The last member below `end`, or bound() when there is none.
    std::uint64_t last_below(std::uint64_t end) const noexcept;
    enum class MissingTable : std::uint8_t { none, limit, memory };
    MissingTable lack() const noexcept { return lack_; }
    std::uint64_t memory_bytes() const noexcept { return pages_used_ * kPageWords * 8; }

private:
    static constexpr unsigned kPageBits = 15;
    static constexpr std::uint64_t kPageWords = (std::uint64_t{1} << kPageBits) / 64;

    struct Free {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    using Memory = std::unique_ptr<void, Free>;
    using Directory = std::unique_ptr<std::uint64_t*[], Free>;
    using Page = std::unique_ptr<std::uint64_t[], Free>;

    ClusterSet(Directory pages, std::uint64_t page_count, Page spare, std::uint64_t clusters,
               std::uint64_t memory_limit)
        : pages_(std::move(pages)),
          page_count_(page_count),
          spare_(std::move(spare)),
          clusters_(clusters),
          memory_limit_(memory_limit) {}

    static std::uint64_t word_in_page(std::uint64_t cluster) {
        return (cluster >> 6) & (kPageWords - 1);
    }
    std::uint64_t& word_of(std::uint64_t cluster) {
        std::uint64_t* page = pages_[cluster >> kPageBits];
        if (page == nullptr) [[unlikely]]
            page = make_page(cluster >> kPageBits);
        return page[word_in_page(cluster)];
    }
    std::uint64_t* make_page(std::uint64_t index) noexcept;
    bool make_slab() noexcept;

    Directory pages_;  // null where no cluster of the page is a member
    std::uint64_t page_count_ = 0;
    Page spare_;  // takes the bits that find no room
    std::uint64_t clusters_ = 0;
    std::uint64_t memory_limit_ = 0;
    std::uint64_t pages_used_ = 0;
    MissingTable lack_ = MissingTable::none;
    // Pages are cut from slabs: large enough for huge pages of the kernel once there are many.
    std::vector<Memory> slabs_;
    std::uint64_t* next_page_ = nullptr;
    std::uint64_t pages_left_ = 0;
};

template <class Repeated>
void ClusterSet::merge(const ClusterSet& other, Repeated repeated) {
    for (std::uint64_t index = 0; index < page_count_; ++index) {
        const std::uint64_t* const theirs = other.pages_[index];
        if (theirs == nullptr) continue;
        const std::uint64_t first = index << kPageBits;
        for (std::uint64_t word = 0; word < kPageWords; ++word) {
            if (theirs[word] == 0) continue;
            std::uint64_t& ours = word_of(first + word * 64);
            for (std::uint64_t both = ours & theirs[word]; both != 0; both &= both - 1) {
                repeated(first + word * 64 + static_cast<std::uint64_t>(std::countr_zero(both)));
            }
            ours |= theirs[word];
        }
    }
}

}  // namespace qed
