// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "qed/error.hpp"
#include "qed/format.hpp"

namespace qed {

/// docs/format-qcow2.md section 1: a feature that a reader must know is a bit of this kind.
enum class Qcow2Incompatible : std::uint64_t {
    dirty = 1U << 0,
    corrupt = 1U << 1,
    external_data = 1U << 2,
    compression_type = 1U << 3,
    extended_l2 = 1U << 4,
};

enum class Qcow2Compression : std::uint8_t { deflate = 0, zstd = 1 };

/// The fields of a header of version 2 or 3, with what its extensions say. Version 2 has the values
/// that docs/format-qcow2.md gives for the fields that it lacks.
struct Qcow2Header {
    std::uint32_t version = 0;
    unsigned cluster_bits = 0;
    /// Size of the virtual disk in bytes, any value.
    std::uint64_t image_bytes = 0;
    std::uint32_t encryption = 0;  ///< 0 none, 1 AES, 2 LUKS
    std::uint32_t l1_entries = 0;
    std::uint64_t l1_offset = 0;
    std::uint64_t refcount_table_offset = 0;
    std::uint32_t refcount_table_clusters = 0;
    std::uint32_t snapshots = 0;
    std::uint64_t snapshots_offset = 0;
    std::uint64_t incompatible_features = 0;
    std::uint64_t compatible_features = 0;
    std::uint64_t autoclear_features = 0;
    unsigned refcount_order = 4;
    std::uint32_t header_bytes = 72;
    Qcow2Compression compression = Qcow2Compression::deflate;
    std::uint64_t backing_name_offset = 0;
    std::uint32_t backing_name_bytes = 0;
    std::string backing_name;    ///< empty: no backing file
    std::string backing_format;  ///< empty: not stated
    std::string data_file;       ///< of the extension; empty: not named

    bool has(Qcow2Incompatible feature) const noexcept {
        return (incompatible_features & static_cast<std::uint64_t>(feature)) != 0;
    }
    std::uint64_t cluster_bytes() const noexcept { return std::uint64_t{1} << cluster_bits; }
    unsigned l2_entry_bytes() const noexcept {
        return has(Qcow2Incompatible::extended_l2) ? 16 : 8;
    }
    std::uint64_t l2_entries() const noexcept { return cluster_bytes() / l2_entry_bytes(); }
    /// Guest bytes that one L2 table maps.
    std::uint64_t table_span() const noexcept { return l2_entries() << cluster_bits; }
    /// L1 entries that a disk of this size needs.
    std::uint64_t l1_entries_used() const noexcept {
        return image_bytes / table_span() + (image_bytes % table_span() != 0 ? 1 : 0);
    }
    BackingReference backing() const;
};

inline constexpr std::size_t kQcow2MinHeaderBytes = 72;
inline constexpr unsigned kQcow2MinClusterBits = 9;
inline constexpr unsigned kQcow2MaxClusterBits = 21;

/// Whether a file begins as a qcow2 image of any version does.
bool has_qcow2_magic(std::span<const std::byte> head) noexcept;

/// Decodes and validates the header in `head`, the first bytes of the file: at least a cluster, or
/// all of a file that is shorter.
/// \param file_bytes  length of the file
/// \errors corrupt_metadata, unsupported_feature; the message does not name the file
Result<Qcow2Header> decode_qcow2_header(std::span<const std::byte> head, std::uint64_t file_bytes);

}  // namespace qed
