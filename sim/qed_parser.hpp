// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "sim/file_content.hpp"

namespace qed::sim {

/// The content of a QED file, parsed without code of libqed: the second opinion on every file that
/// the engine writes (docs/format.md sections 1 to 3).
struct ParsedImage {
    bool is_usable = false;  ///< the header is valid
    bool needs_check = false;
    bool has_backing = false;
    std::uint64_t cluster_bytes = 0;
    std::uint64_t table_entries = 0;
    std::uint64_t image_bytes = 0;
    /// L2 entries that are not 0, by guest cluster: 1 or a file offset.
    std::map<std::uint64_t, std::uint64_t> entries;
    /// Clusters with an owner, those of the header and the tables included.
    std::uint64_t used_clusters = 0;
    std::uint64_t used_end = 0;         ///< end of the last of them, bytes
    std::uint64_t leaked_clusters = 0;  ///< without an owner, not holes
    std::uint64_t free_clusters = 0;    ///< without an owner, holes
    /// A table past the end of the disk, which a shrinking disk leaves behind.
    bool has_unreachable_table = false;
    /// Broken rules: clusters named twice, offsets that are not aligned or not inside the file.
    std::vector<std::string> faults;
};

ParsedImage parse_qed(const FileContent& file);

/// For an image that was closed: the file ends after its last named cluster, and no cluster without
/// an owner occupies space. Throws Failure.
void expect_space_given_back(const FileContent& file);

/// For an image that was shrunk: the file is as long as the number of its named clusters says. An
/// engine does not move what it cannot reach, nor what lies between such tables. Throws Failure.
void expect_packed(const FileContent& file);

}  // namespace qed::sim
