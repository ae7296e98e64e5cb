// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_allocator.hpp"

#include <algorithm>
#include <limits>
#include <new>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutants.hpp"

namespace qed {
namespace {

constexpr std::size_t kMaxRuns = std::size_t{1} << 18;
constexpr auto kMaxFileBytes = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

}  // namespace

void ClusterAllocator::RunSet::add(std::uint64_t offset, std::uint64_t bytes) noexcept {
    auto next = runs_.lower_bound(offset);
    // Two entries of a damaged image may name one cluster, which can be given back only once.
    if (next != runs_.end() && next->first < offset + bytes) return;
    if (next != runs_.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second > offset) return;
        if (before->first + before->second == offset) {
            before->second += bytes;
            if (next != runs_.end() && next->first == offset + bytes) {
                before->second += next->second;
                runs_.erase(next);
            }
            return;
        }
    }
    if (next == runs_.end() || next->first != offset + bytes) {
        if (runs_.size() >= kMaxRuns) return;
        try {
            runs_.emplace_hint(next, offset, bytes);
        } catch (const std::bad_alloc&) {
            return;
        }
        return;
    }
    auto node = runs_.extract(next);
    node.key() = offset;
    node.mapped() += bytes;
    runs_.insert(std::move(node));
}

void ClusterAllocator::RunSet::move_to(RunSet& other) noexcept {
    if (other.runs_.empty()) {
        std::swap(runs_, other.runs_);
        return;
    }
    for (const auto& [offset, bytes] : runs_)
        other.add(offset, bytes);
    runs_.clear();
}

std::uint64_t ClusterAllocator::RunSet::take(std::uint64_t bytes, std::uint64_t* offset) noexcept {
    if (runs_.empty()) return 0;
    auto first = runs_.begin();
    *offset = first->first;
    const std::uint64_t taken = std::min(bytes, first->second);
    if (taken == first->second) {
        runs_.erase(first);
    } else {
        auto node = runs_.extract(first);
        node.key() += taken;
        node.mapped() -= taken;
        runs_.insert(std::move(node));
    }
    return taken;
}

std::uint64_t ClusterAllocator::RunSet::take_before(std::uint64_t end) noexcept {
    auto after = runs_.lower_bound(end);
    if (after == runs_.begin()) return end;
    auto last = std::prev(after);
    if (last->first + last->second != end) return end;
    const std::uint64_t begin = last->first;
    runs_.erase(last);
    return begin;
}

void ClusterAllocator::set_end(std::uint64_t end_bytes) {
    QED_ASSERT(cluster_.is_aligned(end_bytes));
    const ScopedLock lock(mutex_);
    end_ = end_bytes;
}

std::uint64_t ClusterAllocator::end() const {
    const ScopedLock lock(mutex_);
    return end_;
}

std::uint64_t ClusterAllocator::reused_clusters() const {
    const ScopedLock lock(mutex_);
    return reused_;
}

std::uint64_t ClusterAllocator::freed_clusters() const {
    const ScopedLock lock(mutex_);
    return freed_;
}

Result<ClusterRun> ClusterAllocator::reserve(std::uint64_t clusters) {
    const ScopedLock lock(mutex_);
    collect();
    RunSet& from = punched_.empty() ? unpunched_ : punched_;
    ClusterRun run{.reused = true};
    const std::uint64_t bytes = from.take(clusters << cluster_.bits(), &run.offset.value);
    if (bytes == 0) return reserve_past_end(clusters);
    run.clusters = bytes >> cluster_.bits();
    reused_ += run.clusters;
    return run;
}

Result<ClusterRun> ClusterAllocator::reserve_fresh(std::uint64_t clusters) {
    const ScopedLock lock(mutex_);
    return reserve_past_end(clusters);
}

Result<ClusterRun> ClusterAllocator::reserve_past_end(std::uint64_t clusters) {
    const std::uint64_t room = (kMaxFileBytes - end_) >> cluster_.bits();
    if (clusters > room) {
        return fail(Errc::no_space,
                    fmt::format("the image file would grow past {} bytes", kMaxFileBytes));
    }
    const ClusterRun run{.offset = {end_}, .clusters = clusters};
    end_ += clusters << cluster_.bits();
    return run;
}

void ClusterAllocator::give_back(const ClusterRun& run) noexcept {
    const ScopedLock lock(mutex_);
    unpunched_.add(run.offset.value, run.clusters << cluster_.bits());
}

void ClusterAllocator::unlinked(FileOffset offset, std::uint64_t clusters) noexcept {
    const ScopedLock lock(mutex_);
    RunSet& to =
        detail::mutant(detail::Mutant::reuse_before_unlink_durable) ? unpunched_ : unlinked_;
    to.add(offset.value, clusters << cluster_.bits());
    freed_ += clusters;
    unflushed_.fetch_add(clusters << cluster_.bits(), std::memory_order_relaxed);
}

void ClusterAllocator::flush_begins() noexcept {
    const ScopedLock lock(mutex_);
    unlinked_.move_to(flushing_);
    unflushed_.store(0, std::memory_order_relaxed);
}

void ClusterAllocator::flush_succeeded() noexcept {
    const ScopedLock lock(mutex_);
    flushing_.move_to(in_use_[epochs_.epoch() & 1]);
    collect();
}

// What was unlinked for good in the epoch before last has no users any more.
void ClusterAllocator::collect() noexcept {
    for (int turn = 0; turn < 2; ++turn) {
        if (in_use_[0].empty() && in_use_[1].empty()) return;
        const std::uint64_t before = epochs_.epoch();
        if (!epochs_.try_advance()) return;
        QED_ASSERT(epochs_.epoch() == before + 1);
        in_use_[epochs_.epoch() & 1].move_to(unpunched_);
    }
}

ClusterRun ClusterAllocator::take_unpunched() noexcept {
    const ScopedLock lock(mutex_);
    collect();
    ClusterRun run{.reused = true};
    const std::uint64_t bytes = unpunched_.take(kMaxFileBytes, &run.offset.value);
    run.clusters = bytes >> cluster_.bits();
    return run;
}

void ClusterAllocator::punched(const ClusterRun& run) noexcept {
    const ScopedLock lock(mutex_);
    punched_.add(run.offset.value, run.clusters << cluster_.bits());
}

std::uint64_t ClusterAllocator::trim_end() noexcept {
    const ScopedLock lock(mutex_);
    collect();
    for (;;) {
        const std::uint64_t begin =
            std::min(punched_.take_before(end_), unpunched_.take_before(end_));
        if (begin == end_) return end_;
        end_ = begin;
    }
}

}  // namespace qed
