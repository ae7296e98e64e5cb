// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "cache/entry_decoder.hpp"
#include "formats/qcow2/qcow2_header.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// Where the data of a compressed cluster is. `length` is what the entry has room for; the data
/// itself may end earlier.
struct CompressedPlace {
    std::uint64_t offset = 0;  ///< in the image file, any byte
    std::uint64_t length = 0;
};

/// docs/format-qcow2.md sections 3 to 5: what the entries of the tables mean.
class Qcow2EntryDecoder final : public EntryDecoder {
public:
    static constexpr std::uint64_t kOffsetMask = 0x00ff'ffff'ffff'fe00;
    static constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
    static constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;

    Qcow2EntryDecoder(BlockFile& file, const Qcow2Header& header);

    /// An entry of the L1 table: the offset of an L2 table, kUnallocatedEntry or kBadEntry.
    Entry decode_l1(std::uint64_t raw) const noexcept;
    /// Where `raw`, an entry with kCompressed set, says that the data is.
    CompressedPlace compressed_place(std::uint64_t raw) const noexcept;
    void decode(std::uint64_t table, std::uint64_t first, std::span<const std::byte> raw,
                std::span<Entry> entries) const noexcept override;

private:
    Entry decode_standard(std::uint64_t raw) const noexcept;
    Entry decode_compressed(std::uint64_t raw) const noexcept;
    void decode_extended(std::uint64_t raw, std::uint64_t bitmap,
                         std::span<Entry> subclusters) const noexcept;
    /// The first byte at `offset` lies in the file, as far as that has grown by now.
    bool is_inside(std::uint64_t offset) const noexcept;
    bool is_cluster_offset(std::uint64_t offset) const noexcept {
        return (offset & (cluster_bytes_ - 1)) == 0 && offset >= cluster_bytes_ &&
               is_inside(offset);
    }

    BlockFile& file_;
    const std::uint64_t cluster_bytes_;
    const unsigned cluster_bits_;
    const bool has_zero_flag_;
    const bool is_extended_;
    /// As far as it is known: asked for again before an entry is called bad.
    mutable std::atomic<std::uint64_t> file_bytes_{0};
};

}  // namespace qed
