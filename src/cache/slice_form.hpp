// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "cache/entry.hpp"

namespace qed {

/// How the entries of a slice are kept in memory.
enum class Form : std::uint8_t {
    absent = 0,   ///< not in memory
    uniform = 1,  ///< all entries are the same marker; nothing but the word
    run = 2,      ///< entry i is first cluster + i; nothing but the word
    sparse = 3,   ///< a bitmap of allocated entries, ranks, 32-bit cluster numbers
    raw32 = 4,    ///< 32-bit cluster numbers
    raw64 = 5,    ///< 64-bit entries, for files beyond 2^32 clusters
};

/// One 64-bit word that says everything about a slice to a reader: its form, and the payload's
/// address or the content itself. Readers load it, read through it, and load it again: if it has
/// not changed, what they read was right. `tag` makes two uses of one address differ.
class SliceWord {
public:
    constexpr SliceWord() = default;
    constexpr explicit SliceWord(std::uint64_t bits) : bits_(bits) {}
    static constexpr SliceWord uniform(Entry marker) { return make(Form::uniform, marker); }
    static constexpr SliceWord run(std::uint64_t first_cluster) {
        return make(Form::run, first_cluster);
    }
    static SliceWord at(Form form, const std::atomic<std::uint64_t>* payload, std::uint64_t tag) {
        const auto address = reinterpret_cast<std::uintptr_t>(payload);
        return make(form, (address >> kPayloadAlignBits) | (tag << kAddressBits));
    }

    constexpr std::uint64_t bits() const { return bits_; }
    constexpr Form form() const { return static_cast<Form>(bits_ & kFormMask); }
    constexpr std::uint64_t inline_value() const { return bits_ >> kFormBits; }
    const std::atomic<std::uint64_t>* payload() const {
        const std::uint64_t address =
            (bits_ >> kFormBits) & ((std::uint64_t{1} << kAddressBits) - 1);
        return reinterpret_cast<const std::atomic<std::uint64_t>*>(  // NOLINT: packed address
            static_cast<std::uintptr_t>(address << kPayloadAlignBits));
    }
    constexpr bool has_payload() const { return form() >= Form::sparse; }
    friend constexpr bool operator==(SliceWord, SliceWord) = default;

    static constexpr unsigned kPayloadAlignBits = 4;

private:
    static constexpr unsigned kFormBits = 3;
    static constexpr std::uint64_t kFormMask = (1U << kFormBits) - 1;
    static constexpr unsigned kAddressBits = 47 - kPayloadAlignBits;  // user space ends at 2^47
    static constexpr SliceWord make(Form form, std::uint64_t rest) {
        return SliceWord(static_cast<std::uint64_t>(form) | (rest << kFormBits));
    }
    std::uint64_t bits_ = 0;
};

/// The constants that all slices of one image share.
struct SliceShape {
    unsigned entry_bits = 9;  ///< entries in a slice, as a power of two
    unsigned cluster_bits = 16;

    std::uint32_t entries() const { return 1U << entry_bits; }
    std::uint32_t bitmap_words() const { return (entries() + 63) / 64; }
    std::uint32_t rank_words() const { return (bitmap_words() + 3) / 4; }
};

/// The smallest sound form for some entries, and its size. Pure.
struct FormChoice {
    Form form = Form::uniform;
    std::uint64_t inline_value = 0;   ///< for uniform and run
    std::uint32_t payload_words = 0;  ///< 64-bit words, 0 for inline forms
};
FormChoice choose_form(std::span<const Entry> entries, const SliceShape& shape) noexcept;

/// Fills the payload of `choice`. All stores are releases: see read_entry().
void encode_form(const FormChoice& choice, std::span<const Entry> entries, const SliceShape& shape,
                 std::atomic<std::uint64_t>* payload) noexcept;

/// Replaces one entry in place where the form allows it (raw forms that can hold the value).
bool replace_in_place(SliceWord word, std::uint32_t index, Entry value,
                      const SliceShape& shape) noexcept;

namespace form_detail {

inline constexpr std::uint32_t kZero32 = 0xffffffffU;
inline constexpr std::uint32_t kBad32 = 0xfffffffeU;

inline Entry widen(std::uint32_t value, unsigned cluster_bits) {
    if (value < kBad32) [[likely]]
        return Entry{value} << cluster_bits;
    return value == kZero32 ? kZeroEntry : kBadEntry;
}
inline std::uint32_t half(const std::atomic<std::uint64_t>* words, std::uint32_t index) {
    const std::uint64_t word = words[index / 2].load(std::memory_order_acquire);
    return static_cast<std::uint32_t>(word >> (32 * (index & 1)));
}

inline Entry sparse_entry(const std::atomic<std::uint64_t>* payload, std::uint32_t index,
                          const SliceShape& shape) {
    const std::uint64_t bits = payload[index / 64].load(std::memory_order_acquire);
    const std::uint64_t bit = std::uint64_t{1} << (index % 64);
    if ((bits & bit) == 0) return kUnallocatedEntry;
    const std::uint32_t group = index / 64;
    const std::uint64_t ranks =
        payload[shape.bitmap_words() + group / 4].load(std::memory_order_acquire);
    const auto before = static_cast<std::uint32_t>((ranks >> (16 * (group % 4))) & 0xffff);
    // The mask keeps the address inside mapped memory even if the block was reused meanwhile.
    const std::uint32_t position =
        (before + static_cast<std::uint32_t>(std::popcount(bits & (bit - 1)))) &
        (shape.entries() - 1);
    return widen(half(payload + shape.bitmap_words() + shape.rank_words(), position),
                 shape.cluster_bits);
}

}  // namespace form_detail

/// The entry at `index` of a slice whose word is `word` (not absent). The memory behind the word
/// may be reused for another slice at any moment: it is always mapped, never trusted. A caller
/// that holds no pin must find the directory's word unchanged after the read; the acquire loads
/// here and the releases of encode_form() order the two.
inline Entry read_entry(SliceWord word, std::uint32_t index, const SliceShape& shape) {
    switch (word.form()) {
        case Form::uniform:
            return word.inline_value();
        case Form::run:
            return (word.inline_value() + index) << shape.cluster_bits;
        case Form::sparse:
            return form_detail::sparse_entry(word.payload(), index, shape);
        case Form::raw32:
            return form_detail::widen(form_detail::half(word.payload(), index), shape.cluster_bits);
        case Form::raw64:
            return word.payload()[index].load(std::memory_order_acquire);
        case Form::absent:
            break;
    }
    return kUnallocatedEntry;
}

}  // namespace qed
