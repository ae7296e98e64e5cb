// SPDX-License-Identifier: Apache-2.0
#include "shipped.hpp"

#include "random.hpp"

namespace qed::cache_sim {
namespace {

// The interface that the queue needs to its entries, none of which is ever pinned.
struct Entries {
    std::span<Evictable> all;
    std::span<std::uint8_t> uses;
    EntryId evicted = kNone;

    EntryId id(const Evictable& entry) const { return static_cast<EntryId>(&entry - all.data()); }

    static bool may_evict(const Evictable&) { return true; }
    unsigned age(const Evictable& entry) {
        std::uint8_t& count = uses[id(entry)];
        const unsigned before = count;
        if (count != 0) --count;
        return before;
    }
    void reset(const Evictable& entry) { uses[id(entry)] = 0; }
    std::uint64_t key(const Evictable& entry) const { return mix(id(entry)); }
    void evict(const Evictable& entry) { evicted = id(entry); }
};

}  // namespace

Shipped::Shipped(const PolicyInput& input)
    : entries_(input.entry_bytes.size()), uses_(input.entry_bytes.size()) {
    for (std::size_t i = 0; i < entries_.size(); ++i)
        entries_[i].bytes = input.entry_bytes[i];
    queue_.set_capacity(input.budget_bytes);
}

void Shipped::on_insert(EntryId entry, Step) {
    uses_[entry] = 0;
    queue_.insert(entries_[entry], mix(entry));
}

EntryId Shipped::evict() {
    Entries entries{entries_, uses_};
    queue_.shrink_to(queue_.bytes() - 1, entries);  // one entry is enough for one byte
    return entries.evicted;
}

}  // namespace qed::cache_sim
