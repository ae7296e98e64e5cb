// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include <fmt/format.h>

#include "base/endian.hpp"
#include "formats/qed/header_info.hpp"
#include "qed/header.hpp"

namespace qed {

namespace {

// Where each field is, from docs/format.md section 1.
enum Field : std::size_t {
    kMagicAt = 0,
    kClusterBytesAt = 4,
    kTableClustersAt = 8,
    kHeaderClustersAt = 12,
    kFeaturesAt = 16,
    kCompatFeaturesAt = 24,
    kAutoclearFeaturesAt = 32,
    kL1TableOffsetAt = 40,
    kImageBytesAt = 48,
    kBackingNameOffsetAt = 56,
    kBackingNameBytesAt = 60,
};

Result<void> check_header_clusters(const Header& header) {
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 32;
    if (header.header_clusters != 0 && header.header_bytes() < kLimit) return {};
    return fail(Errc::corrupt_metadata,
                fmt::format("header_size at byte {} is {} clusters of {} bytes, expected 1 to {} "
                            "clusters: the header must fit 32 bits",
                            +kHeaderClustersAt, header.header_clusters, header.cluster_bytes,
                            (kLimit - 1) / header.cluster_bytes));
}

Result<void> check_l1_table(const Header& header, const Geometry& geometry,
                            std::uint64_t file_bytes) {
    const std::uint64_t at = header.l1_table_offset.value;
    const auto refuse = [&](std::string_view what) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("l1_table_offset at byte {} is {:#x}, expected a multiple of {:#x} "
                                "from {:#x}, with the whole table of {:#x} bytes before the end "
                                "of the file at {:#x}: it {}",
                                +kL1TableOffsetAt, at, geometry.cluster_bytes(),
                                header.header_bytes(), geometry.table_bytes(), file_bytes, what));
    };
    if (!geometry.is_cluster_aligned(at)) return refuse("is not aligned");
    if (at < header.header_bytes()) return refuse("overlaps the header");
    if (at > file_bytes || file_bytes - at < geometry.table_bytes()) {
        return refuse("reaches past the end of the file (is the file truncated?)");
    }
    return {};
}

Result<void> check_image_bytes(const Header& header, const Geometry& geometry) {
    if (header.image_bytes % kSectorBytes != 0) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("image_size at byte {} is {}, expected a multiple of {}",
                                +kImageBytesAt, header.image_bytes, kSectorBytes));
    }
    if (header.image_bytes > geometry.max_image_bytes()) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("image_size at byte {} is {}, expected at most {}: tables of {} "
                                "entries and clusters of {} bytes map no more",
                                +kImageBytesAt, header.image_bytes, geometry.max_image_bytes(),
                                geometry.table_entries(), geometry.cluster_bytes()));
    }
    return {};
}

Result<void> check_backing_name_place(const Header& header) {
    if (!header.has_backing()) return {};
    const std::uint64_t begin = header.backing_name_offset;
    const std::uint64_t end = begin + header.backing_name_bytes;
    if (begin < kHeaderBytes || end > header.header_bytes()) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("the backing file name (fields at bytes {} and {}) is said to lie "
                                "at bytes {} to {}, expected inside {} to {}: after the header's "
                                "fields and inside its clusters",
                                +kBackingNameOffsetAt, +kBackingNameBytesAt, begin, end,
                                kHeaderBytes, header.header_bytes()));
    }
    if (header.backing_name_bytes == 0 || header.backing_name_bytes > kMaxBackingNameBytes) {
        return fail(
            Errc::corrupt_metadata,
            fmt::format("backing_filename_size at byte {} is {}, expected 1 to {} bytes",
                        +kBackingNameBytesAt, header.backing_name_bytes, kMaxBackingNameBytes));
    }
    return {};
}

}  // namespace

Result<Header> decode_header(std::span<const std::byte> raw) {
    if (raw.size() < kHeaderBytes) {
        return fail(Errc::not_qed, fmt::format("the header has {} bytes, expected at least {}",
                                               raw.size(), kHeaderBytes));
    }
    const std::byte* const bytes = raw.data();
    const std::uint32_t magic = load_le<std::uint32_t>(bytes + kMagicAt);
    if (magic != kQedMagic) {
        return fail(Errc::not_qed, fmt::format("not a QED image: the first four bytes are "
                                               "{:02x} {:02x} {:02x} {:02x}, expected 51 45 44 00 "
                                               "(\"QED\" and a zero byte)",
                                               raw[0], raw[1], raw[2], raw[3]));
    }
    return Header{
        .cluster_bytes = load_le<std::uint32_t>(bytes + kClusterBytesAt),
        .table_clusters = load_le<std::uint32_t>(bytes + kTableClustersAt),
        .header_clusters = load_le<std::uint32_t>(bytes + kHeaderClustersAt),
        .features = load_le<std::uint64_t>(bytes + kFeaturesAt),
        .compat_features = load_le<std::uint64_t>(bytes + kCompatFeaturesAt),
        .autoclear_features = load_le<std::uint64_t>(bytes + kAutoclearFeaturesAt),
        .l1_table_offset = {load_le<std::uint64_t>(bytes + kL1TableOffsetAt)},
        .image_bytes = load_le<std::uint64_t>(bytes + kImageBytesAt),
        .backing_name_offset = load_le<std::uint32_t>(bytes + kBackingNameOffsetAt),
        .backing_name_bytes = load_le<std::uint32_t>(bytes + kBackingNameBytesAt),
    };
}

std::array<std::byte, kHeaderBytes> encode_header(const Header& header) {
    std::array<std::byte, kHeaderBytes> raw{};
    std::byte* const bytes = raw.data();
    store_le(bytes + kMagicAt, kQedMagic);
    store_le(bytes + kClusterBytesAt, header.cluster_bytes);
    store_le(bytes + kTableClustersAt, header.table_clusters);
    store_le(bytes + kHeaderClustersAt, header.header_clusters);
    store_le(bytes + kFeaturesAt, header.features);
    store_le(bytes + kCompatFeaturesAt, header.compat_features);
    store_le(bytes + kAutoclearFeaturesAt, header.autoclear_features);
    store_le(bytes + kL1TableOffsetAt, header.l1_table_offset.value);
    store_le(bytes + kImageBytesAt, header.image_bytes);
    store_le(bytes + kBackingNameOffsetAt, header.backing_name_offset);
    store_le(bytes + kBackingNameBytesAt, header.backing_name_bytes);
    return raw;
}

Result<Geometry> validate_header(const Header& header, std::uint64_t file_bytes) {
    // Features first: a bit we do not know may change the meaning of every other field.
    const std::uint64_t unknown = header.features & ~feature::kKnown;
    if (unknown != 0) {
        return fail(Errc::unsupported_feature,
                    fmt::format("the image needs features {:#x} (field at byte {}: {:#x}), known "
                                "are {:#x}: it can only be opened by a program that has them",
                                unknown, +kFeaturesAt, header.features, feature::kKnown));
    }
    Result<Geometry> geometry = Geometry::make(header.cluster_bytes, header.table_clusters);
    if (!geometry) return geometry;
    QED_CHECK(check_header_clusters(header));
    QED_CHECK(check_l1_table(header, *geometry, file_bytes));
    QED_CHECK(check_image_bytes(header, *geometry));
    QED_CHECK(check_backing_name_place(header));
    return geometry;
}

Result<std::string> decode_backing_name(std::span<const std::byte> raw) {
    if (raw.empty() || raw.size() > kMaxBackingNameBytes) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("the backing file name has {} bytes, expected 1 to {}", raw.size(),
                                kMaxBackingNameBytes));
    }
    const auto nul = std::find(raw.begin(), raw.end(), std::byte{0});
    if (nul != raw.end()) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("the backing file name has a zero byte at position {} of {}, "
                                "expected none",
                                nul - raw.begin(), raw.size()));
    }
    return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
}

}  // namespace qed
