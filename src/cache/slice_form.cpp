// SPDX-License-Identifier: Apache-2.0
#include "cache/slice_form.hpp"

#include "base/assert.hpp"

namespace qed {
namespace {

/// Goes through a ranked payload: the bitmap says where the next value begins to hold.
template <Form kForm>
void read_all_ranked(SliceWord word, std::uint32_t first, std::span<Entry> entries,
                     const SliceShape& shape) noexcept {
    const std::uintptr_t payload = word.payload(kForm);
    std::uint64_t bits = PayloadMemory::load64(payload + first / 64 * 8);
    std::uint32_t rank = 0;  // values that begin before the entry
    for (std::uint32_t group = 0; group < first / 64; ++group)
        rank += count_bits(PayloadMemory::load64(payload + group * 8));
    rank += count_bits(bits & ((std::uint64_t{1} << (first % 64)) - 1));

    const std::uintptr_t values = payload + shape.table_words * 8;
    const auto value_before = [&](std::uint32_t end) {
        return PayloadMemory::load32(values + std::uintptr_t{end - 1} * 4);
    };
    std::uint32_t value = rank != 0 ? value_before(rank) : 0;
    std::uint32_t index = first;
    for (Entry& entry : entries) {
        if (index % 64 == 0) bits = PayloadMemory::load64(payload + index / 64 * 8);
        const bool is_set = ((bits >> (index % 64)) & 1) != 0;
        if (is_set) value = value_before(++rank);
        if constexpr (kForm == Form::runs) {
            entry = form_values::widen_run(value, index, shape);
        } else {
            entry = is_set ? form_values::widen(value, shape.cluster_bits) : kUnallocatedEntry;
        }
        ++index;
    }
}

}  // namespace

void read_entries(SliceWord word, std::uint32_t first, std::span<Entry> entries,
                  const SliceShape& shape) noexcept {
    QED_ASSERT(first < shape.entries() && entries.size() <= shape.entries() - first);
    if (word.form() == Form::sparse) {
        read_all_ranked<Form::sparse>(word, first, entries, shape);
    } else if (word.form() == Form::runs) {
        read_all_ranked<Form::runs>(word, first, entries, shape);
    } else {
        for (Entry& entry : entries)
            entry = read_unranked(word, first++, shape);
    }
}

}  // namespace qed
