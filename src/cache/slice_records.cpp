// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <new>

#include "base/assert.hpp"
#include "base/trace.hpp"
#include "cache/table_cache.hpp"

// What the table cache does under the budget's lock: leaves and records, pins, updates, eviction.

namespace qed {
namespace {

// What a record costs beside its payload.
const auto kRecordBytes = static_cast<std::uint32_t>(SliceArena::block_bytes(sizeof(SliceRecord)));
constexpr std::memory_order kRelease = std::memory_order_release;

// Takes one use away and returns how many there were. Readers may add some meanwhile: it is only
// a hint.
unsigned take_use(std::atomic<std::uint8_t>& uses) {
    const std::uint8_t value = uses.load(std::memory_order_relaxed);
    if (value != 0) uses.store(static_cast<std::uint8_t>(value - 1), std::memory_order_relaxed);
    return value;
}

}  // namespace

// --- Leaves and records -------------------------------------------------------------------------

// Readers may still look at the memory as the leaf it was: words and use counts are atomics all
// the time, and never started anew.
DirectoryBlock* TableCache::make_leaf() noexcept {
    const std::uint32_t slots = addressing_.slots_in_leaf();
    const std::size_t bytes = DirectoryBlock::bytes_for(slots);
    void* memory = budget_.leaves_of(addressing_.leaf_bits()).allocate(bytes);
    if (memory == nullptr) return nullptr;
    auto* leaf = new (memory) DirectoryBlock;
    leaf->is_leaf = true;
    leaf->bytes = static_cast<std::uint32_t>(SliceArena::block_bytes(bytes));
    leaf->cache = this;
    leaf->slots = slots;
    for (std::uint32_t slot = 0; slot < slots; ++slot) {
        leaf->words()[slot].store(0, std::memory_order_relaxed);
        leaf->use_count(slot).store(0, std::memory_order_relaxed);
        leaf->record(slot) = nullptr;
    }
    return leaf;
}

void TableCache::free_leaf(DirectoryBlock& leaf) noexcept {
    budget_.leaves_of(addressing_.leaf_bits()).free(&leaf);
}

DirectoryBlock* TableCache::leaf_from(std::uint64_t place) const noexcept {
    while (place < leaf_limit_) {
        if (leaves_in_page_[place / kSlotsInPage] == 0) {
            place = (place / kSlotsInPage + 1) * kSlotsInPage;
        } else if (DirectoryBlock* leaf = places_[place++].leaf.load(std::memory_order_relaxed)) {
            return leaf;
        }
    }
    return nullptr;
}

void TableCache::free_with_slices(DirectoryBlock& leaf) noexcept {
    ++leaf.records;  // evictions that are due when one of its records has gone must not take it
    for (std::uint32_t slot = 0; slot < leaf.slots; ++slot) {
        SliceRecord* record = leaf.record(slot);
        if (record == nullptr) continue;
        QED_ASSERT(record->pins == 0 && !record->is_loading);
        leaf.record(slot) = nullptr;
        --leaf.records;
        budget_.remove(*share_, *record);
        delete_record(*record);
    }
    budget_.remove(*share_, leaf);
    leave_place(leaf.index);
    free_leaf(leaf);
}

// A leaf that has no record may be evicted by whatever happens next.
DirectoryBlock* TableCache::leaf_for(std::uint64_t slice) noexcept {
    if (DirectoryBlock* leaf = find_leaf(slice)) return leaf;
    DirectoryBlock* leaf = make_leaf();
    if (leaf == nullptr) return nullptr;
    leaf->index = addressing_.place_of_slice(slice);
    leaf_limit_ = std::max(leaf_limit_, leaf->index + 1);
    leaf->records = 1;  // not to be evicted by its own insertion
    budget_.insert(*share_, *leaf, ghost_key(*leaf));
    enter_place(*leaf);
    leaf->records = 0;
    budget_.let_go(*share_, *leaf);
    return leaf;
}

void TableCache::advance(DirectorySlot& place) noexcept {
    place.version.store(++changes_, kRelease);
}

void TableCache::enter_place(DirectoryBlock& leaf) noexcept {
    if (leaves_in_page_[leaf.index / kSlotsInPage]++ == 0) budget_.charge_directory(kPageBytes);
    DirectorySlot& place = places_[leaf.index];
    advance(place);
    place.leaf.store(&leaf, kRelease);
}

// From here on readers notice that the leaf has gone: its memory may be used for another.
void TableCache::leave_place(std::uint64_t index) noexcept {
    DirectorySlot& place = places_[index];
    place.leaf.store(nullptr, kRelease);
    advance(place);
    const std::uint64_t page = index / kSlotsInPage;
    if (--leaves_in_page_[page] != 0) return;
    places_.forget(page * kSlotsInPage, kSlotsInPage);
    budget_.charge_directory(-static_cast<std::int64_t>(kPageBytes));
}

SliceRecord* TableCache::record_for(DirectoryBlock& leaf, std::uint32_t slot) noexcept {
    if (SliceRecord* record = leaf.record(slot)) return record;
    void* memory = budget_.records_.allocate(sizeof(SliceRecord));
    if (memory == nullptr) return nullptr;
    auto* record = new (memory) SliceRecord;
    leaf.record(slot) = record;
    ++leaf.records;
    record->leaf = &leaf;
    record->slot = slot;
    record->bytes = kRecordBytes;
    record->word = SliceWord(leaf.words()[slot].load(std::memory_order_relaxed));
    QED_TRACE(cache_alloc, this, record, addressing_.slice_at(leaf.index, slot));
    return record;
}

void TableCache::delete_record(SliceRecord& record) noexcept {
    if (!record.is_loading) free_payload(record.word);
    QED_TRACE(cache_free, this, &record);
    record.~SliceRecord();
    budget_.records_.free(&record);
}

void TableCache::forget_record(SliceRecord& record) noexcept {
    leave_leaf(record);
    delete_record(record);
}

void TableCache::leave_leaf(const SliceRecord& record) noexcept {
    DirectoryBlock& leaf = *record.leaf;
    leaf.record(record.slot) = nullptr;
    if (--leaf.records != 0) return;
    budget_.let_go(*share_, leaf);
    if (leaf.present != 0) return;
    budget_.remove(*share_, leaf);  // nothing in it is worth keeping
    evict_leaf(leaf);
}

void TableCache::free_payload(SliceWord word) noexcept {
    if (word.has_payload()) budget_.payloads_.free(word.payload());
}

void TableCache::set_word(DirectoryBlock& leaf, std::uint32_t slot, SliceWord word) noexcept {
    const SliceWord old(leaf.words()[slot].load(std::memory_order_relaxed));
    leaf.words()[slot].store(word.bits(), kRelease);
    // Readers that see the old word must notice before its payload is used for something else.
    if (!old.is_absent()) advance(places_[leaf.index]);
    const int change = (old.is_absent() ? 1 : 0) - (word.is_absent() ? 1 : 0);
    leaf.present += static_cast<std::uint32_t>(change);
    slices_ += static_cast<std::uint64_t>(change);
}

// False: no memory, nothing was changed. The record is pinned, or its own insertion could evict it.
bool TableCache::store(SliceRecord& record, const EncodedSlice& encoded) noexcept {
    SliceWord word = SliceWord::make(encoded.form, encoded.inline_value);
    std::uint32_t bytes = kRecordBytes;
    if (!encoded.words.empty()) {
        void* block = budget_.payloads_.allocate(encoded.payload_bytes());
        if (block == nullptr) return false;
        store_payload(encoded.words, block);
        word = SliceWord::at(encoded.form, block);
        bytes += static_cast<std::uint32_t>(SliceArena::block_bytes(encoded.payload_bytes()));
    }
    const SliceWord old = std::exchange(record.word, word);
    set_word(*record.leaf, record.slot, word);
    free_payload(old);
    if (!word.has_payload()) {
        budget_.remove(*share_, record);
        record.bytes = bytes;
    } else if (old.has_payload()) {
        budget_.resize(*share_, record, bytes);
    } else {
        record.bytes = bytes;
        budget_.insert(*share_, record, ghost_key(record));
    }
    return true;
}

// --- Pins ---------------------------------------------------------------------------------------

void SliceRef::reset() noexcept {
    if (record_ != nullptr) cache_->release(*std::exchange(record_, nullptr));
}

Entry SliceRef::entry(std::uint32_t index) const noexcept {
    return read_entry(record_->word, index, cache_->shape_);
}

void SliceRef::entries(std::uint32_t first, std::span<Entry> entries) const noexcept {
    read_entries(record_->word, first, entries, cache_->shape_);
}

bool SliceRef::is_detached() const noexcept {
    return cache_->is_detached(*record_);
}

void TableCache::release(SliceRecord& record) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    unpin(record);
}

bool TableCache::is_detached(const SliceRecord& record) const noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    return record.is_detached;
}

void TableCache::pin_record(SliceRecord& record) noexcept {
    if (record.pins++ == 0) ++pinned_;
}

void TableCache::unpin(SliceRecord& record) noexcept {
    QED_ASSERT(record.pins != 0);
    QED_TRACE(cache_unref, this, &record, record.pins);
    if (--record.pins != 0) return;
    --pinned_;
    if (record.is_detached) {
        delete_record(record);
    } else if (!record.word.has_payload()) {
        forget_record(record);  // the directory's word says it all
    } else {
        budget_.let_go(*share_, record);
    }
    budget_.shrink_back(*share_);
}

SliceRef TableCache::try_pin(std::uint64_t slice) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    DirectoryBlock* leaf = find_leaf(slice);
    const std::uint32_t slot = slot_of(slice);
    if (leaf == nullptr || leaf->words()[slot].load(std::memory_order_relaxed) == 0) return {};
    SliceRecord* record = record_for(*leaf, slot);
    if (record == nullptr) return {};
    pin_record(*record);
    return {this, record};
}

// --- Updates ------------------------------------------------------------------------------------

bool TableCache::publish(const SliceRef& slice, std::uint32_t first,
                         std::span<const Entry> entries) noexcept {
    QED_ASSERT(first < shape_.entries() && entries.size() <= shape_.entries() - first);
    SliceRecord& record = *slice.record_;
    // Nobody else changes the slice: the caller is the only writer, and its pin holds it. So what
    // takes long needs no lock.
    if (may_update_in_place(record.word, entries, shape_)) {
        const std::scoped_lock lock(budget_.mutex_);
        if (record.is_detached) return true;  // the next reader reads the file, which has them
        advance(places_[record.leaf->index]);
        update_in_place(record.word, first, entries, shape_);
        return true;
    }
    const EncodedSlice encoded = updater_->update(record.word, first, entries);
    const std::scoped_lock lock(budget_.mutex_);
    return record.is_detached || store(record, encoded);
}

void TableCache::drop(std::uint64_t slice) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    if (DirectoryBlock* leaf = find_leaf(slice)) drop_slot(*leaf, slot_of(slice));
}

void TableCache::drop_slot(DirectoryBlock& leaf, std::uint32_t slot) noexcept {
    advance(places_[leaf.index]);  // what is being read ahead must not be committed
    SliceRecord* record = leaf.record(slot);
    if (record != nullptr && record->is_loading) {
        record->load->overtaken = true;
    } else if (record != nullptr) {
        detach(*record);
    } else {
        set_word(leaf, slot, SliceWord());
    }
}

void TableCache::detach(SliceRecord& record) noexcept {
    set_word(*record.leaf, record.slot, SliceWord());
    budget_.remove(*share_, record);
    record.is_detached = true;
    leave_leaf(record);
    if (record.pins == 0) delete_record(record);
}

void TableCache::set_l1(std::uint64_t index, Entry table) noexcept {
    const Entry old = l1_[index].load(std::memory_order_relaxed);
    if (old == table) return;
    l1_[index].store(table, kRelease);
    if (!is_data_entry(old)) return;
    const std::uint64_t end = addressing_.first_slice_of_table(index + 1);
    for (std::uint64_t slice = addressing_.first_slice_of_table(index); slice < end;) {
        const std::uint64_t place = addressing_.place_of_slice(slice);
        const std::uint64_t leaf_end = std::min(end, addressing_.slice_at(place + 1, 0));
        const std::scoped_lock lock(budget_.mutex_);
        if (place >= leaf_limit_) return;
        for (; slice < leaf_end; ++slice) {
            // The leaf may go with the last slice in it.
            if (DirectoryBlock* leaf = find_leaf(slice)) drop_slot(*leaf, slot_of(slice));
        }
    }
}

void TableCache::install_table(std::uint64_t slice, std::uint64_t table) noexcept {
    {
        const std::scoped_lock lock(budget_.mutex_);
        if (DirectoryBlock* leaf = leaf_for(slice)) {
            advance(places_[leaf->index]);
            // The slices of this table that lie in the same leaf.
            const std::uint64_t count =
                std::min<std::uint64_t>(addressing_.slots_in_leaf(), addressing_.slices_in_table());
            const std::uint64_t first = slice & ~(count - 1);
            for (std::uint64_t i = first; i < first + count; ++i)
                set_word(*leaf, slot_of(i), SliceWord::make(Form::uniform, kUnallocatedEntry));
        }
    }
    set_l1(l1_index_of(slice), table);
}

// --- Eviction -----------------------------------------------------------------------------------

bool TableCache::may_evict(Evictable& entry) noexcept {
    return entry.is_leaf ? static_cast<DirectoryBlock&>(entry).records == 0
                         : static_cast<SliceRecord&>(entry).pins == 0;
}

unsigned TableCache::age(Evictable& entry) noexcept {
    if (!entry.is_leaf) {
        const auto& record = static_cast<SliceRecord&>(entry);
        return take_use(record.leaf->use_count(record.slot));
    }
    auto& leaf = static_cast<DirectoryBlock&>(entry);
    unsigned most = 0;
    for (std::uint32_t slot = 0; slot < leaf.slots; ++slot)
        most = std::max(most, take_use(leaf.use_count(slot)));
    return most;
}

void TableCache::reset_uses(Evictable& entry) noexcept {
    if (entry.is_leaf) return;  // age() has taken what it needs
    const auto& record = static_cast<SliceRecord&>(entry);
    record.leaf->use_count(record.slot).store(0, std::memory_order_relaxed);
}

std::uint64_t TableCache::ghost_key(Evictable& entry) noexcept {
    const DirectoryBlock& leaf = entry.is_leaf ? static_cast<DirectoryBlock&>(entry)
                                               : *static_cast<SliceRecord&>(entry).leaf;
    const std::uint64_t slice =
        leaf.index * leaf.slots + (entry.is_leaf ? 0 : static_cast<SliceRecord&>(entry).slot);
    const auto cache = reinterpret_cast<std::uintptr_t>(leaf.cache);
    std::uint64_t key = (slice * 2 + (entry.is_leaf ? 1 : 0)) ^ (cache << 20);
    key = (key ^ (key >> 31)) * 0x9e3779b97f4a7c15U;
    return key ^ (key >> 29);
}

void TableCache::evict(Evictable& entry) noexcept {
    if (entry.is_leaf) {
        auto& leaf = static_cast<DirectoryBlock&>(entry);
        leaf.cache->evict_leaf(leaf);
    } else {
        auto& record = static_cast<SliceRecord&>(entry);
        record.leaf->cache->evict_record(record);
    }
}

void TableCache::evict_record(SliceRecord& record) noexcept {
    QED_TRACE(cache_evict, this, addressing_.slice_at(record.leaf->index, record.slot),
              record.bytes);
    counters_.add(CacheCounter::evictions);
    set_word(*record.leaf, record.slot, SliceWord());
    forget_record(record);
}

void TableCache::evict_leaf(DirectoryBlock& leaf) noexcept {
    const std::uint64_t index = leaf.index;
    for (std::uint32_t slot = 0; slot < leaf.slots; ++slot) {
        if (leaf.words()[slot].load(std::memory_order_relaxed) == 0) continue;
        leaf.words()[slot].store(0, kRelease);
        counters_.add(CacheCounter::evictions);
    }
    slices_ -= leaf.present;
    leave_place(index);
    free_leaf(leaf);
}

std::uint64_t TableCache::release_unused(std::uint64_t place) noexcept {
    constexpr int kLeavesAtOnce = 16;  // others wait meanwhile
    for (int i = 0; i < kLeavesAtOnce; ++i) {
        DirectoryBlock* leaf = leaf_from(place);
        if (leaf == nullptr) return 0;
        place = leaf->index + 1;
        release_unused(*leaf);
    }
    return place;
}

void TableCache::release_unused(DirectoryBlock& leaf) noexcept {
    const DirectorySlot& place = places_[leaf.index];
    bool is_used = false;
    for (std::uint32_t slot = 0; slot < leaf.slots; ++slot) {
        SliceRecord* record = leaf.record(slot);
        const bool was_used = take_use(leaf.use_count(slot)) != 0;
        is_used = is_used || was_used;
        if (record == nullptr || record->is_loading || was_used || !may_evict(*record)) continue;
        budget_.remove(*share_, *record);
        evict_record(*record);
        if (place.leaf.load(std::memory_order_relaxed) != &leaf) return;  // it was the last
    }
    if (is_used || !may_evict(leaf)) return;
    budget_.remove(*share_, leaf);
    evict_leaf(leaf);
}

}  // namespace qed
