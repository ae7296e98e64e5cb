// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_allocator.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutants.hpp"

namespace qed {
namespace {

constexpr auto kMaxFileBytes = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

}  // namespace

void ClusterAllocator::set_end(std::uint64_t end_bytes) {
    QED_ASSERT(cluster_.is_aligned(end_bytes));
    const ScopedLock lock(mutex_);
    end_ = end_bytes;
}

std::uint64_t ClusterAllocator::end() const {
    const ScopedLock lock(mutex_);
    return end_;
}

void ClusterAllocator::add_found(FreeClusters::Run run, bool is_hole) noexcept {
    const ScopedLock lock(mutex_);
    QED_ASSERT((run.first + run.count) <= end_ >> cluster_.bits());
    if (detail::mutant(detail::Mutant::reuse_found_without_flush)) return occupied_.add(run);
    (is_hole ? found_holes_ : found_).add(run);
    covers_found_ = false;
    has_found_.store(true, std::memory_order_relaxed);
}

bool ClusterAllocator::has_free_end() const {
    const ScopedLock lock(mutex_);
    const std::uint64_t end = end_ >> cluster_.bits();
    return end != 0 && (found_.contains(end - 1) || found_holes_.contains(end - 1));
}

std::uint64_t ClusterAllocator::reused_clusters() const {
    const ScopedLock lock(mutex_);
    return reused_;
}

std::uint64_t ClusterAllocator::freed_clusters() const {
    const ScopedLock lock(mutex_);
    return freed_;
}

std::uint64_t ClusterAllocator::free_clusters() const {
    const ScopedLock lock(mutex_);
    return count_free();
}

std::uint64_t ClusterAllocator::count_free() const noexcept {
    std::uint64_t sum = 0;
    for (const FreeClusters* set : {&released_, &flushing_, &in_use_[0], &in_use_[1], &occupied_,
                                    &holes_, &flushing_holes_, &zero_, &found_, &found_holes_}) {
        sum += set->count();
    }
    return sum;
}

Result<ClusterRun> ClusterAllocator::reserve(std::uint64_t clusters, Prefer prefer) {
    QED_ASSERT(clusters > 0);
    const ScopedLock lock(mutex_);
    ++changes_;
    collect();
    const ClusterRun run = take_free(clusters, prefer);
    if (run.clusters == 0) return reserve_past_end(clusters);
    QED_ASSERT(run.offset.value + (run.clusters << cluster_.bits()) <= end_);
    reused_ += run.clusters;
    return run;
}

// A run of the wanted length wherever there is one, else the longest there is.
ClusterRun ClusterAllocator::take_free(std::uint64_t clusters, Prefer prefer) noexcept {
    if (zero_.empty() && holes_.empty() && occupied_.empty()) return {};
    struct Source {
        FreeClusters& set;
        bool has_old_data;
        bool after_flush;
    };
    std::array<Source, 3> sources{
        {{zero_, false, false}, {holes_, false, true}, {occupied_, true, true}}};
    const std::array<std::size_t, 3> order = prefer == Prefer::occupied
                                                 ? std::array<std::size_t, 3>{2, 1, 0}
                                                 : std::array<std::size_t, 3>{0, 1, 2};
    for (const bool whole : {true, false}) {
        for (const std::size_t index : order) {
            Source& from = sources[index];
            if (from.set.empty()) continue;
            const FreeClusters::Run run =
                whole ? from.set.take_whole(clusters) : from.set.take_longest(clusters);
            if (run.count == 0) continue;
            return {.offset = {run.first << cluster_.bits()},
                    .clusters = run.count,
                    .has_old_data = from.has_old_data,
                    .after_flush = from.after_flush};
        }
    }
    return {};
}

Result<ClusterRun> ClusterAllocator::reserve_table(std::uint64_t clusters) {
    const ScopedLock lock(mutex_);
    ++changes_;
    const FreeClusters::Run run = zero_.take_whole(clusters);
    if (run.count != 0) {
        reused_ += run.count;
        return ClusterRun{.offset = {run.first << cluster_.bits()}, .clusters = run.count};
    }
    if (end_ < stale_end_) {
        holes_.add(run_of({end_}, (stale_end_ - end_) >> cluster_.bits()));
        end_ = stale_end_;
    }
    return reserve_past_end(clusters);
}

Result<ClusterRun> ClusterAllocator::reserve_past_end(std::uint64_t clusters) {
    const std::uint64_t room = (kMaxFileBytes - end_) >> cluster_.bits();
    if (clusters > room) {
        return fail(Errc::no_space,
                    fmt::format("the image file would grow past {} bytes", kMaxFileBytes));
    }
    const ClusterRun run{.offset = {end_}, .clusters = clusters, .after_flush = end_ < stale_end_};
    end_ += clusters << cluster_.bits();
    return run;
}

void ClusterAllocator::abandon(const ClusterRun& run) noexcept {
    const ScopedLock lock(mutex_);
    ++changes_;
    occupied_.add(run_of(run.offset, run.clusters));
}

void ClusterAllocator::abandon_unwritten(const ClusterRun& run) noexcept {
    const ScopedLock lock(mutex_);
    ++changes_;
    holes_.add(run_of(run.offset, run.clusters));
}

void ClusterAllocator::release(FileOffset offset, std::uint64_t clusters) noexcept {
    const ScopedLock lock(mutex_);
    ++changes_;
    FreeClusters& to =
        detail::mutant(detail::Mutant::reuse_before_unlink_durable) ? occupied_ : released_;
    to.add(run_of(offset, clusters));
    freed_ += clusters;
    unflushed_.fetch_add(clusters << cluster_.bits(), std::memory_order_relaxed);
}

void ClusterAllocator::flush_begins() noexcept {
    const ScopedLock lock(mutex_);
    released_.move_to(flushing_);
    holes_.move_to(flushing_holes_);
    covers_found_ = true;
    flushing_stale_end_ = stale_end_;
    unflushed_.store(0, std::memory_order_relaxed);
}

void ClusterAllocator::flush_succeeded() noexcept {
    const ScopedLock lock(mutex_);
    flushing_.move_to(in_use_[epochs_.epoch() & 1]);
    flushing_holes_.move_to(zero_);
    if (covers_found_) {
        found_.move_to(occupied_);
        found_holes_.move_to(zero_);
        has_found_.store(false, std::memory_order_relaxed);
    }
    if (stale_end_ == flushing_stale_end_) stale_end_ = 0;
    collect();
}

// What was unlinked for good in the epoch before last has no users any more.
void ClusterAllocator::collect() noexcept {
    for (int turn = 0; turn < 2; ++turn) {
        if (in_use_[0].empty() && in_use_[1].empty()) return;
        if (!advance()) return;
    }
}

bool ClusterAllocator::advance() noexcept {
    const std::uint64_t before = epochs_.epoch();
    if (!epochs_.try_advance()) return false;
    QED_ASSERT(epochs_.epoch() == before + 1);
    in_use_[epochs_.epoch() & 1].move_to(occupied_);
    return true;
}

std::uint64_t ClusterAllocator::changes() const noexcept {
    const ScopedLock lock(mutex_);
    return changes_;
}

std::uint64_t ClusterAllocator::moment() const noexcept {
    const ScopedLock lock(mutex_);
    return epochs_.epoch();
}

bool ClusterAllocator::have_ended(std::uint64_t moment) noexcept {
    const ScopedLock lock(mutex_);
    while (epochs_.epoch() < moment + 2) {
        if (!advance()) return false;
    }
    return true;
}

ClusterRun ClusterAllocator::reserve_below(FileOffset limit, std::uint64_t clusters) noexcept {
    const ScopedLock lock(mutex_);
    collect();
    FreeClusters* lowest = &occupied_;
    for (FreeClusters* set : {&holes_, &zero_}) {
        if (set->first() < lowest->first()) lowest = set;
    }
    const FreeClusters::Run run = lowest->take_below(limit.value >> cluster_.bits(), clusters);
    reused_ += run.count;
    return {.offset = {run.first << cluster_.bits()},
            .clusters = run.count,
            .has_old_data = true,
            .after_flush = true};
}

Result<ClusterRun> ClusterAllocator::reserve_from(FileOffset begin) {
    const ScopedLock lock(mutex_);
    collect();
    const std::uint64_t first = begin.value >> cluster_.bits();
    FreeClusters* nearest = &occupied_;
    for (FreeClusters* set : {&holes_, &zero_}) {
        if (set->first_from(first) < nearest->first_from(first)) nearest = set;
    }
    const std::uint64_t found = nearest->first_from(first);
    if (found == FreeClusters::kMaxClusters || !nearest->remove({found, 1})) {
        return reserve_past_end(1);
    }
    ++reused_;
    return ClusterRun{.offset = {found << cluster_.bits()},
                      .clusters = 1,
                      .has_old_data = true,
                      .after_flush = true};
}

bool ClusterAllocator::is_free(FileOffset cluster) const noexcept {
    const ScopedLock lock(mutex_);
    return is_free(cluster.value >> cluster_.bits());
}

bool ClusterAllocator::is_free(std::uint64_t cluster) const noexcept {
    return occupied_.contains(cluster) || holes_.contains(cluster) || zero_.contains(cluster);
}

ClusterRun ClusterAllocator::reserve_between(FileOffset begin, FileOffset end,
                                             std::uint64_t clusters) noexcept {
    const ScopedLock lock(mutex_);
    collect();
    const std::uint64_t last = end.value >> cluster_.bits();
    std::uint64_t found = 0;
    std::uint64_t at = begin.value >> cluster_.bits();
    for (; at < last && found < clusters; ++at)
        found = is_free(at) ? found + 1 : 0;
    if (found < clusters) return {};
    const FreeClusters::Run run{at - clusters, clusters};
    for (FreeClusters* set : {&occupied_, &holes_, &zero_}) {
        if (!set->remove(run)) return {};  // no memory: what is left out is found at the next open
    }
    reused_ += run.count;
    return {.offset = {run.first << cluster_.bits()},
            .clusters = run.count,
            .has_old_data = true,
            .after_flush = true};
}

FileOffset ClusterAllocator::end_of_first_free(FileOffset begin) const noexcept {
    const ScopedLock lock(mutex_);
    const std::uint64_t end = end_ >> cluster_.bits();
    std::uint64_t at = begin.value >> cluster_.bits();
    while (at < end && !is_free(at))
        ++at;
    while (at < end && is_free(at))
        ++at;
    return {at << cluster_.bits()};
}

FileOffset ClusterAllocator::lowest_free() noexcept {
    const ScopedLock lock(mutex_);
    collect();
    const std::uint64_t first = std::min({occupied_.first(), holes_.first(), zero_.first()});
    return {first << cluster_.bits()};
}

std::uint64_t ClusterAllocator::kept_end() const {
    const ScopedLock lock(mutex_);
    return end_ - (count_free() << cluster_.bits());
}

bool ClusterAllocator::has_waiting() const noexcept {
    const ScopedLock lock(mutex_);
    return !released_.empty() || !flushing_.empty() || !in_use_[0].empty() || !in_use_[1].empty();
}

ClusterRun ClusterAllocator::take_occupied() noexcept {
    const ScopedLock lock(mutex_);
    collect();
    const FreeClusters::Run run = occupied_.take_first(FreeClusters::kMaxClusters);
    return {.offset = {run.first << cluster_.bits()},
            .clusters = run.count,
            .has_old_data = true,
            .after_flush = true};
}

void ClusterAllocator::punched(const ClusterRun& run) noexcept {
    const ScopedLock lock(mutex_);
    holes_.add(run_of(run.offset, run.clusters));
}

std::uint64_t ClusterAllocator::begin_cut() noexcept {
    const ScopedLock lock(mutex_);
    collect();
    std::uint64_t end = end_ >> cluster_.bits();
    for (std::uint64_t begin = 0; begin != end;) {
        begin = end;
        for (FreeClusters* set : {&zero_, &holes_, &occupied_})
            end = set->take_before(end);
    }
    if (detail::mutant(detail::Mutant::cut_pending_tail) && end > 1) --end;
    cut_begin_ = end << cluster_.bits();
    cut_end_ = end_;
    return cut_begin_;
}

void ClusterAllocator::end_cut(bool is_cut) noexcept {
    const ScopedLock lock(mutex_);
    const FreeClusters::Run run = run_of({cut_begin_}, (cut_end_ - cut_begin_) >> cluster_.bits());
    if (!is_cut) return occupied_.add(run);
    if (run.count == 0) return;
    if (end_ == cut_end_) {
        end_ = cut_begin_;
        stale_end_ = std::max(stale_end_, cut_end_);
        flushing_stale_end_ = 0;  // a flush under way does not cover this cut
    } else {
        holes_.add(run);  // a request needed space meanwhile: the file is longer again
    }
}

}  // namespace qed
