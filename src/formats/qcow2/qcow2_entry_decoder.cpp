// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_entry_decoder.hpp"

#include <algorithm>

#include "formats/qcow2/big_endian.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kZeroFlag = 1;
// Bits of an entry that have to be 0; bit 0 is looked at apart, since it has a meaning in most
// images.
constexpr std::uint64_t kReservedL1 = 0x7f00'0000'0000'01ff;
constexpr std::uint64_t kReservedL2 = 0x3f00'0000'0000'01fe;
constexpr std::uint64_t kMaxOffset = std::uint64_t{1} << 56;
constexpr unsigned kSectorBits = 9;
constexpr std::size_t kSubclusters = 32;

}  // namespace

Qcow2EntryDecoder::Qcow2EntryDecoder(BlockFile& file, const Qcow2Header& header)
    : file_(file),
      cluster_bytes_(header.cluster_bytes()),
      cluster_bits_(header.cluster_bits),
      has_zero_flag_(header.version >= 3),
      is_extended_(header.has(Qcow2Incompatible::extended_l2)) {}

bool Qcow2EntryDecoder::is_inside(std::uint64_t offset) const noexcept {
    if (offset < file_bytes_.load(std::memory_order_relaxed)) return true;
    // The first question, or another process has made the file longer.
    const Result<std::uint64_t> now = file_.size();
    if (!now) return false;
    file_bytes_.store(*now, std::memory_order_relaxed);
    return offset < *now;
}

Entry Qcow2EntryDecoder::decode_l1(std::uint64_t raw) const noexcept {
    const std::uint64_t offset = raw & kOffsetMask;
    if ((raw & kReservedL1) != 0) return kBadEntry;
    if (offset == 0) return kUnallocatedEntry;
    // Tables are whole clusters, and lie in the file whole.
    const bool is_good = is_cluster_offset(offset) && is_inside(offset + cluster_bytes_ - 1);
    return is_good ? offset : kBadEntry;
}

CompressedPlace Qcow2EntryDecoder::compressed_place(std::uint64_t raw) const noexcept {
    const unsigned sector_shift = 70 - cluster_bits_;
    const std::uint64_t descriptor = raw & (kCompressed - 1);
    const std::uint64_t offset = descriptor & ((std::uint64_t{1} << sector_shift) - 1);
    const std::uint64_t sectors = (descriptor >> sector_shift) + 1;
    return {.offset = offset,
            .length = (sectors << kSectorBits) - (offset & ((1U << kSectorBits) - 1))};
}

Entry Qcow2EntryDecoder::decode_compressed(std::uint64_t raw) const noexcept {
    const CompressedPlace place = compressed_place(raw);
    const bool is_good = (raw & kCopied) == 0 && place.offset < kMaxOffset &&
                         place.offset >= cluster_bytes_ && is_inside(place.offset);
    return is_good ? kEncodedEntry : kBadEntry;
}

Entry Qcow2EntryDecoder::decode_standard(std::uint64_t raw) const noexcept {
    const std::uint64_t offset = raw & kOffsetMask;
    if ((raw & kReservedL2) != 0) return kBadEntry;
    if (offset != 0 && !is_cluster_offset(offset)) return kBadEntry;
    if ((raw & kZeroFlag) != 0) return has_zero_flag_ ? kZeroEntry : kBadEntry;
    if (offset == 0) return (raw & kCopied) != 0 ? kBadEntry : kUnallocatedEntry;
    return offset;
}

void Qcow2EntryDecoder::decode_extended(std::uint64_t raw, std::uint64_t bitmap,
                                        std::span<Entry> subclusters) const noexcept {
    if ((raw & kCompressed) != 0) {
        std::ranges::fill(subclusters, bitmap == 0 ? decode_compressed(raw) : kBadEntry);
        return;
    }
    const std::uint64_t offset = raw & kOffsetMask;
    const auto allocated = static_cast<std::uint32_t>(bitmap);
    const auto zero = static_cast<std::uint32_t>(bitmap >> 32);
    const bool is_bad = (raw & (kReservedL2 | kZeroFlag)) != 0 || (allocated & zero) != 0 ||
                        (offset == 0 && (allocated != 0 || (raw & kCopied) != 0)) ||
                        (offset != 0 && !is_cluster_offset(offset));
    for (std::size_t i = 0; i < subclusters.size(); ++i) {
        Entry entry = kUnallocatedEntry;
        if (((zero >> i) & 1) != 0) entry = kZeroEntry;
        if (((allocated >> i) & 1) != 0) entry = offset + i * (cluster_bytes_ / kSubclusters);
        subclusters[i] = is_bad ? kBadEntry : entry;
    }
}

void Qcow2EntryDecoder::decode(std::uint64_t, std::uint64_t, std::span<const std::byte> raw,
                               std::span<Entry> entries) const noexcept {
    if (is_extended_) {
        for (std::size_t i = 0; i * kSubclusters < entries.size(); ++i) {
            decode_extended(load_be<std::uint64_t>(raw, i * 16),
                            load_be<std::uint64_t>(raw, i * 16 + 8),
                            entries.subspan(i * kSubclusters, kSubclusters));
        }
        return;
    }
    for (std::size_t i = 0; i < entries.size(); ++i) {
        const auto entry = load_be<std::uint64_t>(raw, i * 8);
        entries[i] = (entry & kCompressed) != 0 ? decode_compressed(entry) : decode_standard(entry);
    }
}

}  // namespace qed
