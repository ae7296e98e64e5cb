// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/geometry.hpp"
#include "qed/units.hpp"

namespace qed {

inline constexpr std::uint32_t kQedMagic = 0x00444551;  ///< "QED\0", little-endian
inline constexpr std::size_t kHeaderBytes = 64;         ///< encoded fields, without backing name

namespace feature {
inline constexpr std::uint64_t kBackingFile = 0x01;
inline constexpr std::uint64_t kNeedCheck = 0x02;
inline constexpr std::uint64_t kBackingIsRaw = 0x04;
inline constexpr std::uint64_t kKnown = kBackingFile | kNeedCheck | kBackingIsRaw;
}  // namespace feature

/// The first 64 bytes of an image, decoded (docs/format.md section 1). Plain data.
struct Header {
    std::uint32_t cluster_bytes = kDefaultClusterBytes;
    std::uint32_t table_clusters = kDefaultTableClusters;
    std::uint32_t header_clusters = 1;
    std::uint64_t features = 0;
    std::uint64_t compat_features = 0;
    std::uint64_t autoclear_features = 0;
    FileOffset l1_table_offset{};
    std::uint64_t image_bytes = 0;
    std::uint32_t backing_name_offset = 0;
    std::uint32_t backing_name_bytes = 0;

    bool has_backing() const { return (features & feature::kBackingFile) != 0; }
    bool needs_check() const { return (features & feature::kNeedCheck) != 0; }
    bool backing_is_raw() const { return (features & feature::kBackingIsRaw) != 0; }
    /// Bytes before the first cluster that a table may name.
    std::uint64_t header_bytes() const { return std::uint64_t{header_clusters} * cluster_bytes; }
    friend bool operator==(const Header&, const Header&) = default;
};

/// Decodes the fields and checks only the magic. `raw` holds at least kHeaderBytes.
/// \errors not_qed
QED_API Result<Header> decode_header(std::span<const std::byte> raw);
QED_API std::array<std::byte, kHeaderBytes> encode_header(const Header& header);

/// Checks every rule that the fields must obey before an image may be opened (docs/format.md
/// section 1). `file_bytes` is the length of the file. Returns the image's geometry.
/// \errors corrupt_metadata, unsupported_feature
QED_API Result<Geometry> validate_header(const Header& header, std::uint64_t file_bytes);

/// Checks the backing file's name from the header clusters: no NUL, not empty, at most 1023 bytes.
/// Returns the name unchanged; the chain opener decides whether it may be opened.
QED_API Result<std::string> decode_backing_name(std::span<const std::byte> raw);

}  // namespace qed
