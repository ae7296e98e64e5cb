// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/entry_decoder.hpp"

#include "base/endian.hpp"

namespace qed {

// The markers of the format are also those of the cache, so that decoding a good entry of an L1 or
// L2 table changes nothing, and the engine writes an Entry to the file as it is.
static_assert(kRawUnallocated == kUnallocatedEntry && kRawZero == kZeroEntry);

void QedEntryDecoder::know_bytes(std::uint64_t file_bytes) const noexcept {
    std::uint64_t known = file_bytes_.load(std::memory_order_relaxed);
    while (known < file_bytes &&
           !file_bytes_.compare_exchange_weak(known, file_bytes, std::memory_order_release)) {
    }
}

EntryLimits QedEntryDecoder::limits() const noexcept {
    return EntryLimits::make(header_, geometry_, file_bytes_.load(std::memory_order_acquire));
}

bool QedEntryDecoder::has_grown() const noexcept {
    const Result<std::uint64_t> now = file_.size();
    const std::uint64_t before = file_bytes_.load(std::memory_order_relaxed);
    if (now) know_bytes(*now);
    return file_bytes_.load(std::memory_order_relaxed) != before;
}

void QedEntryDecoder::decode(std::uint64_t, std::uint64_t, std::span<const std::byte> raw,
                             std::span<Entry> entries) const noexcept {
    load_le64(raw, entries);
    EntryLimits now = limits();
    if (are_unallocated_or_places(entries, now)) return;
    bool asked = false;
    for (Entry& entry : entries) {
        if (entry <= kRawZero || now.is_valid_cluster_offset(entry)) continue;
        // Past the known end of the file: another process may have extended it.
        if (!asked && has_grown()) now = limits();
        asked = true;
        if (!now.is_valid_cluster_offset(entry)) entry = kBadEntry;
    }
}

}  // namespace qed
