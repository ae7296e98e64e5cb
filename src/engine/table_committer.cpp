// SPDX-License-Identifier: Apache-2.0
#include "engine/table_committer.hpp"

#include <vector>

#include "base/assert.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"
#include "engine/deferred_tables.hpp"
#include "engine/table_group.hpp"
#include "engine/table_space.hpp"

namespace qed {
namespace {

Entry entry_for(const MappingUpdate& mapping) {
    switch (mapping.state) {
        case MappingUpdate::State::unallocated:
            return kUnallocatedEntry;
        case MappingUpdate::State::zero:
            return kZeroEntry;
        case MappingUpdate::State::data:
            break;
    }
    QED_ASSERT(is_data_entry(mapping.storage.value));
    return mapping.storage.value;
}

}  // namespace

/// Joins the group that is being gathered; suspends unless no request leads it.
struct TableCommitter::Join {
    TableCommitter& committer;
    TableUpdate& update;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        update.handle = handle;
        update.home = handle.promise().home;
        const ScopedLock lock(committer.mutex_);
        if (!committer.leading_) {
            committer.leading_ = true;
            update.leads = true;
            return false;
        }
        committer.waiting_.push(update);
        return true;
    }
    void await_resume() const noexcept {}
};

TableCommitter::TableCommitter(const Parts& parts, const TableLayout& layout, const Rules& rules)
    : parts_(parts),
      layout_(layout),
      rules_(rules),
      deferred_(rules.defers ? std::make_unique<DeferredTables>(parts_, layout_) : nullptr),
      space_(std::make_unique<TableSpace>(parts_, layout_)) {}

TableCommitter::~TableCommitter() = default;

TableUpdate TableCommitter::update_for(const MappingUpdate& mapping) const {
    QED_ASSERT(mapping.clusters != 0 && layout_.cluster.within(mapping.at) == 0);
    TableUpdate update;
    update.slice = parts_.cache.slice_index(mapping.at);
    update.first = static_cast<std::uint32_t>(layout_.cluster.index(mapping.at)) &
                   (parts_.cache.addressing().slice_entries() - 1);
    update.count = static_cast<std::uint32_t>(mapping.clusters);
    QED_ASSERT(mapping.clusters <= parts_.cache.addressing().slice_entries() - update.first);
    update.base = entry_for(mapping);
    update.after_flush = mapping.after_flush;
    update.pin = parts_.cache.try_pin(update.slice);
    return update;
}

// The leader's duties to the other members are all in this frame: if another allocation fails, the
// group still ends and the lead is passed on.
Task<Result<void>> TableCommitter::commit(const MappingUpdate& mapping) {
    TableUpdate update = update_for(mapping);
    Join join{*this, update};
    co_await join;
    Result<void> done;
    if (update.leads) {
        co_await yield();  // requests that are ready to join do so now
        AsyncMutex::Guard tables = co_await table_lock_.lock();
        WaiterQueue joined = take_waiting();
        done = co_await run_group(update, joined);
        tables.unlock();
        pass_on_lead();  // waking the others takes long: the next group does not wait for it
        end_group(joined, done);
    }
    if (done && update.error) done = std::unexpected(std::move(*update.error));
    co_return done;
}

WaiterQueue TableCommitter::take_waiting() noexcept {
    const ScopedLock lock(mutex_);
    return std::exchange(waiting_, {});
}

void TableCommitter::count_group(std::size_t updates) noexcept {
    groups_.fetch_add(1, std::memory_order_relaxed);
    updates_.fetch_add(updates, std::memory_order_relaxed);
    QED_TRACE(group_commit, updates);
}

void TableCommitter::end_group(WaiterQueue& joined, const Result<void>& done) noexcept {
    while (Waiter* waiter = joined.pop()) {
        auto* update = static_cast<TableUpdate*>(waiter);
        if (!done && !update->error) update->error.emplace(done.error().clone());
        if (detail::mutant(detail::Mutant::group_error_dropped)) update->error.reset();
        update->wake();
    }
}

void TableCommitter::pass_on_lead() noexcept {
    const ScopedLock lock(mutex_);
    Waiter* next = waiting_.pop();
    leading_ = next != nullptr;
    if (next == nullptr) return;
    static_cast<TableUpdate*>(next)->leads = true;
    next->wake();
}

// Each awaited coroutine costs a frame, so the code first asks for what most groups need not await.
Task<Result<void>> TableCommitter::run_group(TableUpdate& leader, WaiterQueue joined) {
    TableGroup group(parts_, layout_, rules_.strict, leader, joined);
    count_group(group.size());
    // Before anything is reserved or shown: a group that fails here has no effect later, and no
    // more updates wait than the limit and one group.
    if (rules_.defers && exceeds_limits()) QED_CO_CHECK(co_await write_excess());
    if (!group.pin_cached_slices()) QED_CO_CHECK(co_await group.pin_slices());
    QED_CO_CHECK(group.reserve_tables());
    if (group.lacks_space(*space_, rules_.defers)) {
        QED_CO_CHECK(co_await group.reserve_space(*space_, rules_.defers));
    }
    if (rules_.defers) {
        group.defer(*deferred_);
        deferred_bytes_.store(deferred_->bytes());
        co_return {};
    }
    const bool needs_dirty = group.needs_dirty() && !parts_.marker.is_dirty();
    if (needs_dirty) QED_CO_CHECK(co_await parts_.marker.set_dirty());
    QED_CO_CHECK(group.plan());
    if (group.has_new_tables()) QED_CO_CHECK(co_await group.write_new_tables());
    if (group.needs_flush() && !detail::mutant(detail::Mutant::no_flush_before_entries)) {
        QED_CO_CHECK(co_await parts_.flushes.flush());
    }
    if (detail::mutant(detail::Mutant::publish_before_write)) {
        group.publish();
        co_return co_await group.write_entries();
    }
    QED_CO_CHECK(co_await group.write_entries());
    group.publish();
    writes_.fetch_add(group.write_count(), std::memory_order_relaxed);
    write_bytes_.fetch_add(group.write_bytes(), std::memory_order_relaxed);
    co_return {};
}

bool TableCommitter::exceeds_limits() const noexcept {
    return deferred_->bytes() > rules_.deferred_limit || frees_too_much();
}

bool TableCommitter::frees_too_much() const noexcept {
    return deferred_->freed_clusters() << layout_.cluster.bits() > rules_.freed_limit;
}

// The clusters that waiting updates replace are free once the updates are in the file and durable.
Task<Result<void>> TableCommitter::write_excess() {
    const bool must_flush = frees_too_much();
    QED_CO_CHECK(co_await write_deferred());
    if (must_flush) co_return co_await parts_.flushes.flush();
    co_return {};
}

Task<Result<void>> TableCommitter::write_deferred() {
    if (deferred_ == nullptr || deferred_->empty()) co_return {};
    Result<void> done = co_await deferred_->write_out(parts_.flushes);
    const DeferredTables::Written written = deferred_->take_written();
    writes_.fetch_add(written.writes, std::memory_order_relaxed);
    write_bytes_.fetch_add(written.bytes, std::memory_order_relaxed);
    if (done) deferred_bytes_.store(0);
    co_return done;
}

Task<Result<void>> TableCommitter::flush() {
    if (has_deferred()) {
        AsyncMutex::Guard tables = co_await table_lock_.lock();
        QED_CO_CHECK(co_await write_deferred());
    }
    co_return co_await parts_.flushes.flush();
}

TableCommitter::Totals TableCommitter::totals() const noexcept {
    return {.groups = groups_.load(std::memory_order_relaxed),
            .updates = updates_.load(std::memory_order_relaxed),
            .writes = writes_.load(std::memory_order_relaxed),
            .write_bytes = write_bytes_.load(std::memory_order_relaxed)};
}

}  // namespace qed
