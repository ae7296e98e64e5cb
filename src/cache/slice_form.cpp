// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_form.hpp"

#include <algorithm>

namespace qed {
namespace {

using form_detail::kBad32;
using form_detail::kZero32;

std::uint32_t narrow(Entry entry, unsigned cluster_bits) {
    if (entry == kZeroEntry) return kZero32;
    if (entry == kBadEntry) return kBad32;
    return static_cast<std::uint32_t>(entry >> cluster_bits);
}

bool fits_32(Entry entry, unsigned cluster_bits) {
    return (entry >> cluster_bits) < kBad32;
}

bool is_run(std::span<const Entry> entries, unsigned cluster_bits) {
    if (!is_data_entry(entries.front())) return false;
    Entry expected = entries.front();
    for (const Entry entry : entries) {
        if (entry != expected) return false;
        expected += Entry{1} << cluster_bits;
    }
    return true;
}

// Two neighbouring 32-bit values share a 64-bit word, the even one in the low half.
class HalfWriter {
public:
    explicit HalfWriter(std::atomic<std::uint64_t>* words) : words_(words) {}
    void push(std::uint32_t value) {
        pending_ |= std::uint64_t{value} << (32 * (count_ & 1));
        if ((++count_ & 1) == 0) flush();
    }
    void finish() {
        if ((count_ & 1) != 0) flush();
    }

private:
    void flush() {
        (words_++)->store(pending_, std::memory_order_release);
        pending_ = 0;
    }
    std::atomic<std::uint64_t>* words_;
    std::uint64_t pending_ = 0;
    std::uint32_t count_ = 0;
};

void encode_sparse(std::span<const Entry> entries, const SliceShape& shape,
                   std::atomic<std::uint64_t>* payload) {
    HalfWriter clusters(payload + shape.bitmap_words() + shape.rank_words());
    std::uint64_t ranks = 0;
    std::uint32_t before = 0;
    for (std::uint32_t group = 0; group < shape.bitmap_words(); ++group) {
        ranks |= std::uint64_t{before} << (16 * (group % 4));
        std::uint64_t bits = 0;
        const std::uint32_t end = std::min(shape.entries(), (group + 1) * 64);
        for (std::uint32_t i = group * 64; i < end; ++i) {
            if (entries[i] == kUnallocatedEntry) continue;
            bits |= std::uint64_t{1} << (i % 64);
            clusters.push(narrow(entries[i], shape.cluster_bits));
            ++before;
        }
        payload[group].store(bits, std::memory_order_release);
        if (group % 4 == 3 || group + 1 == shape.bitmap_words()) {
            payload[shape.bitmap_words() + group / 4].store(ranks, std::memory_order_release);
            ranks = 0;
        }
    }
    clusters.finish();
}

}  // namespace

FormChoice choose_form(std::span<const Entry> entries, const SliceShape& shape) noexcept {
    std::uint32_t allocated = 0;
    bool same = true;
    bool narrow_enough = true;
    for (const Entry entry : entries) {
        allocated += entry != kUnallocatedEntry ? 1 : 0;
        same = same && entry == entries.front();
        narrow_enough = narrow_enough && fits_32(entry, shape.cluster_bits);
    }
    if (same && !is_data_entry(entries.front())) {
        return {.form = Form::uniform, .inline_value = entries.front()};
    }
    if (is_run(entries, shape.cluster_bits)) {
        return {.form = Form::run, .inline_value = entries.front() >> shape.cluster_bits};
    }
    if (!narrow_enough) return {.form = Form::raw64, .payload_words = shape.entries()};
    const std::uint32_t raw_words = (shape.entries() + 1) / 2;
    const std::uint32_t sparse_words =
        shape.bitmap_words() + shape.rank_words() + (allocated + 1) / 2;
    // Raw entries change in place: the bitmap must earn its keep.
    if (sparse_words * 4 <= raw_words * 3) {
        return {.form = Form::sparse, .payload_words = sparse_words};
    }
    return {.form = Form::raw32, .payload_words = raw_words};
}

void encode_form(const FormChoice& choice, std::span<const Entry> entries, const SliceShape& shape,
                 std::atomic<std::uint64_t>* payload) noexcept {
    if (choice.form == Form::sparse) {
        encode_sparse(entries, shape, payload);
    } else if (choice.form == Form::raw32) {
        HalfWriter clusters(payload);
        for (const Entry entry : entries)
            clusters.push(narrow(entry, shape.cluster_bits));
        clusters.finish();
    } else if (choice.form == Form::raw64) {
        for (std::size_t i = 0; i < entries.size(); ++i) {
            payload[i].store(entries[i], std::memory_order_release);
        }
    }
}

bool replace_in_place(SliceWord word, std::uint32_t index, Entry value,
                      const SliceShape& shape) noexcept {
    // The payload is const to readers; the one writer is the caller, under the budget's lock.
    auto* payload = const_cast<std::atomic<std::uint64_t>*>(word.payload());  // NOLINT
    if (word.form() == Form::raw64) {
        payload[index].store(value, std::memory_order_release);
        return true;
    }
    if (word.form() != Form::raw32 || !fits_32(value, shape.cluster_bits)) return false;
    const unsigned shift = 32 * (index & 1);
    std::uint64_t both = payload[index / 2].load(std::memory_order_relaxed);
    both &= ~(std::uint64_t{0xffffffffU} << shift);
    both |= std::uint64_t{narrow(value, shape.cluster_bits)} << shift;
    payload[index / 2].store(both, std::memory_order_release);
    return true;
}

}  // namespace qed
