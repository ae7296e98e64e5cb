// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bits.hpp"
#include "base/thread_shard.hpp"
#include "cache/entry.hpp"

namespace qed {

/// The form in which the entries of a slice are kept in memory.
enum class Form : std::uint8_t {
    absent = 0,   ///< not in memory
    uniform = 1,  ///< all entries are the same marker; nothing but the word
    run = 2,      ///< entry i is first cluster + i; nothing but the word
    raw32 = 3,    ///< 32-bit cluster numbers
    raw64 = 4,    ///< 64-bit entries, for files beyond 2^32 clusters
    sparse = 5,   ///< a bitmap of allocated entries, ranks, 32-bit cluster numbers
    runs = 6,     ///< a bitmap of where runs start, ranks, a 32-bit value for each run
};

/// Memory of payloads. A reader may read it while it is reused, so every access is atomic: loads
/// acquire, stores release. A load and a store of different sizes meet only if a reader reads
/// memory that was reused. The reader does not trust that value, but it must then see the stores
/// that came before, which holds for every size.
class PayloadMemory {
public:
    static std::uint64_t load64(std::uintptr_t address) noexcept {
        return __atomic_load_n(at<Word64>(address), __ATOMIC_ACQUIRE);
    }
    static std::uint32_t load32(std::uintptr_t address) noexcept {
        return __atomic_load_n(at<Word32>(address), __ATOMIC_ACQUIRE);
    }
    static void store64(std::uintptr_t address, std::uint64_t value) noexcept {
        __atomic_store_n(at<Word64>(address), value, __ATOMIC_RELEASE);
    }
    static void store32(std::uintptr_t address, std::uint32_t value) noexcept {
        __atomic_store_n(at<Word32>(address), value, __ATOMIC_RELEASE);
    }
    /// Any address will do.
    static void prefetch(std::uintptr_t address) noexcept {
        __builtin_prefetch(at<Word64>(address));
    }

private:
    using Word64 [[gnu::may_alias]] = std::uint64_t;
    using Word32 [[gnu::may_alias]] = std::uint32_t;
    template <class Word>
    static Word* at(std::uintptr_t address) noexcept {
        return reinterpret_cast<Word*>(address);  // NOLINT(performance-no-int-to-ptr)
    }
};

/// One 64-bit word with everything that a reader has to know about a slice: its form, and the
/// address of the payload or the content itself.
class SliceWord {
public:
    constexpr SliceWord() = default;
    constexpr explicit SliceWord(std::uint64_t bits) : bits_(bits) {}
    static constexpr SliceWord make(Form form, std::uint64_t inline_value) {
        return SliceWord(static_cast<std::uint64_t>(form) | (inline_value << kFormBits));
    }
    static SliceWord at(Form form, const void* payload) {
        return SliceWord(static_cast<std::uint64_t>(form) |
                         reinterpret_cast<std::uintptr_t>(payload));
    }

    constexpr std::uint64_t bits() const { return bits_; }
    constexpr Form form() const { return static_cast<Form>(bits_ & kFormMask); }
    constexpr bool is_absent() const { return form() == Form::absent; }
    constexpr bool has_payload() const { return form() >= Form::raw32; }
    constexpr bool is_ranked() const { return form() >= Form::sparse; }
    constexpr std::uint64_t inline_value() const { return bits_ >> kFormBits; }
    /// Address of the payload of a word that has this form.
    constexpr std::uintptr_t payload(Form form) const {
        return static_cast<std::uintptr_t>(bits_ - static_cast<std::uint64_t>(form));
    }
    void* payload() const {
        return reinterpret_cast<void*>(payload(form()));  // NOLINT(performance-no-int-to-ptr)
    }
    friend constexpr bool operator==(SliceWord, SliceWord) = default;

private:
    static constexpr unsigned kFormBits = 3;  // payloads are aligned to at least 8 bytes
    static constexpr std::uint64_t kFormMask = (1U << kFormBits) - 1;
    std::uint64_t bits_ = 0;
};

/// The constants that all slices of one image share, computed once: every hit needs them.
struct SliceShape {
    unsigned entry_bits = 0;  ///< entries in a slice, as a power of two; 6 .. 13
    unsigned cluster_bits = 0;
    std::uint32_t entry_count = 0;
    std::uint32_t bitmap_words = 0;  ///< 64-bit words of a ranked payload
    std::uint32_t table_words = 0;   ///< bitmap and ranks; the values follow

    static constexpr SliceShape make(unsigned entry_bits, unsigned cluster_bits) {
        const std::uint32_t entries = 1U << entry_bits;
        const std::uint32_t bitmap = (entries + 63) / 64;
        return {.entry_bits = entry_bits,
                .cluster_bits = cluster_bits,
                .entry_count = entries,
                .bitmap_words = bitmap,
                .table_words = bitmap + (bitmap + 3) / 4};
    }
    constexpr std::uint32_t entries() const { return entry_count; }
    constexpr std::uint32_t ranked_words(std::uint32_t values) const {
        return table_words + (values + 1) / 2;
    }
    constexpr std::uint32_t raw32_words() const { return (entry_count + 1) / 2; }
};

/// 32-bit values of payloads. In `sparse` and `raw32` a value is a cluster number or a code; in
/// `runs` it has the top bit set and is a code, or is a cluster number that lacks the entry's
/// index and has too much by the number of entries, so that it is never negative.
namespace form_values {

inline constexpr std::uint32_t kZero = 0xffffffffU;
inline constexpr std::uint32_t kBad = 0xfffffffeU;
inline constexpr std::uint32_t kUnallocated = 0xfffffffdU;
inline constexpr std::uint32_t kEncoded = 0xfffffffcU;
inline constexpr std::uint32_t kFirstCode = kEncoded;
inline constexpr std::uint32_t kCodeBit = 0x80000000U;

inline Entry marker_of(std::uint32_t code) {
    if (code == kZero) return kZeroEntry;
    if (code == kEncoded) return kEncodedEntry;
    return code == kBad ? kBadEntry : kUnallocatedEntry;
}
inline std::uint32_t code_of(Entry marker) {
    if (marker == kZeroEntry) return kZero;
    if (marker == kEncodedEntry) return kEncoded;
    return marker == kBadEntry ? kBad : kUnallocated;
}
inline Entry widen(std::uint32_t value, unsigned cluster_bits) {
    if (value < kFirstCode) [[likely]]
        return Entry{value} << cluster_bits;
    return marker_of(value);
}
inline Entry widen_run(std::uint32_t value, std::uint32_t index, const SliceShape& shape) {
    if ((value & kCodeBit) == 0) [[likely]]
        return Entry{value + index - shape.entries()} << shape.cluster_bits;
    return marker_of(value);
}

}  // namespace form_values

/// The entry at `index` of a ranked payload (`sparse`, `runs`).
template <Form kForm>
inline Entry read_ranked(SliceWord word, std::uint32_t index, const SliceShape& shape) {
    const std::uintptr_t payload = word.payload(kForm);
    // If there are few values, they are on these lines, which are now loaded together with those of
    // the bitmap and the ranks, and not after them.
    PayloadMemory::prefetch(payload + 2 * kCacheLineBytes);
    PayloadMemory::prefetch(payload + 3 * kCacheLineBytes);
    const std::uint32_t group = index / 64;
    const std::uint64_t bits = PayloadMemory::load64(payload + group * 8);
    const std::uint64_t here = std::uint64_t{1} << (index % 64);
    if (kForm == Form::sparse && (bits & here) == 0) return kUnallocatedEntry;
    const std::uint64_t ranks =
        PayloadMemory::load64(payload + (shape.bitmap_words + group / 4) * 8);
    const auto before = static_cast<std::uint32_t>(ranks >> (16 * (group % 4))) & 0xffff;
    // The bit here, or that of the run with the entry, is the last one counted. For any content of
    // the memory, the address that follows from it must be mapped.
    const std::uint32_t rank =
        (before + count_bits(bits & (here | (here - 1))) - 1) & (shape.entries() - 1);
    const std::uint32_t value =
        PayloadMemory::load32(payload + shape.table_words * 8 + std::uintptr_t{rank} * 4);
    return kForm == Form::sparse ? form_values::widen(value, shape.cluster_bits)
                                 : form_values::widen_run(value, index, shape);
}

/// The entry at `index` of a slice whose word is `word`. Where the caller holds no pin, the payload
/// of the word may be used for another slice at any moment: it stays mapped, but a caller may trust
/// what it read only after it found the version of the slice's slot unchanged. All loads
/// are acquires and all stores to payloads are releases: docs/cache.md has the argument.
[[gnu::always_inline]] inline Entry read_unranked(SliceWord word, std::uint32_t index,
                                                  const SliceShape& shape) {
    const Form form = word.form();
    if (form == Form::raw32) {
        const std::uintptr_t values = word.payload(Form::raw32);
        const std::uint32_t value = PayloadMemory::load32(values + std::uintptr_t{index} * 4);
        return form_values::widen(value, shape.cluster_bits);
    }
    if (form == Form::raw64) {
        const std::uintptr_t entries = word.payload(Form::raw64);
        return PayloadMemory::load64(entries + std::uintptr_t{index} * 8);
    }
    if (form == Form::run) return (word.inline_value() + index) << shape.cluster_bits;
    return word.inline_value();
}
inline Entry read_ranked(SliceWord word, std::uint32_t index, const SliceShape& shape) {
    return word.form() == Form::sparse ? read_ranked<Form::sparse>(word, index, shape)
                                       : read_ranked<Form::runs>(word, index, shape);
}
inline Entry read_entry(SliceWord word, std::uint32_t index, const SliceShape& shape) {
    return word.is_ranked() ? read_ranked(word, index, shape) : read_unranked(word, index, shape);
}

/// The entries starting at `first`. With a pin nothing changes the payload meanwhile; without one,
/// what read_unranked() says of it holds here, too.
/// \cost about 1 ns an entry
void read_entries(SliceWord word, std::uint32_t first, std::span<Entry> entries,
                  const SliceShape& shape) noexcept;

}  // namespace qed
