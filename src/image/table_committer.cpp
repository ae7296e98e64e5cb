// SPDX-License-Identifier: Apache-2.0
#include "image/table_committer.hpp"

#include <vector>

#include "base/mutants.hpp"
#include "base/trace.hpp"
#include "image/deferred_tables.hpp"
#include "image/table_group.hpp"

namespace qed {

/// Joins the group that is being gathered; suspends unless nobody leads.
struct TableCommitter::Join {
    TableCommitter& committer;
    TableUpdate& update;
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        update.handle = handle;
        update.home = handle.promise().home;
        const std::scoped_lock lock(committer.mutex_);
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

TableCommitter::TableCommitter(const Parts& parts, const Geometry& geometry, const Rules& rules)
    : parts_(parts),
      geometry_(geometry),
      rules_(rules),
      deferred_(rules.defers ? std::make_unique<DeferredTables>(parts_) : nullptr) {}

TableCommitter::~TableCommitter() = default;

Task<Result<void>> TableCommitter::commit(TableUpdate& update) {
    Join join{*this, update};
    co_await join;
    if (update.leads) {
        co_await yield();  // whoever is ready to join does so now
        co_return co_await lead_group(update);
    }
    if (update.error) co_return std::unexpected(std::move(*update.error));
    co_return {};
}

Task<Result<void>> TableCommitter::lead_group(TableUpdate& self) {
    AsyncMutex::Guard tables = co_await table_lock_.lock();
    WaiterQueue joined;
    {
        const std::scoped_lock lock(mutex_);
        std::swap(joined, waiting_);
    }
    std::vector<TableUpdate*> members;
    Result<void> done;
    try {
        members.push_back(&self);
        for (WaiterQueue rest = joined; Waiter* waiter = rest.pop();) {
            members.push_back(static_cast<TableUpdate*>(waiter));
        }
    } catch (const std::bad_alloc&) {
        done = std::unexpected(Error::out_of_memory());
    }
    if (done) {
        groups_.fetch_add(1, std::memory_order_relaxed);
        updates_.fetch_add(members.size(), std::memory_order_relaxed);
        QED_TRACE(group_commit, members.size());
        if (rules_.defers) {
            done = co_await defer_group(members);
        } else {
            done = co_await write_group(members);
        }
    }
    tables.unlock();
    while (Waiter* waiter = joined.pop()) {
        auto* update = static_cast<TableUpdate*>(waiter);
        if (!done && !update->error) update->error.emplace(done.error().clone());
        if (detail::mutant(detail::Mutant::group_error_dropped)) update->error.reset();
        update->wake();
    }
    pass_on_lead();
    if (done && self.error) done = std::unexpected(std::move(*self.error));
    co_return done;
}

void TableCommitter::pass_on_lead() noexcept {
    const std::scoped_lock lock(mutex_);
    Waiter* next = waiting_.pop();
    leading_ = next != nullptr;
    if (next == nullptr) return;
    static_cast<TableUpdate*>(next)->leads = true;
    next->wake();
}

Task<Result<void>> TableCommitter::write_group(std::span<TableUpdate*> members) {
    TableGroup group(parts_, geometry_, rules_.strict, members);
    QED_CO_CHECK(co_await group.pin_slices());
    QED_CO_CHECK(co_await group.make_tables());
    if (group.needs_dirty()) QED_CO_CHECK(co_await parts_.header.set_dirty());
    QED_CO_CHECK(group.plan());
    QED_CO_CHECK(co_await group.write_new_tables());
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

Task<Result<void>> TableCommitter::defer_group(std::span<TableUpdate*> members) {
    TableGroup group(parts_, geometry_, rules_.strict, members);
    QED_CO_CHECK(co_await group.pin_slices());
    QED_CO_CHECK(co_await group.make_tables());
    group.defer(*deferred_);
    deferred_bytes_.store(deferred_->bytes());
    if (deferred_->bytes() > rules_.deferred_limit) co_return co_await write_deferred();
    co_return {};
}

Task<Result<void>> TableCommitter::write_deferred() {
    if (deferred_ == nullptr || deferred_->empty()) co_return {};
    QED_CO_CHECK(co_await deferred_->write_out(parts_.flushes));
    deferred_bytes_.store(0);
    co_return {};
}

TableCommitter::Totals TableCommitter::totals() const noexcept {
    return {.groups = groups_.load(std::memory_order_relaxed),
            .updates = updates_.load(std::memory_order_relaxed),
            .writes = writes_.load(std::memory_order_relaxed),
            .write_bytes = write_bytes_.load(std::memory_order_relaxed)};
}

}  // namespace qed
