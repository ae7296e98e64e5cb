// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/check/cluster_set.hpp"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include <fmt/format.h>

namespace qed {

Result<ClusterSet> ClusterSet::create(std::uint64_t clusters, std::uint64_t memory_limit) {
    if (clusters > kMaxClusters) {
        return fail(Errc::unsupported,
                    fmt::format("the file has {} clusters, expected at most {}: it is far longer "
                                "than the image can need; copy the image into a new one",
                                clusters, kMaxClusters));
    }
    const std::uint64_t count = (clusters >> kPageBits) + 1;
    // calloc() takes a large directory from the kernel as zero pages, which cost nothing until
    // they are used.
    Directory directory(static_cast<std::uint64_t**>(std::calloc(count, sizeof(std::uint64_t*))));
    Page spare(static_cast<std::uint64_t*>(std::calloc(kPageWords, sizeof(std::uint64_t))));
    if (directory == nullptr || spare == nullptr) return std::unexpected(Error::out_of_memory());
    return ClusterSet(std::move(directory), count, std::move(spare), clusters, memory_limit);
}

bool ClusterSet::make_slab() noexcept {
    constexpr std::uint64_t kPageBytes = kPageWords * sizeof(std::uint64_t);
    constexpr std::size_t kHugePage = std::size_t{2} << 20;
    // A small image takes little memory; a large one has few misses in the processor's TLB.
    const bool is_large = pages_used_ * kPageBytes >= kHugePage / 8;
    const std::size_t bytes = is_large ? kHugePage : 16 * kPageBytes;
    try {
        Memory slab(std::aligned_alloc(is_large ? kHugePage : kPageBytes, bytes));
        if (slab == nullptr) return false;
        if (is_large) madvise(slab.get(), bytes, MADV_HUGEPAGE);  // a failure costs speed only
        std::memset(slab.get(), 0, bytes);
        next_page_ = static_cast<std::uint64_t*>(slab.get());
        pages_left_ = bytes / kPageBytes;
        slabs_.push_back(std::move(slab));
    } catch (const std::bad_alloc&) {
        pages_left_ = 0;
        return false;
    }
    return true;
}

std::uint64_t* ClusterSet::make_page(std::uint64_t index) noexcept {
    if (memory_bytes() >= memory_limit_) {
        lack_ = MissingTable::limit;
        return spare_.get();
    }
    if (pages_left_ == 0 && !make_slab()) {
        lack_ = MissingTable::memory;
        return spare_.get();
    }
    --pages_left_;
    ++pages_used_;
    pages_[index] = next_page_;
    next_page_ += kPageWords;
    return pages_[index];
}

std::uint64_t ClusterSet::count() const noexcept {
    std::uint64_t members = 0;
    for (std::uint64_t index = 0; index < page_count_; ++index) {
        const std::uint64_t* const page = pages_[index];
        if (page == nullptr) continue;
        for (std::uint64_t word = 0; word < kPageWords; ++word)
            members += static_cast<std::uint64_t>(std::popcount(page[word]));
    }
    return members;
}

std::uint64_t ClusterSet::next_absent(std::uint64_t from) const noexcept {
    while (from < clusters_) {
        const std::uint64_t* const page = pages_[from >> kPageBits];
        if (page == nullptr) return from;
        const std::uint64_t absent = ~page[word_in_page(from)] >> (from & 63);
        if (absent != 0) {
            const auto skip = static_cast<std::uint64_t>(std::countr_zero(absent));
            return std::min(from + skip, clusters_);
        }
        from = (from | 63) + 1;
    }
    return clusters_;
}

std::uint64_t ClusterSet::next_member(std::uint64_t from) const noexcept {
    while (from < clusters_) {
        const std::uint64_t* const page = pages_[from >> kPageBits];
        if (page == nullptr) {
            from = ((from >> kPageBits) + 1) << kPageBits;
            continue;
        }
        const std::uint64_t members = page[word_in_page(from)] >> (from & 63);
        if (members != 0) return from + static_cast<std::uint64_t>(std::countr_zero(members));
        from = (from | 63) + 1;
    }
    return clusters_;
}

std::uint64_t ClusterSet::last_below(std::uint64_t end) const noexcept {
    while (end > 0) {
        const std::uint64_t cluster = end - 1;
        const std::uint64_t* const page = pages_[cluster >> kPageBits];
        if (page == nullptr) {
            end = cluster >> kPageBits << kPageBits;
            continue;
        }
        const std::uint64_t members = page[word_in_page(cluster)] << (63 - (cluster & 63));
        if (members != 0) return cluster - static_cast<std::uint64_t>(std::countl_zero(members));
        end = cluster & ~std::uint64_t{63};
    }
    return clusters_;
}

}  // namespace qed
