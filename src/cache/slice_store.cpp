// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_store.hpp"

#include <new>

#include "base/assert.hpp"
#include "base/trace.hpp"

namespace qed {
namespace {

// The memory of a record besides its payload.
const auto kRecordBytes = static_cast<std::uint32_t>(SliceArena::block_bytes(sizeof(SliceRecord)));

}  // namespace

// --- Records ------------------------------------------------------------------------------------

SliceRecord* SliceStore::find_or_make(DirectoryBlock& block, std::uint32_t index) noexcept {
    if (SliceRecord* record = block.record(index)) return record;
    void* memory = budget_.memory().records.allocate(sizeof(SliceRecord));
    if (memory == nullptr) return nullptr;
    auto* record = new (memory) SliceRecord;
    block.record(index) = record;
    ++block.records;
    record->group = &block;
    record->index = static_cast<std::uint16_t>(index);
    record->bytes = kRecordBytes;
    record->word = block.word(index);
    QED_TRACE(cache_alloc, &directory_, record,
              directory_.addressing().slice_at(block.slot, index));
    return record;
}

void SliceStore::delete_record(SliceRecord& record) noexcept {
    QED_ASSERT(record.pins == 0 && record.queue == Evictable::Queue::none);
    if (!record.is_loading) free_payload(record.word);
    QED_TRACE(cache_free, &directory_, &record);
    record.~SliceRecord();
    budget_.memory().records.free(&record);
}

void SliceStore::forget(SliceRecord& record) noexcept {
    leave_block(record);
    delete_record(record);
}

void SliceStore::leave_block(const SliceRecord& record) noexcept {
    DirectoryBlock& block = record.block();
    QED_ASSERT(block.records != 0);
    block.record(record.index) = nullptr;
    if (--block.records != 0) return;
    budget_.unpinned(block);
    if (block.present == 0) directory_.erase(block);  // nothing in it is worth keeping
}

void SliceStore::free_payload(SliceWord word) noexcept {
    if (word.has_payload()) budget_.memory().payloads.free(word.payload());
}

// --- Content ------------------------------------------------------------------------------------

void SliceStore::begin_load(SliceRecord& record, PendingLoad& load) noexcept {
    QED_ASSERT(!record.is_loading && record.word.is_absent() && record.pins == 0);
    record.is_loading = true;
    record.load = &load;
    ++loading_;
}

void SliceStore::end_load(SliceRecord& record) noexcept {
    QED_ASSERT(record.is_loading && loading_ != 0);
    QED_TRACE(cache_load_end, &directory_, &record, record.load->overtaken);
    record.is_loading = false;
    record.word = SliceWord();
    --loading_;
}

bool SliceStore::store(SliceRecord& record, const EncodedSlice& encoded) noexcept {
    QED_ASSERT(record.pins != 0 && encoded.words.size() <= shape().entries());
    SliceWord word = SliceWord::make(encoded.form, encoded.inline_value);
    QED_ASSERT(!word.is_absent() && word.has_payload() == !encoded.words.empty());
    std::uint32_t bytes = kRecordBytes;
    if (word.has_payload()) {
        void* payload = budget_.memory().payloads.allocate(encoded.payload_bytes());
        if (payload == nullptr) return false;
        store_payload(encoded.words, payload);
        word = SliceWord::at(encoded.form, payload);
        bytes += static_cast<std::uint32_t>(SliceArena::block_bytes(encoded.payload_bytes()));
    }
    const SliceWord old = std::exchange(record.word, word);
    directory_.set_word(record.block(), record.index, word);
    free_payload(old);  // only now: readers notice that the word has changed
    if (!word.has_payload()) {
        budget_.remove(record);
        record.bytes = bytes;
    } else if (old.has_payload()) {
        budget_.resize(record, bytes);
    } else {
        record.bytes = bytes;
        budget_.insert(record);
    }
    return true;
}

void SliceStore::detach(SliceRecord& record) noexcept {
    QED_ASSERT(!record.is_loading && !record.is_detached);
    directory_.set_word(record.block(), record.index, SliceWord());
    budget_.remove(record);
    record.is_detached = true;
    detached_.client = record.group->client;
    leave_block(record);
    record.group = &detached_;
    if (record.pins == 0) delete_record(record);
}

void SliceStore::evict(BudgetEntry& entry) noexcept {
    if (is_block(entry)) {
        DirectoryBlock& block = block_of(entry);
        counters_.add(CacheCounter::evictions, block.present);
        directory_.erase(block);
        return;
    }
    auto& record = static_cast<SliceRecord&>(entry);
    QED_TRACE(cache_evict, &directory_,
              directory_.addressing().slice_at(record.block().slot, record.index), record.bytes);
    counters_.add(CacheCounter::evictions);
    budget_.remove(record);
    directory_.set_word(record.block(), record.index, SliceWord());
    forget(record);
}

void SliceStore::erase(DirectoryBlock& block) noexcept {
    ++block.records;  // an eviction that is due meanwhile must not take the block
    for (std::uint32_t i = 0; i < block.slices; ++i) {
        SliceRecord* record = block.record(i);
        if (record == nullptr) continue;
        QED_ASSERT(record->pins == 0 && !record->is_loading);
        directory_.set_word(block, i, SliceWord());
        budget_.remove(*record);
        block.record(i) = nullptr;
        --block.records;
        delete_record(*record);
    }
    --block.records;
    directory_.erase(block);
}

// --- Pins ---------------------------------------------------------------------------------------

void SliceRef::reset() noexcept {
    if (record_ != nullptr) store_->end_pin(release());
}

Entry SliceRef::entry(std::uint32_t index) const noexcept {
    return read_entry(record_->word, index, store_->shape());
}

void SliceRef::entries(std::uint32_t first, std::span<Entry> entries) const noexcept {
    read_entries(record_->word, first, entries, store_->shape());
}

bool SliceRef::is_detached() const noexcept {
    return store_->is_detached(*record_);
}

bool SliceStore::is_detached(const SliceRecord& record) const noexcept {
    const BudgetLock lock(budget_);
    return record.is_detached;
}

void SliceStore::pin(SliceRecord& record) noexcept {
    QED_ASSERT(!record.is_loading);
    if (record.pins++ == 0) ++pinned_;
}

void SliceStore::unpin(SliceRecord& record) noexcept {
    QED_ASSERT(record.pins != 0 && pinned_ != 0);
    QED_TRACE(cache_unref, &directory_, &record, record.pins);
    if (--record.pins != 0) return;
    --pinned_;
    // The record may be gone after the next lines.
    const EvictionClient& client = *record.group->client;
    if (record.is_detached) {
        delete_record(record);
    } else if (!record.word.has_payload()) {
        forget(record);  // the directory's word is enough
    } else {
        budget_.unpinned(record);
    }
    budget_.shrink_back(client);
}

void SliceStore::end_pin(SliceRecord& record) noexcept {
    const BudgetLock lock(budget_);
    unpin(record);
}

SliceRef SliceStore::try_pin(std::uint64_t slice) noexcept {
    const BudgetLock lock(budget_);
    DirectoryBlock* block = directory_.find(slice);
    const std::uint32_t index = directory_.addressing().index_in_block(slice);
    if (block == nullptr || block->word(index).is_absent()) return {};
    SliceRecord* record = find_or_make(*block, index);
    if (record == nullptr) return {};
    pin(*record);
    return {*this, *record};
}

Found SliceStore::find_and_unpin(SliceRef&& pin, GuestOffset at, std::uint64_t length) noexcept {
    const BudgetLock lock(budget_);
    SliceRecord& record = pin.release();
    const Found found = lookup_.find(record.word, at, length);
    unpin(record);
    return found;
}

void SliceStore::add_to(CacheStats& stats) const noexcept {
    stats.slices += directory_.present();
    stats.pinned += pinned_;
    stats.loads_in_flight += loading_;
}

}  // namespace qed
