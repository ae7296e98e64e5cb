// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "cache/entry.hpp"
#include "cache/slice_form.hpp"

namespace qed {

/// A slice in the smallest correct form, in memory that readers do not see yet.
struct EncodedSlice {
    Form form = Form::uniform;
    std::uint64_t inline_value = 0;        ///< for uniform and run
    std::span<const std::uint64_t> words;  ///< for the others: the payload

    std::size_t payload_bytes() const { return words.size() * sizeof(std::uint64_t); }
};

/// Stores the words so that a reader that sees one of them also sees everything that the caller
/// stored before.
void store_payload(std::span<const std::uint64_t> words, void* payload) noexcept;

/// The smallest form of a whole slice. `words` is for the payload: one for each entry.
/// \cost about 1 ns an entry
EncodedSlice encode_slice(std::span<const Entry> entries, const SliceShape& shape,
                          std::span<std::uint64_t> words) noexcept;

/// Finds the form of slices that change, in memory of its own. One caller at a time; a result is
/// valid until the next call.
class SliceUpdater {
public:
    /// Null where the system has no memory.
    static std::unique_ptr<SliceUpdater> create(const SliceShape& shape) noexcept;

    /// The form of the slice after `values` replace its entries starting at `first`. The payload of
    /// `word` is neither changed nor reused meanwhile: the caller holds a pin.
    /// \cost for a few values, of the order of the payload's words
    EncodedSlice update(SliceWord word, std::uint32_t first,
                        std::span<const Entry> values) noexcept;

private:
    explicit SliceUpdater(const SliceShape& shape) noexcept : shape_(shape) {}
    EncodedSlice encode_all(SliceWord word, std::uint32_t first,
                            std::span<const Entry> values) noexcept;
    EncodedSlice splice(Form form, SliceWord word, std::uint32_t first,
                        std::span<const Entry> values) noexcept;

    const SliceShape shape_;
    std::unique_ptr<Entry[]> entries_;
    std::unique_ptr<std::uint64_t[]> words_;
};

/// Whether `values` can replace entries of the slice in its payload. They can if each entry changes
/// in one store and none moves, so that readers cannot mistake a mixture of old and new values for
/// a valid state.
bool may_update_in_place(SliceWord word, std::span<const Entry> values,
                         const SliceShape& shape) noexcept;
void update_in_place(SliceWord word, std::uint32_t first, std::span<const Entry> values,
                     const SliceShape& shape) noexcept;

}  // namespace qed
