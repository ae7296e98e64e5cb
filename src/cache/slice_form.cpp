// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_form.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/assert.hpp"
#include "base/lanes.hpp"

namespace qed {
namespace {

/// Walks a ranked payload: calls `begin(index, value)` in order for each entry in [first, end) at
/// which a value starts to apply; with `runs` also for the value that applies at `first`.
template <Form kForm, class Begin>
void for_each_value(SliceWord word, std::uint32_t first, std::uint32_t end, const SliceShape& shape,
                    const Begin& begin) noexcept {
    const std::uintptr_t payload = word.payload(kForm);
    const auto bits_of = [payload](std::uint32_t group) {
        return PayloadMemory::load64(payload + std::uintptr_t{group} * 8);
    };
    std::uint32_t group = first / 64;
    std::uint64_t bits = bits_of(group);
    const std::uint64_t below = (std::uint64_t{1} << (first % 64)) - 1;
    std::uint32_t rank = count_bits(bits & below);  // values that start before the entry
    for (std::uint32_t i = 0; i < group; ++i)
        rank += count_bits(bits_of(i));

    const std::uintptr_t values = payload + shape.table_words * 8;
    const auto value_at = [values](std::uint32_t i) {
        return PayloadMemory::load32(values + std::uintptr_t{i} * 4);
    };
    if (kForm == Form::runs && rank != 0) begin(first, value_at(rank - 1));
    for (bits &= ~below;; bits = bits_of(group)) {
        for (; bits != 0; bits &= bits - 1) {
            const std::uint32_t index = group * 64 + static_cast<unsigned>(std::countr_zero(bits));
            if (index >= end) return;
            begin(index, value_at(rank++));
        }
        if (++group * 64 >= end) return;
    }
}

void read_sparse(SliceWord word, std::uint32_t first, std::span<Entry> entries,
                 const SliceShape& shape) noexcept {
    const auto end = first + static_cast<std::uint32_t>(entries.size());
    std::ranges::fill(entries, kUnallocatedEntry);
    for_each_value<Form::sparse>(
        word, first, end, shape, [&](std::uint32_t index, std::uint32_t value) {
            entries[index - first] = form_values::widen(value, shape.cluster_bits);
        });
}

void write_run(std::span<Entry> out, Entry entry, Entry step) noexcept {
    Lanes64 two{entry, entry + step};
    std::size_t i = 0;
    for (; i + 1 < out.size(); i += 2, two += 2 * step)
        std::memcpy(&out[i], &two, sizeof two);
    if (i < out.size()) out[i] = two[0];
}

void read_runs(SliceWord word, std::uint32_t first, std::span<Entry> entries,
               const SliceShape& shape) noexcept {
    const auto end = first + static_cast<std::uint32_t>(entries.size());
    std::uint32_t held = 0;
    std::uint32_t index = first;
    const auto hold_until = [&](std::uint32_t next) {
        const Entry entry = form_values::widen_run(held, index, shape);
        const Entry step = is_data_entry(entry) ? Entry{1} << shape.cluster_bits : 0;
        write_run(entries.subspan(index - first, next - index), entry, step);
        index = next;
    };
    for_each_value<Form::runs>(word, first, end, shape,
                               [&](std::uint32_t next, std::uint32_t value) {
                                   hold_until(next);
                                   held = value;
                               });
    hold_until(end);
}

}  // namespace

void read_entries(SliceWord word, std::uint32_t first, std::span<Entry> entries,
                  const SliceShape& shape) noexcept {
    QED_ASSERT(first < shape.entries() && entries.size() <= shape.entries() - first);
    if (word.form() == Form::sparse) {
        read_sparse(word, first, entries, shape);
    } else if (word.form() == Form::runs) {
        read_runs(word, first, entries, shape);
    } else {
        for (Entry& entry : entries)
            entry = read_unranked(word, first++, shape);
    }
}

}  // namespace qed
