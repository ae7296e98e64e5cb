// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_encoder.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

#include "base/assert.hpp"
#include "base/lanes.hpp"

namespace qed {
namespace {

constexpr std::uint32_t kMaxEntries = 8192;

// Raw entries change in place: a compressed form must save a quarter to be worth it.
bool is_worth_it(std::uint32_t words, const SliceShape& shape) {
    return words * 4 <= shape.raw32_words() * 3;
}

// The entry that continues a run after `entry`.
Entry next_in_run(Entry entry, const SliceShape& shape) {
    return is_data_entry(entry) ? entry + (Entry{1} << shape.cluster_bits) : entry;
}

bool fits_value(Entry entry, const SliceShape& shape) {
    return (entry >> shape.cluster_bits) < form_values::kFirstCode;
}

bool fits_run(Entry entry, const SliceShape& shape) {
    return (entry >> shape.cluster_bits) + shape.entries() < form_values::kCodeBit;
}

// The value of an entry in `sparse` and `raw32`.
std::uint32_t value_of(Entry entry, const SliceShape& shape) {
    if (entry == kUnallocatedEntry || is_data_entry(entry)) {
        return static_cast<std::uint32_t>(entry >> shape.cluster_bits);
    }
    return form_values::code_of(entry);
}

// The value in `runs` of a run that starts with `entry` at `index`.
std::uint32_t run_value_of(Entry entry, std::uint32_t index, const SliceShape& shape) {
    if (!is_data_entry(entry)) return form_values::code_of(entry);
    return static_cast<std::uint32_t>(entry >> shape.cluster_bits) + shape.entries() - index;
}

/// Writes 32-bit values, two to a word, in the order that they have in memory.
class ValueWriter {
public:
    explicit ValueWriter(std::uint64_t* words) : words_(words) {}
    void push(std::uint32_t value) {
        if ((count_ & 1) == 0) words_[count_ / 2] = 0;
        std::memcpy(reinterpret_cast<std::byte*>(words_) + std::size_t{count_} * sizeof value,
                    &value, sizeof value);
        ++count_;
    }
    /// Writes the first `count` values of a payload, before any other value.
    void copy_from(std::uintptr_t payload, std::uint32_t count) {
        for (std::uint32_t word = 0; word < count / 2; ++word)
            words_[word] = PayloadMemory::load64(payload + std::uintptr_t{word} * 8);
        count_ = count & ~1U;
        if (count_ != count) push(PayloadMemory::load32(payload + std::uintptr_t{count_} * 4));
    }
    std::uint32_t count() const { return count_; }

private:
    std::uint64_t* words_;
    std::uint32_t count_ = 0;
};

/// The values of a ranked payload that start before the entry at `index`, at most entries().
std::uint32_t count_values_before(std::uintptr_t payload, std::uint32_t index,
                                  const SliceShape& shape) {
    const std::uint32_t group = std::min(index / 64, shape.bitmap_words - 1);
    const std::uint64_t bits = PayloadMemory::load64(payload + std::uintptr_t{group} * 8);
    const std::uint64_t ranks =
        PayloadMemory::load64(payload + (std::uintptr_t{shape.bitmap_words} + group / 4) * 8);
    const std::uint32_t in_group = index - group * 64;
    const std::uint64_t below =
        in_group < 64 ? (std::uint64_t{1} << in_group) - 1 : ~std::uint64_t{0};
    return (static_cast<std::uint32_t>(ranks >> (16 * (group % 4))) & 0xffff) +
           count_bits(bits & below);
}

/// Writes the ranks that follow the bitmap in `words`: four to a word.
void write_ranks(std::uint64_t* words, const SliceShape& shape) {
    std::uint64_t* ranks = words + shape.bitmap_words;
    std::uint64_t packed = 0;
    std::uint64_t before = 0;
    std::uint32_t group = 0;
    for (; group < shape.bitmap_words; ++group) {
        packed = packed >> 16 | before << 48;
        before += count_bits(words[group]);
        if (group % 4 == 3) *ranks++ = packed;
    }
    if (group % 4 != 0) *ranks = packed >> (16 * (4 - group % 4));
}

/// The properties of a slice on which the choice of its form depends.
struct TableCounts {
    std::uint32_t allocated = 0;
    std::uint32_t runs = 0;
    Entry greatest = 0;
};

TableCounts count(std::span<const Entry> entries, const SliceShape& shape) {
    TableCounts census;
    Entry continues = ~Entry{0};
    for (const Entry entry : entries) {
        census.allocated += entry != kUnallocatedEntry ? 1 : 0;
        census.runs += entry != continues ? 1 : 0;
        census.greatest = std::max(census.greatest, entry);
        continues = next_in_run(entry, shape);
    }
    return census;
}

// Most slices hold only data and unallocated entries, of files that have less than 2^31 clusters:
// their values are computed and examined four at a time.

/// Writes the entries' values in the form raw32. False: the slice holds other entries, too.
bool write_plain_values(std::span<const Entry> entries, const SliceShape& shape, void* values) {
    constexpr int kLow = std::endian::native == std::endian::little ? 0 : 1;
    Lanes64 any{};
    for (std::size_t i = 0; i < entries.size(); i += 4) {
        const auto two = load_lanes<Lanes64>(&entries[i]);
        const auto next = load_lanes<Lanes64>(&entries[i + 2]);
        any |= two | next;
        const Lanes32 clusters =
            __builtin_shufflevector(reinterpret_cast<Lanes32>(two >> shape.cluster_bits),
                                    reinterpret_cast<Lanes32>(next >> shape.cluster_bits), kLow,
                                    kLow + 2, kLow + 4, kLow + 6);
        std::memcpy(static_cast<std::byte*>(values) + i * sizeof(std::uint32_t), &clusters,
                    sizeof clusters);
    }
    const Entry all_bits = any[0] | any[1];
    const Entry cluster_mask = (Entry{1} << shape.cluster_bits) - 1;
    return (all_bits & cluster_mask) == 0 && fits_run(all_bits, shape);
}

TableCounts count_plain_values(const void* values, const SliceShape& shape) {
    const auto* bytes = static_cast<const std::byte*>(values);
    const auto at = [bytes](std::uint32_t i) { return bytes + i * sizeof(std::uint32_t); };
    Lanes32 unallocated{};
    Lanes32 continuing{};
    auto before = load_lanes<Lanes32>(at(0));
    // The first continues nothing.
    before = Lanes32{before[0] ^ form_values::kCodeBit, before[0], before[1], before[2]};
    for (std::uint32_t i = 0; i < shape.entries(); i += 4) {
        const auto value = load_lanes<Lanes32>(at(i));
        if (i != 0) before = load_lanes<Lanes32>(at(i - 1));
        // A true comparison gives -1.
        const Lanes32 next = before + 1 + reinterpret_cast<Lanes32>(before == 0);
        unallocated -= reinterpret_cast<Lanes32>(value == 0);
        continuing -= reinterpret_cast<Lanes32>(value == next);
    }
    const auto sum = [](Lanes32 lanes) { return lanes[0] + lanes[1] + lanes[2] + lanes[3]; };
    return {.allocated = shape.entries() - sum(unallocated),
            .runs = shape.entries() - sum(continuing)};
}

EncodedSlice encode_ranked(Form form, std::span<const Entry> entries, const SliceShape& shape,
                           std::uint64_t* words) {
    std::fill_n(words, shape.bitmap_words, 0);
    ValueWriter values(words + shape.table_words);
    Entry continues = ~Entry{0};
    for (std::uint32_t i = 0; i < shape.entries(); ++i) {
        const Entry entry = entries[i];
        const bool is_set = form == Form::sparse ? entry != kUnallocatedEntry : entry != continues;
        continues = next_in_run(entry, shape);
        if (!is_set) continue;
        words[i / 64] |= std::uint64_t{1} << (i % 64);
        values.push(form == Form::sparse ? value_of(entry, shape) : run_value_of(entry, i, shape));
    }
    write_ranks(words, shape);
    return {.form = form, .words = {words, shape.ranked_words(values.count())}};
}

}  // namespace

void store_payload(std::span<const std::uint64_t> words, void* payload) noexcept {
    auto address = reinterpret_cast<std::uintptr_t>(payload);
    for (const std::uint64_t word : words) {
        PayloadMemory::store64(address, word);
        address += sizeof word;
    }
}

EncodedSlice encode_slice(std::span<const Entry> entries, const SliceShape& shape,
                          std::span<std::uint64_t> words) noexcept {
    const bool is_plain = write_plain_values(entries, shape, words.data());
    const TableCounts census =
        is_plain ? count_plain_values(words.data(), shape) : count(entries, shape);
    const Entry first = entries.front();
    if (census.runs == 1 && is_marker(first)) {
        return {.form = Form::uniform, .inline_value = first, .words = {}};
    }
    if (census.runs == 1 && is_data_entry(first)) {
        return {.form = Form::run, .inline_value = first >> shape.cluster_bits, .words = {}};
    }
    if (!fits_value(census.greatest, shape)) {
        std::ranges::copy(entries, words.begin());
        return {.form = Form::raw64, .words = words.first(entries.size())};
    }
    const bool may_be_runs = fits_run(census.greatest, shape) && census.runs < census.allocated;
    const std::uint32_t values = may_be_runs ? census.runs : census.allocated;
    if (is_worth_it(shape.ranked_words(values), shape)) {
        return encode_ranked(may_be_runs ? Form::runs : Form::sparse, entries, shape, words.data());
    }
    if (!is_plain) {
        ValueWriter writer(words.data());
        for (const Entry entry : entries)
            writer.push(value_of(entry, shape));
    }
    return {.form = Form::raw32, .words = words.first(shape.raw32_words())};
}

std::unique_ptr<SliceUpdater> SliceUpdater::create(const SliceShape& shape) noexcept {
    QED_ASSERT(shape.entries() <= kMaxEntries);
    std::unique_ptr<SliceUpdater> updater(new (std::nothrow) SliceUpdater(shape));
    if (updater == nullptr) return nullptr;
    updater->entries_.reset(new (std::nothrow) Entry[shape.entries()]);
    updater->words_.reset(new (std::nothrow) std::uint64_t[shape.entries()]);
    if (updater->entries_ == nullptr || updater->words_ == nullptr) return nullptr;
    return updater;
}

EncodedSlice SliceUpdater::encode_all(SliceWord word, std::uint32_t first,
                                      std::span<const Entry> values) noexcept {
    read_entries(word, 0, {entries_.get(), shape_.entries()}, shape_);
    std::ranges::copy(values, entries_.get() + first);
    return encode_slice({entries_.get(), shape_.entries()}, shape_,
                        {words_.get(), shape_.entries()});
}

EncodedSlice SliceUpdater::update(SliceWord word, std::uint32_t first,
                                  std::span<const Entry> values) noexcept {
    Form form = word.form();
    const bool is_empty = form == Form::uniform && word.inline_value() == kUnallocatedEntry;
    if (is_empty) form = Form::sparse;
    const bool is_ranked = form == Form::sparse || form == Form::runs;
    const bool all_fit = std::ranges::all_of(values, [&](Entry entry) {
        return form == Form::runs ? fits_run(entry, shape_) : fits_value(entry, shape_);
    });
    if (!is_ranked || !all_fit || values.size() * 8 > shape_.entries()) {
        return encode_all(word, first, values);
    }
    const EncodedSlice spliced = splice(form, word, first, values);
    return spliced.words.empty() ? encode_all(word, first, values) : spliced;
}

// Bits and values outside of the window stay unchanged. Returns nothing if it is time to search for
// a better form: searching each time would cost more than it gains.
EncodedSlice SliceUpdater::splice(Form form, SliceWord word, std::uint32_t first,
                                  std::span<const Entry> values) noexcept {
    const bool is_runs = form == Form::runs;
    const auto end = first + static_cast<std::uint32_t>(values.size());
    // Whether the entry after the new ones starts a run depends on them.
    const std::uint32_t window_end = is_runs ? std::min(end + 1, shape_.entries()) : end;
    const std::uintptr_t old = word.has_payload() ? word.payload(form) : 0;
    const std::uintptr_t old_values_at = old + shape_.table_words * 8;
    const auto old_value = [old_values_at](std::uint32_t index) {
        return PayloadMemory::load32(old_values_at + std::uintptr_t{index} * 4);
    };

    std::uint64_t* const bitmap = words_.get();
    for (std::uint32_t group = 0; group < shape_.bitmap_words; ++group)
        bitmap[group] = old != 0 ? PayloadMemory::load64(old + std::uintptr_t{group} * 8) : 0;
    const auto values_before = [&](std::uint32_t index) {
        return old != 0 ? count_values_before(old, index, shape_) : 0;
    };
    const std::uint32_t before = values_before(first);
    const std::uint32_t until = values_before(window_end);
    const std::uint32_t old_values = values_before(shape_.entries());

    ValueWriter writer(words_.get() + shape_.table_words);
    const std::uint32_t most = before + (window_end - first) + (old_values - until);
    if (!is_worth_it(shape_.ranked_words(most), shape_)) return {};
    writer.copy_from(old_values_at, before);
    Entry previous = is_runs && first > 0 ? read_entry(word, first - 1, shape_) : ~Entry{0};
    for (std::uint32_t i = first; i < window_end; ++i) {
        const Entry entry = i < end ? values[i - first] : read_entry(word, i, shape_);
        const bool is_set =
            is_runs ? i == 0 || entry != next_in_run(previous, shape_) : entry != kUnallocatedEntry;
        previous = entry;
        const std::uint64_t bit = std::uint64_t{1} << (i % 64);
        bitmap[i / 64] = is_set ? bitmap[i / 64] | bit : bitmap[i / 64] & ~bit;
        if (is_set) writer.push(is_runs ? run_value_of(entry, i, shape_) : value_of(entry, shape_));
    }
    for (std::uint32_t i = until; i < old_values; ++i)
        writer.push(old_value(i));

    const std::uint32_t now = writer.count();
    const bool is_inline = now == 0 || (is_runs && now == 1);
    if (is_inline || (now != old_values && now % 16 == 0)) return {};
    write_ranks(words_.get(), shape_);
    return {.form = form, .words = {words_.get(), shape_.ranked_words(now)}};
}

bool may_update_in_place(SliceWord word, std::span<const Entry> values,
                         const SliceShape& shape) noexcept {
    if (values.size() * 8 > shape.entries()) return false;  // perhaps a smaller form fits now
    if (word.form() == Form::raw64) return true;
    return word.form() == Form::raw32 &&
           std::ranges::all_of(values, [&](Entry value) { return fits_value(value, shape); });
}

void update_in_place(SliceWord word, std::uint32_t first, std::span<const Entry> values,
                     const SliceShape& shape) noexcept {
    for (const Entry value : values) {
        if (word.form() == Form::raw64) {
            PayloadMemory::store64(word.payload(Form::raw64) + std::uintptr_t{first} * 8, value);
        } else {
            PayloadMemory::store32(word.payload(Form::raw32) + std::uintptr_t{first} * 4,
                                   value_of(value, shape));
        }
        ++first;
    }
}

}  // namespace qed
