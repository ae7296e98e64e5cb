// SPDX-License-Identifier: Apache-2.0
#include "engine/cluster_sort.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace qed {

Task<Result<SortStep>> ClusterSort::step(std::uint64_t bytes) {
    const AsyncMutex::Guard only = co_await moves_.lock().lock();
    QED_CO_CHECK(context_.flushes.check_not_failed());
    moved_ = 0;
    const std::uint64_t clusters =
        std::clamp<std::uint64_t>(bytes >> context_.cluster.bits(), 1, kMostClusters);
    QED_CO_CHECK(co_await read_window(clusters));
    if (next_.empty()) {
        next_guest_ = begin_ = 0;
        co_return SortStep{.done_bytes = context_.disk.size()};
    }
    if (!moves_.begin()) {
        co_return SortStep{.done_bytes = next_guest_ << context_.cluster.bits(), .has_more = true};
    }
    find_places();
    Result<void> done = co_await move_out();
    if (done) done = co_await move_in();
    moves_.end();
    if (!done) co_return std::unexpected(std::move(done.error()));
    begin_ = end_;
    if (!places_.empty()) next_guest_ = next_[places_.size() - 1].guest_cluster + 1;
    co_return SortStep{.moved_bytes = moved_,
                       .done_bytes = next_guest_ << context_.cluster.bits(),
                       .has_more = true};
}

// What was placed lies before the window, so the window's owners come later on the disk.
Task<Result<void>> ClusterSort::read_window(std::uint64_t clusters) {
    QED_CO_CHECK(co_await tables_.flush());
    next_.clear();
    owners_.clear();
    end_ = std::min(begin_ + clusters, allocator_.end() >> context_.cluster.bits());
    const auto add = [&](std::uint64_t guest_cluster, std::uint64_t place) {
        if (guest_cluster < next_guest_) return;
        if (next_.size() < clusters) next_.push_back({guest_cluster, place});
        if (place >= begin_ && place < end_) owners_.push_back({guest_cluster, place});
    };
    const std::uint64_t count = reader_.table_count();
    for (std::uint64_t i = next_guest_ / reader_.entries_of_table(); i < count; ++i)
        QED_CO_CHECK(co_await reader_.read(i, add));
    std::ranges::sort(owners_, {}, &Owner::place);
    if (end_ <= begin_) next_.clear();  // requests have added what is left
    co_return {};
}

/// The places in the window that data may have: those of its owners, and those that are free.
/// Others belong to tables and the header.
void ClusterSort::find_places() {
    places_.clear();
    auto owner = owners_.begin();
    for (std::uint64_t place = begin_; place < end_ && places_.size() < next_.size(); ++place) {
        const bool is_owned = owner != owners_.end() && owner->place == place;
        if (is_owned || allocator_.is_free(offset_of(place))) places_.push_back(place);
        if (is_owned) ++owner;
    }
}

Task<Result<void>> ClusterSort::move_out() {
    std::vector<ClusterMove::Plan> plans;
    for (const Owner& owner : owners_) {
        const auto place = std::ranges::lower_bound(places_, owner.place);
        if (place == places_.end()) break;  // not needed for this window
        QED_ASSERT(*place == owner.place);
        const auto index = static_cast<std::size_t>(place - places_.begin());
        if (next_[index].guest_cluster == owner.guest_cluster) continue;
        const Result<ClusterRun> to = allocator_.reserve_from(offset_of(end_));
        if (!to) break;
        plans.push_back(
            {.guest_cluster = owner.guest_cluster, .from = offset_of(owner.place), .to = *to});
        const auto later =
            std::ranges::lower_bound(next_, owner.guest_cluster, {}, &Owner::guest_cluster);
        if (later != next_.end() && later->guest_cluster == owner.guest_cluster) {
            later->place = to->offset.value >> context_.cluster.bits();
        }
    }
    co_return co_await run(plans);
}

Task<Result<void>> ClusterSort::move_in() {
    QED_CO_CHECK(co_await tables_.flush());  // now the places are free
    std::vector<ClusterMove::Plan> plans;
    for (std::size_t i = 0; i < places_.size(); ++i) {
        if (next_[i].place == places_[i]) continue;
        const ClusterRun to =
            allocator_.reserve_between(offset_of(places_[i]), offset_of(places_[i] + 1), 1);
        if (to.clusters == 0) continue;  // a request was faster
        plans.push_back(
            {.guest_cluster = next_[i].guest_cluster, .from = offset_of(next_[i].place), .to = to});
    }
    co_return co_await run(plans);
}

Task<Result<void>> ClusterSort::run(const std::vector<ClusterMove::Plan>& plans) {
    Result<std::uint64_t> moved = co_await moves_.run(plans);
    if (!moved) co_return pass(moved);
    moved_ += *moved;
    co_return {};
}

}  // namespace qed
