// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_loader.hpp"

#include <algorithm>
#include <coroutine>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "base/assert.hpp"
#include "base/mutants.hpp"
#include "base/trace.hpp"

namespace qed {

/// The request of one coroutine. It lives in the coroutine's frame, and is linked while it waits
/// for the read of another coroutine.
struct PinRequest : Waiter {
    enum class Outcome : std::uint8_t {
        pinned,
        leads,     ///< reads the slice itself
        no_table,  ///< the L1 entry names none
        again,     ///< a change has overtaken the read
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

/// Suspends only while another coroutine reads the slice.
struct SliceLoader::PinAwaiter {
    SliceLoader& loader;
    std::uint64_t slice;
    PinRequest& request;
    PendingLoad& load;

    bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
        request.handle = handle;
        request.home = handle.promise().home;
        return loader.pin_or_join(slice, request, load);
    }
    void await_resume() const noexcept {}
};

// All in one frame: any failure after pin_or_join() has made this coroutine the reader must end the
// load.
Task<Result<SliceRef>> SliceLoader::pin(std::uint64_t slice) {
    for (;;) {
        PendingLoad load;
        PinRequest request;
        PinAwaiter join{*this, slice, request, load};
        co_await join;
        switch (request.outcome) {
            case PinRequest::Outcome::pinned:
                co_return SliceRef(parts_.store, *request.record);
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
        if (done) done = co_await parts_.file.read(read.at, read.raw());
        if (!done) {
            Error error = in_table(std::move(done.error()), load.table);
            fail_load(*request.record, load, error);
            co_return std::unexpected(std::move(error));
        }
        Result<bool> is_pinned = commit_read(slice, *request.record, load, read);
        if (!is_pinned) co_return pass(is_pinned);
        if (*is_pinned) co_return SliceRef(parts_.store, *request.record);
    }
}

// True: the caller waits until it is woken.
bool SliceLoader::pin_or_join(std::uint64_t slice, PinRequest& request,
                              PendingLoad& load) noexcept {
    const SliceAddressing& addressing = parts_.directory.addressing();
    const BudgetLock lock(parts_.budget);
    load.table = parts_.level_one.entry(addressing.table_of(slice));
    if (!is_data_entry(load.table)) {
        request.outcome = PinRequest::Outcome::no_table;
        return false;
    }
    DirectoryBlock* block = parts_.directory.find_or_make(slice);
    request.record = block == nullptr
                         ? nullptr
                         : parts_.store.find_or_make(*block, addressing.index_in_block(slice));
    if (request.record == nullptr) return false;  // failed: out of memory
    SliceRecord& record = *request.record;
    if (record.is_loading) {
        parts_.counters.add(CacheCounter::coalesced);
        QED_TRACE(cache_coalesced, &parts_.directory, slice);
        record.load->waiters.push(request);
        return true;
    }
    if (!record.word.is_absent()) {
        parts_.store.pin(record);
        request.outcome = PinRequest::Outcome::pinned;
        return false;
    }
    parts_.counters.add(CacheCounter::misses);
    parts_.store.begin_load(record, load);
    request.outcome = PinRequest::Outcome::leads;
    QED_TRACE(cache_miss, &parts_.directory, slice, parts_.store.loading());
    return false;
}

// One slice, and following ones if the misses come in order: at most to the end of the table and of
// the block.
SliceLoader::SliceRead SliceLoader::prepare_read(std::uint64_t slice, Entry table) noexcept {
    const SliceAddressing& addressing = parts_.directory.addressing();
    const std::uint64_t index = addressing.index_in_table(slice);
    SliceRead read;
    read.at = FileOffset{table + index * addressing.slice_bytes()};
    {
        const std::uint64_t block_left =
            addressing.slices_in_block() - addressing.index_in_block(slice);
        const BudgetLock lock(parts_.budget);
        read.slices = read_ahead_.slices_for(
            slice, std::min(addressing.slices_in_table() - index, block_left));
        read.version = parts_.directory.version(slice);
    }
    read.allocate(addressing);
    return read;
}

void SliceLoader::SliceRead::allocate(const SliceAddressing& addressing) noexcept {
    raw_bytes = std::size_t{slices} * addressing.slice_bytes();
    const std::size_t slice_entry_bytes = addressing.slice_entries() * sizeof(Entry);
    entry_bytes = slices * slice_entry_bytes;
    const std::size_t bytes = entry_bytes + std::max(raw_bytes, slice_entry_bytes);
    if (auto made = AlignedBuffer::create(bytes, 4096)) memory = std::move(*made);
}

// True: the record is pinned for the caller. False: a change has overtaken the read.
Result<bool> SliceLoader::commit_read(std::uint64_t slice, SliceRecord& record, PendingLoad& load,
                                      SliceRead& read) noexcept {
    const SliceAddressing& addressing = parts_.directory.addressing();
    const SliceShape& shape = parts_.store.shape();
    const std::span<std::byte> raw = read.raw();
    const std::span<Entry> entries = read.entries();
    QED_ASSERT(entries.size() == std::size_t{read.slices} * shape.entries());
    parts_.counters.add(CacheCounter::read_bytes, raw.size());
    parts_.decoder.decode(load.table, addressing.index_in_table(slice) * shape.entries(), raw,
                          entries);
    const std::span words = read.words(shape.entries());
    Result<bool> committed =
        commit_load(record, load, encode_slice(entries.first(shape.entries()), shape, words));
    for (std::size_t i = 1; committed && i < read.slices; ++i) {
        const auto neighbour = entries.subspan(i * shape.entries(), shape.entries());
        commit_ahead(slice + i, encode_slice(neighbour, shape, words), read.version);
    }
    return committed;
}

Result<bool> SliceLoader::commit_load(SliceRecord& record, PendingLoad& load,
                                      const EncodedSlice& encoded) noexcept {
    BudgetLock lock(parts_.budget);
    parts_.store.end_load(record);
    auto outcome = PinRequest::Outcome::again;
    if (load.overtaken && !detail::mutant(detail::Mutant::commit_stale_load)) {
        parts_.counters.add(CacheCounter::stale_dropped);
        QED_TRACE(cache_stale, &parts_.directory, &record);
    } else {
        // Pinned for the caller before it is stored: a full budget must not evict it at once.
        parts_.store.pin(record);
        const bool stored = parts_.store.store(record, encoded);
        outcome = stored ? PinRequest::Outcome::pinned : PinRequest::Outcome::failed;
        if (stored) parts_.counters.add(CacheCounter::commits);
        QED_TRACE(cache_commit, &parts_.directory, &record, stored);
    }
    WaiterQueue woken;
    while (Waiter* waiter = load.waiters.pop()) {
        auto& request = static_cast<PinRequest&>(*waiter);
        request.outcome = outcome;
        if (outcome == PinRequest::Outcome::pinned) {
            parts_.store.pin(record);
            request.record = &record;
        }
        woken.push(request);
    }
    if (outcome == PinRequest::Outcome::again) parts_.store.forget(record);
    if (outcome == PinRequest::Outcome::failed) parts_.store.unpin(record);  // and forgets it
    lock.unlock();
    while (Waiter* waiter = woken.pop())
        waiter->wake();
    if (outcome == PinRequest::Outcome::failed) return std::unexpected(Error::out_of_memory());
    return outcome == PinRequest::Outcome::pinned;
}

void SliceLoader::fail_load(SliceRecord& record, PendingLoad& load, const Error& error) noexcept {
    {
        const BudgetLock lock(parts_.budget);
        parts_.store.end_load(record);
        parts_.store.forget(record);
    }
    // No new waiter can arrive: the load is not in the directory any more.
    while (Waiter* waiter = load.waiters.pop()) {
        auto& request = static_cast<PinRequest&>(*waiter);
        request.outcome = PinRequest::Outcome::failed;
        request.error.emplace(error.clone());
        request.wake();
    }
}

// Stores a slice that was read ahead at `version` of its slot. If the cache has a copy, that one
// stays. A slice that an update or an eviction has overtaken is dropped.
void SliceLoader::commit_ahead(std::uint64_t slice, const EncodedSlice& encoded,
                               std::uint64_t version) noexcept {
    const BudgetLock lock(parts_.budget);
    DirectoryBlock* block = parts_.directory.find(slice);
    const std::uint32_t index = parts_.directory.addressing().index_in_block(slice);
    if (block != nullptr && (!block->word(index).is_absent() || block->record(index) != nullptr)) {
        parts_.counters.add(CacheCounter::duplicates_dropped);
        QED_TRACE(cache_duplicate, &parts_.directory, slice);
        return;
    }
    const bool is_stale = parts_.directory.version(slice) != version;
    if (block == nullptr || (is_stale && !detail::mutant(detail::Mutant::commit_stale_load))) {
        parts_.counters.add(CacheCounter::stale_dropped);
        QED_TRACE(cache_stale, &parts_.directory, slice);
        return;
    }
    SliceRecord* record = parts_.store.find_or_make(*block, index);
    if (record == nullptr) return;
    parts_.store.pin(*record);
    if (parts_.store.store(*record, encoded)) parts_.counters.add(CacheCounter::commits);
    parts_.store.unpin(*record);
}

}  // namespace qed
