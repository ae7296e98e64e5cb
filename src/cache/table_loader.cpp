// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <coroutine>
#include <new>

#include <fmt/format.h>

#include "base/aligned_buffer.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"
#include "cache/table_cache.hpp"

// The miss path of TableCache: one read for all who miss the same slice, decode, commit.

namespace qed {

/// One coroutine's wish for a pin; in its frame, linked while it waits for somebody's read.
struct PinRequest : Waiter {
    enum class Outcome : std::uint8_t {
        pinned,
        leads,     ///< is to read the slice itself
        no_table,  ///< the L1 entry names none
        again,     ///< what was read was overtaken by a change
        failed,
    } outcome = Outcome::failed;
    SliceRecord* record = nullptr;
    std::optional<Error> error;  ///< none: out of memory
};

namespace {

Error in_table(Error error, Entry table) noexcept try {
    if (error.code() == Errc::out_of_memory) return error;
    return std::move(error).with_context(fmt::format("reading the L2 table at {:#x}", table));
} catch (const std::bad_alloc&) {
    return Error::out_of_memory();
}

}  // namespace

/// Suspends only when somebody else is reading the slice.
struct TableCache::PinAwaiter {
    TableCache& cache;
    std::uint64_t slice;
    PinRequest& request;
    PendingLoad& load;

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        request.handle = handle;
        request.home = handle.promise().home;
        return cache.pin_or_join(slice, request, load);
    }
    void await_resume() const noexcept {}
};

Task<Result<Mapping>> TableCache::load(GuestOffset at, std::uint64_t length) {
    for (;;) {
        const Mapping now = find_in_l1(at, length).mapping();
        if (now.kind != Mapping::Kind::not_loaded) co_return now;
        Result<SliceRef> slice = co_await pin(slice_index(at));
        if (!slice) co_return pass(slice);
        if (!*slice) continue;  // the table has just gone
        const std::scoped_lock lock(budget_.mutex_);
        const Mapping found = find_in_word(slice->record_->word, at, length).mapping();
        unpin(*std::exchange(slice->record_, nullptr));
        co_return found;
    }
}

// All in one frame: whatever fails after join has made this the reader must end the load.
Task<Result<SliceRef>> TableCache::pin(std::uint64_t slice) {
    for (;;) {
        PendingLoad load;
        PinRequest request;
        PinAwaiter join{*this, slice, request, load};
        co_await join;
        switch (request.outcome) {
            case PinRequest::Outcome::pinned:
                co_return SliceRef(this, request.record);
            case PinRequest::Outcome::no_table:
                co_return SliceRef();
            case PinRequest::Outcome::failed:
                if (!request.error) co_return std::unexpected(Error::out_of_memory());
                co_return std::unexpected(std::move(*request.error));
            case PinRequest::Outcome::again:
                continue;
            case PinRequest::Outcome::leads:
                break;
        }
        SliceRead read = prepare_read(slice, load.table);
        Result<void> done = read.check_memory();
        if (done) done = co_await file_.read(read.at, read.raw());
        if (!done) {
            Error error = in_table(std::move(done.error()), load.table);
            fail_load(*request.record, load, error);
            co_return std::unexpected(std::move(error));
        }
        Result<bool> is_pinned = commit_read(slice, *request.record, load, read);
        if (!is_pinned) co_return pass(is_pinned);
        if (*is_pinned) co_return SliceRef(this, request.record);
    }
}

// True: the caller waits until it is woken.
bool TableCache::pin_or_join(std::uint64_t slice, PinRequest& request, PendingLoad& load) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    load.table = l1(l1_index_of(slice));
    if (!is_data_entry(load.table)) {
        request.outcome = PinRequest::Outcome::no_table;
        return false;
    }
    DirectoryBlock* leaf = leaf_for(slice);
    request.record = leaf != nullptr ? record_for(*leaf, slot_of(slice)) : nullptr;
    if (request.record == nullptr) return false;  // failed: out of memory
    SliceRecord& record = *request.record;
    if (record.is_loading) {
        counters_.add(CacheCounter::coalesced);
        QED_TRACE(cache_coalesced, this, slice);
        record.load->waiters.push(request);
        return true;
    }
    if (!record.word.is_absent()) {
        pin_record(record);
        request.outcome = PinRequest::Outcome::pinned;
        return false;
    }
    counters_.add(CacheCounter::misses);
    record.is_loading = true;
    record.load = &load;
    ++loads_;
    request.outcome = PinRequest::Outcome::leads;
    QED_TRACE(cache_miss, this, slice, loads_);
    return false;
}

// One slice, and more ahead of time where the misses come in order.
TableCache::SliceRead TableCache::prepare_read(std::uint64_t slice, Entry table) noexcept {
    SliceRead read;
    read.at = FileOffset{table + slice_in_table(slice) * slice_bytes()};
    {
        const std::scoped_lock lock(budget_.mutex_);
        auto stream = std::ranges::find(streams_, slice, &Stream::next);
        if (stream != streams_.end()) {
            stream->slices = std::min(stream->slices * 2, readahead_);
        } else {
            stream = streams_.begin() + static_cast<std::ptrdiff_t>(oldest_stream_);
            oldest_stream_ = (oldest_stream_ + 1) % streams_.size();
            stream->slices = 1;
        }
        const std::uint64_t table_left = addressing_.slices_in_table() - slice_in_table(slice);
        const std::uint64_t leaf_left = addressing_.slots_in_leaf() - slot_of(slice);
        read.slices = static_cast<std::uint32_t>(
            std::min({std::uint64_t{stream->slices}, table_left, leaf_left}));
        read.version = place_of(slice).version.load(std::memory_order_relaxed);
        stream->next = slice + read.slices;
    }
    const std::size_t bytes = std::size_t{read.slices} * slice_bytes();
    if (auto memory = AlignedBuffer::create(2 * bytes, 4096)) read.memory = std::move(*memory);
    return read;
}

// True: the record is pinned for the caller. False: a change has overtaken the read.
Result<bool> TableCache::commit_read(std::uint64_t slice, SliceRecord& record, PendingLoad& load,
                                     SliceRead& read) noexcept {
    const std::span<std::byte> raw = read.raw();
    const std::span<Entry> entries = read.entries();
    counters_.add(CacheCounter::read_bytes, raw.size());
    decoder_.decode(load.table, slice_in_table(slice) * shape_.entries(), raw, entries);
    // Encoded where the raw slice was.
    const std::span words(reinterpret_cast<std::uint64_t*>(raw.data()), shape_.entries());
    Result<bool> committed =
        commit_load(record, load, encode_slice(entries.first(shape_.entries()), shape_, words));
    for (std::size_t i = 1; committed && i < read.slices; ++i) {
        const auto neighbour = entries.subspan(i * shape_.entries(), shape_.entries());
        commit_ahead(slice + i, encode_slice(neighbour, shape_, words), read.version);
    }
    return committed;
}

Result<bool> TableCache::commit_load(SliceRecord& record, PendingLoad& load,
                                     const EncodedSlice& encoded) noexcept {
    std::unique_lock lock(budget_.mutex_);
    end_load(record, load);
    auto outcome = PinRequest::Outcome::again;
    if (load.overtaken && !detail::mutant(detail::Mutant::commit_stale_load)) {
        counters_.add(CacheCounter::stale_dropped);
        QED_TRACE(cache_stale, this, &record);
    } else {
        // Pinned for the caller before it is stored: a full budget must not evict it at once.
        pin_record(record);
        const bool stored = store(record, encoded);
        outcome = stored ? PinRequest::Outcome::pinned : PinRequest::Outcome::failed;
        if (stored) counters_.add(CacheCounter::commits);
        QED_TRACE(cache_commit, this, &record, stored);
    }
    WaiterQueue woken;
    while (Waiter* waiter = load.waiters.pop()) {
        auto& request = static_cast<PinRequest&>(*waiter);
        request.outcome = outcome;
        if (outcome == PinRequest::Outcome::pinned) {
            pin_record(record);
            request.record = &record;
        }
        woken.push(request);
    }
    if (outcome == PinRequest::Outcome::again) forget_record(record);
    if (outcome == PinRequest::Outcome::failed) unpin(record);  // and forgets it
    lock.unlock();
    while (Waiter* waiter = woken.pop())
        waiter->wake();
    if (outcome == PinRequest::Outcome::failed) return std::unexpected(Error::out_of_memory());
    return outcome == PinRequest::Outcome::pinned;
}

void TableCache::fail_load(SliceRecord& record, PendingLoad& load, const Error& error) noexcept {
    {
        const std::scoped_lock lock(budget_.mutex_);
        end_load(record, load);
        forget_record(record);
    }
    // No new waiter can come any more: the load is not in the directory.
    while (Waiter* waiter = load.waiters.pop()) {
        auto& request = static_cast<PinRequest&>(*waiter);
        request.outcome = PinRequest::Outcome::failed;
        request.error.emplace(error.clone());
        request.wake();
    }
}

void TableCache::end_load(SliceRecord& record, PendingLoad& load) noexcept {
    record.is_loading = false;
    record.word = SliceWord();
    --loads_;
    QED_TRACE(cache_load_end, this, &record, load.overtaken);
}

// Stores a slice that was read ahead at `version` of its place. The copy in the cache wins; a copy
// that an update or eviction overtook is dropped.
void TableCache::commit_ahead(std::uint64_t slice, const EncodedSlice& encoded,
                              std::uint64_t version) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    DirectorySlot& place = place_of(slice);
    DirectoryBlock* leaf = place.leaf.load(std::memory_order_relaxed);
    const std::uint32_t slot = slot_of(slice);
    if (leaf != nullptr && (leaf->words()[slot].load(std::memory_order_relaxed) != 0 ||
                            leaf->record(slot) != nullptr)) {
        counters_.add(CacheCounter::duplicates_dropped);
        QED_TRACE(cache_duplicate, this, slice);
        return;
    }
    const bool is_stale = place.version.load(std::memory_order_relaxed) != version;
    if (leaf == nullptr || (is_stale && !detail::mutant(detail::Mutant::commit_stale_load))) {
        counters_.add(CacheCounter::stale_dropped);
        QED_TRACE(cache_stale, this, slice);
        return;
    }
    SliceRecord* record = record_for(*leaf, slot);
    if (record == nullptr) return;
    pin_record(*record);
    if (store(*record, encoded)) counters_.add(CacheCounter::commits);
    unpin(*record);
}

}  // namespace qed
