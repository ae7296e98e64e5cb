// SPDX-License-Identifier: Apache-2.0
#include "cache/table_cache.hpp"

#include <algorithm>
#include <bit>
#include <new>

#include "base/assert.hpp"
#include "base/trace.hpp"

namespace qed {
namespace {

constexpr unsigned kMinLeafBits = 6;
constexpr unsigned kMaxLeafCountBits = 18;
constexpr std::uint8_t kMaxUses = 3;
// What a record costs beside its payload: itself and the allocator's share.
constexpr std::uint32_t kRecordBytes = sizeof(SliceRecord) + 16;
constexpr std::memory_order kRelease = std::memory_order_release;

}  // namespace

Result<std::unique_ptr<TableCache>> TableCache::create(BlockFile& file, SharedBudget& budget,
                                                       const Geometry& geometry,
                                                       const EntryJudge& judge,
                                                       const TableCacheOptions& options) {
    std::unique_ptr<TableCache> cache(new (std::nothrow)
                                          TableCache(file, budget, geometry, judge, options));
    if (cache == nullptr || cache->l1_.data() == nullptr || cache->leaves_.data() == nullptr ||
        cache->scratch_ == nullptr) {
        return std::unexpected(Error::out_of_memory());
    }
    return cache;
}

TableCache::TableCache(BlockFile& file, SharedBudget& budget, const Geometry& geometry,
                       const EntryJudge& judge, const TableCacheOptions& options)
    : file_(file),
      budget_(budget),
      geometry_(geometry),
      judge_(judge),
      readahead_(std::max(options.readahead_slices, 1U)) {
    QED_ASSERT(std::has_single_bit(options.slice_bytes) && options.slice_bytes >= 512 &&
               options.slice_bytes <= SliceArena::kMaxBytes);
    const std::uint64_t slice_bytes =
        std::min<std::uint64_t>(options.slice_bytes, geometry.table_bytes());
    shape_ = {.entry_bits = static_cast<unsigned>(std::countr_zero(slice_bytes / 8)),
              .cluster_bits = geometry.cluster_bits()};
    slice_bits_ = shape_.entry_bits + geometry.cluster_bits();
    slices_per_table_bits_ = geometry.entry_bits() - shape_.entry_bits;

    // Sized for the largest legal image of this geometry, so that growing moves nothing.
    const std::uint64_t most_bytes = geometry.max_image_bytes();
    const std::uint64_t most_slices = ((most_bytes - 1) >> slice_bits_) + 1;
    const auto slice_count_bits = static_cast<unsigned>(std::bit_width(most_slices - 1));
    leaf_bits_ =
        std::max(kMinLeafBits,
                 slice_count_bits > kMaxLeafCountBits ? slice_count_bits - kMaxLeafCountBits : 0U);
    l1_ = ZeroedArray<std::atomic<Entry>>(geometry.l1_entries_used(most_bytes));
    leaves_ = ZeroedArray<std::atomic<Leaf*>>(((most_slices - 1) >> leaf_bits_) + 1);
    scratch_.reset(new (std::nothrow) Entry[shape_.entries()]);
    const std::scoped_lock lock(budget_.mutex_);
    budget_.add_cache(*this);
}

TableCache::~TableCache() {
    const std::scoped_lock lock(budget_.mutex_);
    for (std::uint64_t i = 0; i < leaf_limit_; ++i) {
        Leaf* leaf = leaves_[i].load(std::memory_order_relaxed);
        if (leaf == nullptr) continue;
        for (std::uint32_t slot = 0; slot < (1U << leaf_bits_); ++slot) {
            SliceRecord* record = records(*leaf)[slot];
            if (record == nullptr) continue;
            QED_ASSERT(record->pins == 0 && !record->loading);
            budget_.remove(*record);
            free_payload(record->word);
            delete record;
            --slices_;
        }
        budget_.remove(*leaf);
        leaf->newer = spare_leaves_;
        spare_leaves_ = leaf;
    }
    while (spare_leaves_ != nullptr) {
        Leaf* leaf = spare_leaves_;
        spare_leaves_ = static_cast<Leaf*>(leaf->newer);
        ::operator delete(leaf, std::align_val_t{alignof(Leaf)});
    }
    budget_.remove_cache(*this);
}

std::size_t TableCache::leaf_bytes() const noexcept {
    constexpr std::size_t kPerSlice =
        sizeof(std::atomic<std::uint64_t>) + sizeof(SliceRecord*) + sizeof(std::uint8_t);
    return sizeof(Leaf) + (kPerSlice << leaf_bits_);
}

// --- Readers: no lock -------------------------------------------------------------------------

void TableCache::note_use(Leaf& leaf, std::uint32_t slot) const noexcept {
    std::atomic<std::uint8_t>& count = uses(leaf)[slot];
    const std::uint8_t value = count.load(std::memory_order_relaxed);
    if (value < kMaxUses) count.store(value + 1, std::memory_order_relaxed);
}

Lookup TableCache::find(GuestOffset at, std::uint64_t length) noexcept {
    const std::uint64_t slice = slice_index(at);
    std::atomic<Leaf*>& place = leaves_[slice >> leaf_bits_];
    Leaf* leaf = place.load(std::memory_order_acquire);
    if (leaf == nullptr) return find_in_l1(at, length);
    const std::uint32_t slot = slot_of(slice);
    std::atomic<std::uint64_t>& current = leaf->words()[slot];
    const SliceWord word(current.load(std::memory_order_acquire));
    if (word.form() == Form::absent) return find_in_l1(at, length);
    const Lookup found = find_in_word(word, at, length);
    // Unchanged: neither the slice nor the leaf was reused while we looked.
    if (current.load(std::memory_order_relaxed) != word.bits() ||
        place.load(std::memory_order_relaxed) != leaf) {
        return {.kind = Lookup::Kind::miss};
    }
    note_use(*leaf, slot);
    counters_.add(CacheCounter::hits);
    return found;
}

Lookup TableCache::find_in_word(SliceWord word, GuestOffset at,
                                std::uint64_t length) const noexcept {
    const auto index =
        static_cast<std::uint32_t>(geometry_.cluster_index(at)) & (shape_.entries() - 1);
    const Entry first = read_entry(word, index, shape_);
    const std::uint64_t in_cluster = geometry_.in_cluster(at);
    const std::uint64_t clusters = ((in_cluster + length - 1) >> geometry_.cluster_bits()) + 1;
    const auto limit =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(clusters, shape_.entries() - index));
    const std::uint32_t run = limit == 1 ? 1 : run_length(word, index, limit, first);
    return describe(first, run, at, length);
}

std::uint32_t TableCache::run_length(SliceWord word, std::uint32_t index, std::uint32_t limit,
                                     Entry first) const noexcept {
    if (word.form() == Form::uniform || word.form() == Form::run) return limit;
    const std::uint64_t step = is_data_entry(first) ? geometry_.cluster_bytes() : 0;
    Entry expected = first + step;
    std::uint32_t run = 1;
    while (run < limit && read_entry(word, index + run, shape_) == expected) {
        ++run;
        expected += step;
    }
    return run;
}

Lookup TableCache::describe(Entry first, std::uint32_t run, GuestOffset at,
                            std::uint64_t length) const {
    const std::uint64_t in_cluster = geometry_.in_cluster(at);
    Lookup found;
    found.length = std::min((std::uint64_t{run} << geometry_.cluster_bits()) - in_cluster, length);
    if (is_data_entry(first)) {
        found.kind = Lookup::Kind::data;
        found.file_offset = first + in_cluster;
    } else if (first == kUnallocatedEntry) {
        found.kind = Lookup::Kind::unallocated;
    } else {
        found.kind = first == kZeroEntry ? Lookup::Kind::zero : Lookup::Kind::bad_l2;
    }
    return found;
}

Lookup TableCache::find_in_l1(GuestOffset at, std::uint64_t length) const noexcept {
    std::uint64_t index = geometry_.l1_index(at);
    const Entry table = l1(index);
    if (is_data_entry(table)) return {.kind = Lookup::Kind::miss};
    Lookup found;
    found.kind = table == kUnallocatedEntry ? Lookup::Kind::unallocated : Lookup::Kind::bad_l1;
    const unsigned span_bits = geometry_.table_span_bits();
    const std::uint64_t left_here =
        geometry_.table_span_bytes() - (at.value & (geometry_.table_span_bytes() - 1));
    found.length = std::min(length, left_here);
    while (found.length < length && index + 1 < l1_.size() && l1(index + 1) == table) {
        ++index;
        found.length = std::min(length, found.length + (std::uint64_t{1} << span_bits));
    }
    return found;
}

// --- Pins -------------------------------------------------------------------------------------

void SliceRef::reset() noexcept {
    if (record_ != nullptr) cache_->release(*std::exchange(record_, nullptr));
}

Entry SliceRef::entry(std::uint32_t index) const noexcept {
    return read_entry(record_->word, index, cache_->shape_);
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
    return record.detached;
}

void TableCache::pin_record(SliceRecord& record) noexcept {
    if (record.pins++ == 0) ++pinned_;
}

void TableCache::unpin(SliceRecord& record) noexcept {
    QED_ASSERT(record.pins != 0);
    QED_TRACE(cache_unref, record.leaf, record.slot);
    if (--record.pins != 0) return;
    --pinned_;
    if (record.detached) {
        free_payload(record.word);
        QED_TRACE(cache_free, &record);
        delete &record;
    } else if (!record.word.has_payload()) {
        forget_record(record);  // the directory's word says it all
    } else {
        budget_.let_go(record);
    }
    if (budget_.over_limit_) budget_.enforce_limit();
}

SliceRef TableCache::try_pin(std::uint64_t slice) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    Leaf* leaf = find_leaf(slice);
    const std::uint32_t slot = slot_of(slice);
    if (leaf == nullptr || leaf->words()[slot].load(std::memory_order_relaxed) == 0) return {};
    SliceRecord* record = record_for(*leaf, slot);
    if (record == nullptr) return {};
    pin_record(*record);
    return {this, record};
}

// --- Leaves and records, under the lock ---------------------------------------------------------

Leaf* TableCache::find_leaf(std::uint64_t slice) const noexcept {
    return leaves_[slice >> leaf_bits_].load(std::memory_order_relaxed);
}

Leaf* TableCache::leaf_for(std::uint64_t slice) noexcept {
    if (Leaf* leaf = find_leaf(slice)) return leaf;
    Leaf* leaf = spare_leaves_;
    const std::size_t slots = std::size_t{1} << leaf_bits_;
    if (leaf != nullptr) {
        spare_leaves_ = static_cast<Leaf*>(leaf->newer);
    } else {
        void* memory = ::operator new(leaf_bytes(), std::align_val_t{alignof(Leaf)}, std::nothrow);
        if (memory == nullptr) return nullptr;
        leaf = new (memory) Leaf;
        for (std::size_t i = 0; i < slots; ++i) {
            new (leaf->words() + i) std::atomic<std::uint64_t>(0);
            new (uses(*leaf) + i) std::atomic<std::uint8_t>(0);
            records(*leaf)[i] = nullptr;
        }
    }
    leaf->cache = this;
    leaf->is_leaf = true;
    leaf->index = slice >> leaf_bits_;
    leaf_limit_ = std::max(leaf_limit_, leaf->index + 1);
    leaf->records = 0;
    leaf->bytes = static_cast<std::uint32_t>(leaf_bytes());
    ++leaf->version;
    leaves_[leaf->index].store(leaf, kRelease);
    leaf->holds = 1;  // not to be evicted by its own insertion
    budget_.insert(*leaf, ghost_key(*leaf));
    leaf->holds = 0;
    budget_.let_go(*leaf);
    return leaf;
}

SliceRecord* TableCache::record_for(Leaf& leaf, std::uint32_t slot) noexcept {
    SliceRecord*& record = records(leaf)[slot];
    if (record != nullptr) return record;
    record = new (std::nothrow) SliceRecord;
    if (record == nullptr) return nullptr;
    record->leaf = &leaf;
    record->slot = slot;
    record->bytes = kRecordBytes;
    record->word = SliceWord(leaf.words()[slot].load(std::memory_order_relaxed));
    ++leaf.records;
    ++slices_;
    QED_TRACE(cache_alloc, leaf.index, slot);
    return record;
}

void TableCache::forget_record(SliceRecord& record) noexcept {
    remove_from_leaf(record);
    QED_TRACE(cache_free, &record);
    delete &record;
}

void TableCache::remove_from_leaf(const SliceRecord& record) noexcept {
    Leaf& leaf = *record.leaf;
    records(leaf)[record.slot] = nullptr;
    --slices_;
    if (--leaf.records == 0) budget_.let_go(leaf);
}

void TableCache::free_payload(SliceWord word) noexcept {
    if (word.has_payload()) {
        budget_.arena_.free(const_cast<SliceArena::Block>(word.payload()));  // NOLINT: we made it
    }
}

void TableCache::set_word(SliceRecord& record, SliceWord word,
                          std::uint32_t payload_bytes) noexcept {
    const SliceWord old = record.word;
    record.word = word;
    record.leaf->words()[record.slot].store(word.bits(), kRelease);
    ++record.leaf->version;
    free_payload(old);
    if (!word.has_payload()) {
        budget_.remove(record);
        record.bytes = kRecordBytes;
    } else if (old.has_payload()) {
        budget_.resize(record, kRecordBytes + payload_bytes);
    } else {
        record.bytes = kRecordBytes + payload_bytes;
        budget_.insert(record, ghost_key(record));
    }
}

bool TableCache::store_entries(SliceRecord& record, std::span<const Entry> entries) noexcept {
    const FormChoice choice = choose_form(entries, shape_);
    if (choice.form == Form::uniform) {
        set_word(record, SliceWord::uniform(choice.inline_value), 0);
        return true;
    }
    if (choice.form == Form::run) {
        set_word(record, SliceWord::run(choice.inline_value), 0);
        return true;
    }
    const std::size_t bytes = std::size_t{choice.payload_words} * 8;
    SliceArena::Block payload = budget_.arena_.allocate(bytes);
    if (payload == nullptr) return false;
    encode_form(choice, entries, shape_, payload);
    set_word(record, SliceWord::at(choice.form, payload, ++tag_),
             static_cast<std::uint32_t>(SliceArena::block_bytes(bytes)));
    return true;
}

void TableCache::detach(SliceRecord& record) noexcept {
    record.leaf->words()[record.slot].store(0, kRelease);
    ++record.leaf->version;
    remove_from_leaf(record);
    budget_.remove(record);
    record.detached = true;
    if (record.pins == 0) {
        free_payload(record.word);
        delete &record;
    }
}

// --- Updates ----------------------------------------------------------------------------------

bool TableCache::publish(const SliceRef& slice, std::uint32_t first,
                         std::span<const Entry> entries) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    SliceRecord& record = *slice.record_;
    if (record.detached) return true;  // the next reader reads the file, which has these entries
    ++record.leaf->version;
    std::size_t done = 0;
    while (done < entries.size() &&
           replace_in_place(record.word, first + static_cast<std::uint32_t>(done), entries[done],
                            shape_)) {
        ++done;
    }
    if (done == entries.size()) return true;
    for (std::uint32_t i = 0; i < shape_.entries(); ++i) {
        scratch_[i] = read_entry(record.word, i, shape_);
    }
    std::copy(entries.begin(), entries.end(), scratch_.get() + first);
    return store_entries(record, {scratch_.get(), shape_.entries()});
}

void TableCache::drop(std::uint64_t slice) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    Leaf* leaf = find_leaf(slice);
    if (leaf == nullptr) return;
    ++leaf->version;
    SliceRecord* record = records(*leaf)[slot_of(slice)];
    if (record == nullptr) {
        leaf->words()[slot_of(slice)].store(0, kRelease);
    } else if (!record->loading) {
        detach(*record);
    }
}

void TableCache::install_table(std::uint64_t slice, std::uint64_t table) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    if (Leaf* leaf = leaf_for(slice)) {
        ++leaf->version;
        // The slices of this table that lie in the same leaf.
        const unsigned bits = std::min(leaf_bits_, slices_per_table_bits_);
        const std::uint64_t first = slice >> bits << bits;
        for (std::uint64_t i = first; i < first + (std::uint64_t{1} << bits); ++i) {
            leaf->words()[slot_of(i)].store(SliceWord::uniform(kUnallocatedEntry).bits(), kRelease);
        }
    }
    set_l1(l1_index_of(slice), table);
}

void TableCache::offer(std::uint64_t slice, std::span<const Entry> entries,
                       std::uint32_t version) noexcept {
    const std::scoped_lock lock(budget_.mutex_);
    Leaf* leaf = find_leaf(slice);
    if (leaf == nullptr) return;
    const std::uint32_t slot = slot_of(slice);
    if (leaf->words()[slot].load(std::memory_order_relaxed) != 0 ||
        records(*leaf)[slot] != nullptr) {
        counters_.add(CacheCounter::duplicates_dropped);
        QED_TRACE(cache_duplicate, slice);
        return;
    }
    if (leaf->version != version) {
        counters_.add(CacheCounter::stale_dropped);
        return;
    }
    SliceRecord* record = record_for(*leaf, slot);
    if (record == nullptr) return;
    pin_record(*record);  // not to be evicted by its own insertion
    if (store_entries(*record, entries)) counters_.add(CacheCounter::commits);
    leaf->version = version;  // reading ahead overtakes nobody
    unpin(*record);
}

// --- Eviction, called by the budget -------------------------------------------------------------

bool TableCache::may_evict(Evictable& entry) noexcept {
    if (!entry.is_leaf) return static_cast<SliceRecord&>(entry).pins == 0;
    const Leaf& leaf = static_cast<Leaf&>(entry);
    return leaf.records == 0 && leaf.holds == 0;
}

unsigned TableCache::age(Evictable& entry) noexcept {
    const auto take_one = [](std::atomic<std::uint8_t>& uses) {
        const std::uint8_t value = uses.load(std::memory_order_relaxed);
        if (value != 0) uses.store(value - 1, std::memory_order_relaxed);
        return unsigned{value};
    };
    if (!entry.is_leaf) {
        const SliceRecord& record = static_cast<SliceRecord&>(entry);
        return take_one(record.leaf->cache->uses(*record.leaf)[record.slot]);
    }
    Leaf& leaf = static_cast<Leaf&>(entry);
    unsigned most = 0;
    for (std::uint32_t slot = 0; slot < (1U << leaf.cache->leaf_bits_); ++slot) {
        most = std::max(most, take_one(leaf.cache->uses(leaf)[slot]));
    }
    return most;
}

void TableCache::reset_uses(Evictable& entry) noexcept {
    if (entry.is_leaf) return;  // age() has taken what it needs
    const SliceRecord& record = static_cast<SliceRecord&>(entry);
    record.leaf->cache->uses(*record.leaf)[record.slot].store(0, std::memory_order_relaxed);
}

std::uint64_t TableCache::ghost_key(Evictable& entry) noexcept {
    const Leaf& leaf =
        entry.is_leaf ? static_cast<Leaf&>(entry) : *static_cast<SliceRecord&>(entry).leaf;
    const std::uint64_t slice = (leaf.index << leaf.cache->leaf_bits_) +
                                (entry.is_leaf ? 0 : static_cast<SliceRecord&>(entry).slot);
    const auto cache = reinterpret_cast<std::uintptr_t>(leaf.cache);
    std::uint64_t key = (slice * 2 + (entry.is_leaf ? 1 : 0)) ^ (cache << 20);
    key = (key ^ (key >> 31)) * 0x9e3779b97f4a7c15U;
    return key ^ (key >> 29);
}

void TableCache::evict(Evictable& entry) noexcept {
    if (entry.is_leaf) {
        Leaf& leaf = static_cast<Leaf&>(entry);
        leaf.cache->evict_leaf(leaf);
    } else {
        SliceRecord& record = static_cast<SliceRecord&>(entry);
        record.leaf->cache->evict_record(record);
    }
}

void TableCache::evict_record(SliceRecord& record) noexcept {
    QED_TRACE(cache_evict, record.leaf->index, record.slot);
    counters_.add(CacheCounter::evictions);
    ++record.leaf->version;
    record.leaf->words()[record.slot].store(0, kRelease);
    free_payload(record.word);
    forget_record(record);
}

void TableCache::evict_leaf(Leaf& leaf) noexcept {
    leaves_[leaf.index].store(nullptr, kRelease);
    for (std::uint32_t slot = 0; slot < (1U << leaf_bits_); ++slot) {
        leaf.words()[slot].store(0, kRelease);
        uses(leaf)[slot].store(0, std::memory_order_relaxed);
    }
    ++leaf.version;
    leaf.newer = spare_leaves_;
    spare_leaves_ = &leaf;
}

void TableCache::add_to(CacheStats& stats) const noexcept {
    stats.hits += counters_.sum(CacheCounter::hits);
    stats.misses += counters_.sum(CacheCounter::misses);
    stats.coalesced += counters_.sum(CacheCounter::coalesced);
    stats.read_bytes += counters_.sum(CacheCounter::read_bytes);
    stats.commits += counters_.sum(CacheCounter::commits);
    stats.duplicates_dropped += counters_.sum(CacheCounter::duplicates_dropped);
    stats.stale_dropped += counters_.sum(CacheCounter::stale_dropped);
    stats.evictions += counters_.sum(CacheCounter::evictions);
    stats.slices += slices_;
    stats.pinned += pinned_;
    stats.loads_in_flight += loads_;
}

CacheStats TableCache::stats() const {
    const std::scoped_lock lock(budget_.mutex_);
    CacheStats stats;
    add_to(stats);
    stats.limit_bytes = budget_.limit_;
    stats.bytes = budget_.used();
    stats.peak_bytes = budget_.peak_bytes_;
    stats.grows = budget_.grows_;
    stats.shrinks = budget_.shrinks_;
    return stats;
}

}  // namespace qed
