// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "cache/entry_decoder.hpp"
#include "formats/qed/table_rules.hpp"
#include "qed/block_file.hpp"
#include "qed/geometry.hpp"
#include "qed/header.hpp"

namespace qed {

/// Decodes table entries by the rules of the header and by the current length of the file.
class QedEntryDecoder final : public EntryDecoder {
public:
    QedEntryDecoder(BlockFile& file, const Header& header, const Geometry& geometry)
        : file_(file), header_(header), geometry_(geometry) {}
    /// Entries may name clusters that end here or before; only ever grows.
    void know_bytes(std::uint64_t file_bytes) const noexcept;
    EntryLimits limits() const noexcept;
    void decode(std::uint64_t table, std::uint64_t first, std::span<const std::byte> raw,
                std::span<Entry> entries) const noexcept override;

private:
    bool has_grown() const noexcept;
    BlockFile& file_;
    const Header header_;
    const Geometry geometry_;
    mutable std::atomic<std::uint64_t> file_bytes_{0};
};

}  // namespace qed
