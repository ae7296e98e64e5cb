// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "qed/block_file.hpp"
#include "qed/geometry.hpp"
#include "qed/header.hpp"

namespace qed::cli {

/// A run of consecutive entries of one kind. Entries of data name consecutive clusters.
struct EntryRun {
    enum class Kind : std::uint8_t {
        unallocated,
        zero,
        data,
        bad,  ///< names no cluster inside the file
    };
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    Kind kind = Kind::unallocated;
    std::uint64_t offset = 0;  ///< data: file offset of the first; bad: the entry's value
};
std::string_view to_string(EntryRun::Kind kind);

/// The raw tables of a file, valid or not. Reads the parts that are inside the file, in pieces.
class TableDump {
public:
    TableDump(BlockFile& file, const Header& header, const Geometry& geometry,
              std::uint64_t file_bytes)
        : file_(file), header_(header), geometry_(geometry), file_bytes_(file_bytes) {}

    struct L1Entry {
        std::uint64_t index = 0;
        std::uint64_t offset = 0;
        bool usable = false;  ///< aligned and whole inside the file
    };
    /// The entries of the L1 table that are not zero.
    Result<std::vector<L1Entry>> l1_entries();
    /// Calls `visit` with the runs of one L2 table, in order.
    Result<void> l2_runs(std::uint64_t table, const std::function<void(const EntryRun&)>& visit);

private:
    Result<void> for_each_entry(std::uint64_t table,
                                const std::function<void(std::uint64_t, std::uint64_t)>& visit);
    EntryRun::Kind kind_of(std::uint64_t entry) const;

    BlockFile& file_;
    Header header_;
    Geometry geometry_;
    std::uint64_t file_bytes_;
};

}  // namespace qed::cli
