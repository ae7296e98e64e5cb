// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

namespace qed {

/// A set of cluster numbers of the image file, kept in runs of adjacent clusters: a bit for each
/// cluster, in pages that exist only where some clusters of a page are members and others are not.
///
/// Memory: 16 bytes for each 32,768 clusters up to the last member, and 4 KiB where only some of
/// these are members. At worst 2 MiB for 1 TiB of file in clusters of 64 KiB, 32 MiB in clusters of
/// 4 KiB. Where no memory can be had, and past kMaxClusters, a member is forgotten: the next open
/// finds it again. Not thread-safe.
class FreeClusters {
public:
    /// Only a forged file is longer: 1 PiB in clusters of 4 KiB.
    static constexpr std::uint64_t kMaxClusters = std::uint64_t{1} << 38;

    /// `count` adjacent clusters, starting at `first`; none when count is 0.
    struct Run {
        std::uint64_t first = 0;
        std::uint64_t count = 0;
    };

    void add(Run run) noexcept;
    bool empty() const noexcept { return members_ == 0; }
    std::uint64_t count() const noexcept { return members_; }
    bool contains(std::uint64_t cluster) const noexcept;
    void move_to(FreeClusters& other) noexcept;

    /// Takes `count` adjacent clusters, the lowest ones among the first kLookedAt runs.
    Run take_whole(std::uint64_t count) noexcept;
    /// Takes the longest of the first kLookedAt runs, or its first `most` clusters.
    Run take_longest(std::uint64_t most) noexcept;
    /// Takes the first run, or its first `most` clusters.
    Run take_first(std::uint64_t most) noexcept;
    /// The first member; kMaxClusters when there is none.
    std::uint64_t first() noexcept;
    /// The first member at or after `from`; kMaxClusters when there is none.
    std::uint64_t first_from(std::uint64_t from) const noexcept;
    /// Takes the first run, as far as it lies before `end`, or its first `most` clusters.
    Run take_below(std::uint64_t end, std::uint64_t most) noexcept;
    /// Removes those clusters of `run` that are members. False: no memory; some may be removed.
    bool remove(Run run) noexcept;
    /// Takes the run that ends at `end`; its start, or `end` when there is none.
    std::uint64_t take_before(std::uint64_t end) noexcept;

private:
    static constexpr unsigned kPageBits = 15;
    static constexpr std::uint64_t kPageClusters = std::uint64_t{1} << kPageBits;
    static constexpr unsigned kLookedAt = 256;
    using Bits = std::array<std::uint64_t, kPageClusters / 64>;
    /// No bits: all clusters of the page are members, or none.
    struct Page {
        std::unique_ptr<Bits> bits;
        std::uint64_t members = 0;
    };

    std::uint64_t bound() const noexcept { return pages_.size() << kPageBits; }
    std::uint64_t word_at(std::uint64_t cluster) const noexcept;
    std::uint64_t next_member(std::uint64_t from) const noexcept;
    /// Members in a row, starting at `from`; stops counting at `most`.
    std::uint64_t length_at(std::uint64_t from, std::uint64_t most) const noexcept;
    Run longest(std::uint64_t most) noexcept;
    /// Adds or removes `run`. False: no memory; parts of it may be done.
    bool change(Run run, bool adds) noexcept;
    bool change_in_page(Page& page, std::uint64_t first, std::uint64_t end, bool adds) noexcept;
    bool give_bits(Page& page) noexcept;
    Run taken(Run run) noexcept;

    std::vector<Page> pages_;
    std::uint64_t members_ = 0;
    std::uint64_t lowest_ = 0;  // no member is below
};

}  // namespace qed
