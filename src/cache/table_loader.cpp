// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/assert.hpp"
#include "base/trace.hpp"
#include "cache/table_cache.hpp"

// The miss path of TableCache: one read for all who miss the same slice, decode, commit.

namespace qed {

/// Suspends only when somebody else is reading the slice; resumed with a pin or that read's error.
struct TableCache::PinAwaiter {
    TableCache& cache;
    std::uint64_t slice;
    PinRequest& request;

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        request.handle = handle;
        request.home = handle.promise().home;
        return cache.pin_or_join(slice, request);
    }
    void await_resume() const noexcept {}
};

Task<Result<Lookup>> TableCache::load(GuestOffset at, std::uint64_t length) {
    const Lookup now = find_in_l1(at, length);
    if (now.kind != Lookup::Kind::miss) co_return now;
    Result<SliceRef> slice = co_await pin(slice_index(at));
    if (!slice) co_return pass(slice);
    const std::scoped_lock lock(budget_.mutex_);
    const Lookup found = find_in_word(slice->record_->word, at, length);
    unpin(*std::exchange(slice->record_, nullptr));
    co_return found;
}

Task<Result<SliceRef>> TableCache::pin(std::uint64_t slice) {
    PinRequest request;
    PinAwaiter join{*this, slice, request};
    co_await join;
    if (request.outcome == PinRequest::Outcome::leads) {
        QED_CO_CHECK(co_await read_slices(slice, request.record));
    } else if (request.outcome == PinRequest::Outcome::failed) {
        if (!request.error) co_return std::unexpected(Error::out_of_memory());
        co_return std::unexpected(std::move(*request.error));
    }
    co_return SliceRef(this, request.record);
}

bool TableCache::pin_or_join(std::uint64_t slice, PinRequest& request) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    Leaf* leaf = leaf_for(slice);
    request.record = leaf != nullptr ? record_for(*leaf, slot_of(slice)) : nullptr;
    if (request.record == nullptr) return false;  // outcome: failed, out of memory
    SliceRecord& record = *request.record;
    if (record.loading) {
        counters_.add(CacheCounter::coalesced);
        record.waiters.push(request);
        return true;
    }
    if (record.word.form() != Form::absent) {
        pin_record(record);
        request.outcome = PinRequest::Outcome::pinned;
        return false;
    }
    counters_.add(CacheCounter::misses);
    record.loading = true;
    ++loads_;
    request.outcome = PinRequest::Outcome::leads;
    QED_TRACE(cache_miss, slice, loads_);
    return false;
}

TableCache::ReadPlan TableCache::plan_read(std::uint64_t slice) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    read_run_ = slice == last_read_ + 1 ? std::min(read_run_ * 2, readahead_) : 1;
    const std::uint64_t table_left =
        (std::uint64_t{1} << slices_per_table_bits_) - slice_in_table(slice);
    const std::uint64_t leaf_left = (std::uint64_t{1} << leaf_bits_) - slot_of(slice);
    ReadPlan plan;
    plan.slices =
        static_cast<std::uint32_t>(std::min({std::uint64_t{read_run_}, table_left, leaf_left}));
    plan.version = find_leaf(slice)->version;
    last_read_ = slice + plan.slices - 1;
    return plan;
}

// Reads `slice` for all who wait for it, and perhaps its neighbours ahead of time. On success the
// record is pinned for the caller.
Task<Result<void>> TableCache::read_slices(std::uint64_t slice, SliceRecord* record) {
    const ReadPlan plan = plan_read(slice);
    const std::size_t bytes = std::size_t{plan.slices} * slice_bytes();
    const std::uint64_t table = l1(l1_index_of(slice));
    const FileOffset at{table + slice_in_table(slice) * slice_bytes()};
    Result<AlignedBuffer> raw = AlignedBuffer::create(bytes, 4096);
    Result<AlignedBuffer> decoded = AlignedBuffer::create(bytes, 4096);
    if (!raw || !decoded) {
        fail_load(*record, Error::out_of_memory());
        co_return std::unexpected(Error::out_of_memory());
    }
    Result<void> done = co_await file_.read(at, raw->span());
    if (!done) {
        Error error = std::move(done.error())
                          .with_context(fmt::format("reading the L2 table at {:#x}", table));
        fail_load(*record, error);
        co_return std::unexpected(std::move(error));
    }
    counters_.add(CacheCounter::read_bytes, bytes);
    const std::span<Entry> entries(reinterpret_cast<Entry*>(decoded->data()), bytes / 8);
    judge_.decode(table, slice_in_table(slice) * shape_.entries(), raw->span(), entries);
    if (!commit_load(*record, entries.first(shape_.entries()))) {
        co_return std::unexpected(Error::out_of_memory());
    }
    for (std::uint32_t i = 1; i < plan.slices; ++i) {
        offer(slice + i, entries.subspan(std::size_t{i} * shape_.entries(), shape_.entries()),
              plan.version);
    }
    co_return {};
}

bool TableCache::commit_load(SliceRecord& record, std::span<const Entry> entries) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    // Pinned for the reader before it is stored: a full budget must not evict it at once.
    pin_record(record);
    const std::uint32_t version = record.leaf->version;
    const bool stored = store_entries(record, entries);
    record.leaf->version = version;  // a load overtakes no read-ahead of its neighbours
    if (!stored) {
        --record.pins;
        --pinned_;
        const Error error = Error::out_of_memory();
        finish_load(record, &error);
        return false;
    }
    counters_.add(CacheCounter::commits);
    QED_TRACE(cache_commit, record.leaf->index, record.slot);
    finish_load(record, nullptr);
    return true;
}

void TableCache::fail_load(SliceRecord& record, const Error& error) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    finish_load(record, &error);
}

void TableCache::finish_load(SliceRecord& record, const Error* error) noexcept {
    record.loading = false;
    --loads_;
    while (Waiter* waiter = record.waiters.pop()) {
        auto& request = static_cast<PinRequest&>(*waiter);
        if (error == nullptr) {
            pin_record(record);
            request.record = &record;
            request.outcome = PinRequest::Outcome::pinned;
        } else {
            request.outcome = PinRequest::Outcome::failed;
            request.error.emplace(error->clone());
        }
        request.wake();
    }
    if (error != nullptr) forget_record(record);
}

}  // namespace qed
