// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_header.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "formats/qcow2/big_endian.hpp"

namespace qed {
namespace {

// Where each field is, from docs/format-qcow2.md section 1.
enum Field : std::size_t {
    kVersionAt = 4,
    kBackingOffsetAt = 8,
    kBackingBytesAt = 16,
    kClusterBitsAt = 20,
    kImageBytesAt = 24,
    kEncryptionAt = 32,
    kL1EntriesAt = 36,
    kL1OffsetAt = 40,
    kRefcountTableOffsetAt = 48,
    kRefcountTableClustersAt = 56,
    kSnapshotsAt = 60,
    kSnapshotsOffsetAt = 64,
    kIncompatibleAt = 72,
    kCompatibleAt = 80,
    kAutoclearAt = 88,
    kRefcountOrderAt = 96,
    kHeaderBytesAt = 100,
    kCompressionAt = 104,
};

constexpr std::uint32_t kVersion3HeaderBytes = 104;
constexpr std::uint32_t kMaxBackingNameBytes = 1023;
constexpr std::uint64_t kMaxL1Bytes = 32U << 20;
constexpr std::uint64_t kMaxRefcountTableBytes = 8U << 20;
constexpr unsigned kMaxRefcountOrder = 6;
constexpr std::uint64_t kKnownIncompatible = 0x1f;

enum Extension : std::uint32_t {
    kEnd = 0,
    kBackingFormat = 0xe2792aca,
    kDataFile = 0x44415441,
    kFeatureNames = 0x6803f857,
};

std::unexpected<Error> corrupt(std::string text) {
    return fail(Errc::corrupt_metadata, std::move(text));
}

Result<void> check_sizes(const Qcow2Header& header) {
    if (header.cluster_bits < kQcow2MinClusterBits || header.cluster_bits > kQcow2MaxClusterBits) {
        return corrupt(fmt::format("cluster_bits at byte {} is {}, expected {} to {}",
                                   +kClusterBitsAt, header.cluster_bits, kQcow2MinClusterBits,
                                   kQcow2MaxClusterBits));
    }
    if (header.version == 3 &&
        (header.header_bytes < kVersion3HeaderBytes || header.header_bytes % 8 != 0 ||
         header.header_bytes > header.cluster_bytes())) {
        return corrupt(fmt::format(
            "header_length at byte {} is {}, expected a multiple of 8 from "
            "{} to the cluster size {}",
            +kHeaderBytesAt, header.header_bytes, kVersion3HeaderBytes, header.cluster_bytes()));
    }
    if (header.refcount_order > kMaxRefcountOrder) {
        return corrupt(fmt::format("refcount_order at byte {} is {}, expected at most {}",
                                   +kRefcountOrderAt, header.refcount_order, kMaxRefcountOrder));
    }
    return {};
}

// The name of an unknown feature, where the image has a table of names.
std::string feature_name(std::span<const std::byte> names, unsigned bit) {
    constexpr std::size_t kRecordBytes = 48;
    constexpr std::size_t kNameAt = 2;
    for (; names.size() >= kRecordBytes; names = names.subspan(kRecordBytes)) {
        if (names[0] != std::byte{0} || std::to_integer<unsigned>(names[1]) != bit) continue;
        const auto text = names.subspan(kNameAt, kRecordBytes - kNameAt);
        const auto end = std::ranges::find(text, std::byte{0});
        const std::string_view name(reinterpret_cast<const char*>(text.data()),
                                    static_cast<std::size_t>(end - text.begin()));
        return fmt::format("{} ('{}')", bit, printable(name));
    }
    return fmt::to_string(bit);
}

Result<void> check_features(const Qcow2Header& header, std::span<const std::byte> names) {
    const std::uint64_t unknown = header.incompatible_features & ~kKnownIncompatible;
    if (unknown != 0) {
        const auto bit = static_cast<unsigned>(std::countr_zero(unknown));
        return fail(Errc::unsupported_feature,
                    fmt::format("the image needs the incompatible feature of bit {}, which this "
                                "version does not know",
                                feature_name(names, bit)));
    }
    if (header.has(Qcow2Incompatible::external_data) && header.encryption != 0) {
        return corrupt("an image with an external data file cannot be encrypted");
    }
    if (header.has(Qcow2Incompatible::extended_l2) && header.cluster_bits < 14) {
        return corrupt(
            fmt::format("cluster_bits at byte {} is {}, expected at least 14 where L2 "
                        "entries are extended (incompatible feature bit 4)",
                        +kClusterBitsAt, header.cluster_bits));
    }
    if (header.encryption > 2) {
        return corrupt(fmt::format("crypt_method at byte {} is {}, expected 0 to 2", +kEncryptionAt,
                                   header.encryption));
    }
    return {};
}

Result<void> decode_compression(std::span<const std::byte> head, Qcow2Header& header) {
    unsigned type = 0;
    if (header.header_bytes > kCompressionAt && head.size() > kCompressionAt) {
        type = std::to_integer<unsigned>(head[kCompressionAt]);
    }
    if (type > 1) {
        return fail(Errc::unsupported_feature,
                    fmt::format("compression_type at byte {} is {}, expected 0 (deflate) or 1 "
                                "(zstd)",
                                +kCompressionAt, type));
    }
    if ((type != 0) != header.has(Qcow2Incompatible::compression_type)) {
        return corrupt(
            fmt::format("compression_type at byte {} is {}, but incompatible feature "
                        "bit 3 is {}: the bit has to be set exactly where the type is "
                        "not 0",
                        +kCompressionAt, type, type != 0 ? "clear" : "set"));
    }
    header.compression = static_cast<Qcow2Compression>(type);
    return {};
}

/// The table of `bytes` at `offset` lies in the file, whole, and not over the header.
Result<void> check_table(std::string_view what, std::size_t field, std::uint64_t offset,
                         std::uint64_t bytes, const Qcow2Header& header, std::uint64_t file_bytes) {
    const auto refuse = [&](std::string_view why) {
        return corrupt(
            fmt::format("the offset of the {} at byte {} is {:#x}, expected a multiple "
                        "of the cluster size {:#x} after the header, with all {} bytes "
                        "of the table before the end of the file at {:#x}: it {}",
                        what, field, offset, header.cluster_bytes(), bytes, file_bytes, why));
    };
    if (offset % header.cluster_bytes() != 0) return refuse("is not aligned");
    if (offset == 0) return refuse("overlaps the header");
    if (offset > file_bytes || file_bytes - offset < bytes) {
        return refuse("reaches past the end of the file (is the file truncated?)");
    }
    return {};
}

Result<void> check_l1(const Qcow2Header& header, std::uint64_t file_bytes) {
    const std::uint64_t bytes = std::uint64_t{header.l1_entries} * 8;
    if (bytes > kMaxL1Bytes) {
        return corrupt(fmt::format("l1_size at byte {} is {} entries, expected at most {}",
                                   +kL1EntriesAt, header.l1_entries, kMaxL1Bytes / 8));
    }
    if (header.l1_entries < header.l1_entries_used()) {
        return corrupt(
            fmt::format("l1_size at byte {} is {} entries, expected at least {} for a "
                        "disk of {} bytes (byte {})",
                        +kL1EntriesAt, header.l1_entries, header.l1_entries_used(),
                        header.image_bytes, +kImageBytesAt));
    }
    if (header.l1_entries == 0) return {};
    return check_table("L1 table", kL1OffsetAt, header.l1_offset, bytes, header, file_bytes);
}

Result<void> check_refcount_table(const Qcow2Header& header) {
    const std::uint64_t bytes = std::uint64_t{header.refcount_table_clusters}
                                << header.cluster_bits;
    if (bytes > kMaxRefcountTableBytes) {
        return corrupt(fmt::format("refcount_table_clusters at byte {} is {}, expected at most {}",
                                   +kRefcountTableClustersAt, header.refcount_table_clusters,
                                   kMaxRefcountTableBytes >> header.cluster_bits));
    }
    if (header.refcount_table_offset % header.cluster_bytes() != 0 ||
        header.refcount_table_offset > std::numeric_limits<std::int64_t>::max()) {
        return corrupt(fmt::format(
            "refcount_table_offset at byte {} is {:#x}, expected a multiple "
            "of the cluster size {:#x}",
            +kRefcountTableOffsetAt, header.refcount_table_offset, header.cluster_bytes()));
    }
    return {};
}

std::string_view text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Result<std::string> decode_name(std::string_view what, std::span<const std::byte> bytes) {
    const std::string_view text = text_of(bytes);
    if (text.find('\0') != std::string_view::npos) {
        return corrupt(fmt::format("the {} '{}' has a zero byte in it", what, printable(text)));
    }
    return std::string(text);
}

// The name lies in the first cluster, after the header.
Result<void> decode_backing_name(std::span<const std::byte> head, Qcow2Header& header) {
    if (header.backing_name_offset == 0) return {};
    if (header.backing_name_bytes > kMaxBackingNameBytes) {
        return corrupt(fmt::format("backing_file_size at byte {} is {}, expected at most {}",
                                   +kBackingBytesAt, header.backing_name_bytes,
                                   kMaxBackingNameBytes));
    }
    const std::uint64_t begin = header.backing_name_offset;
    const std::uint64_t limit = std::min<std::uint64_t>(head.size(), header.cluster_bytes());
    if (begin < header.header_bytes || begin > limit || limit - begin < header.backing_name_bytes) {
        return corrupt(
            fmt::format("the name of the backing file (fields at bytes {} and {}) is "
                        "said to be {} bytes at {:#x}, expected inside the first "
                        "cluster, from {:#x} to {:#x}",
                        +kBackingOffsetAt, +kBackingBytesAt, header.backing_name_bytes, begin,
                        header.header_bytes, limit));
    }
    Result<std::string> name =
        decode_name("name of the backing file", head.subspan(begin, header.backing_name_bytes));
    if (!name) return pass(name);
    header.backing_name = std::move(*name);
    return {};
}

struct Extensions {
    std::span<const std::byte> feature_names;
};

Result<void> decode_extension(std::uint32_t type, std::span<const std::byte> data,
                              Qcow2Header& header, Extensions& found) {
    if (type == kFeatureNames) found.feature_names = data;
    if (type != kBackingFormat && type != kDataFile) return {};
    const bool is_format = type == kBackingFormat;
    Result<std::string> name =
        decode_name(is_format ? "format of the backing file" : "name of the data file", data);
    if (!name) return pass(name);
    (is_format ? header.backing_format : header.data_file) = std::move(*name);
    return {};
}

// Extensions follow the header, and end at type 0, at the backing file's name or at the end of the
// first cluster.
Result<Extensions> decode_extensions(std::span<const std::byte> head, Qcow2Header& header) {
    Extensions found;
    const std::uint64_t cluster = std::min<std::uint64_t>(head.size(), header.cluster_bytes());
    const std::uint64_t end =
        header.backing_name_offset != 0 ? std::min(header.backing_name_offset, cluster) : cluster;
    std::uint64_t at = header.header_bytes;
    while (at + 8 <= end) {
        const auto type = load_be<std::uint32_t>(head, at);
        const auto length = load_be<std::uint32_t>(head, at + 4);
        if (type == kEnd) break;
        at += 8;
        if (length > end - at) {
            return corrupt(
                fmt::format("the header extension {:#010x} at byte {} is {} bytes long, "
                            "expected at most {}, which is what the first cluster has "
                            "room for",
                            type, at - 8, length, end - at));
        }
        QED_CHECK(decode_extension(type, head.subspan(at, length), header, found));
        at += (std::uint64_t{length} + 7) / 8 * 8;
    }
    return found;
}

Qcow2Header decode_fields(std::span<const std::byte> head) {
    Qcow2Header header;
    header.version = load_be<std::uint32_t>(head, kVersionAt);
    header.backing_name_offset = load_be<std::uint64_t>(head, kBackingOffsetAt);
    header.backing_name_bytes = load_be<std::uint32_t>(head, kBackingBytesAt);
    header.cluster_bits = load_be<std::uint32_t>(head, kClusterBitsAt);
    header.image_bytes = load_be<std::uint64_t>(head, kImageBytesAt);
    header.encryption = load_be<std::uint32_t>(head, kEncryptionAt);
    header.l1_entries = load_be<std::uint32_t>(head, kL1EntriesAt);
    header.l1_offset = load_be<std::uint64_t>(head, kL1OffsetAt);
    header.refcount_table_offset = load_be<std::uint64_t>(head, kRefcountTableOffsetAt);
    header.refcount_table_clusters = load_be<std::uint32_t>(head, kRefcountTableClustersAt);
    header.snapshots = load_be<std::uint32_t>(head, kSnapshotsAt);
    header.snapshots_offset = load_be<std::uint64_t>(head, kSnapshotsOffsetAt);
    return header;
}

void decode_version_3(std::span<const std::byte> head, Qcow2Header& header) {
    header.incompatible_features = load_be<std::uint64_t>(head, kIncompatibleAt);
    header.compatible_features = load_be<std::uint64_t>(head, kCompatibleAt);
    header.autoclear_features = load_be<std::uint64_t>(head, kAutoclearAt);
    header.refcount_order = load_be<std::uint32_t>(head, kRefcountOrderAt);
    header.header_bytes = load_be<std::uint32_t>(head, kHeaderBytesAt);
}

}  // namespace

BackingReference Qcow2Header::backing() const {
    BackingReference reference{.name = backing_name,
                               .format = BackingFormat::unstated,
                               .must_be_stated = backing_format.empty()};
    if (backing_format == "raw") reference.format = BackingFormat::raw;
    if (backing_format == "qed") reference.format = BackingFormat::qed;
    if (backing_format == "qcow2") reference.format = BackingFormat::qcow2;
    return reference;
}

bool has_qcow2_magic(std::span<const std::byte> head) noexcept {
    return head.size() >= 4 && std::memcmp(head.data(), "QFI\xfb", 4) == 0;
}

Result<Qcow2Header> decode_qcow2_header(std::span<const std::byte> head, std::uint64_t file_bytes) {
    if (!has_qcow2_magic(head) || head.size() < kQcow2MinHeaderBytes) {
        return corrupt(fmt::format("expected a qcow2 header of at least {} bytes, found {} bytes",
                                   kQcow2MinHeaderBytes, head.size()));
    }
    Qcow2Header header = decode_fields(head);
    if (header.version != 2 && header.version != 3) {
        return fail(
            Errc::unsupported_feature,
            fmt::format("version at byte {} is {}, expected 2 or 3", +kVersionAt, header.version));
    }
    if (header.version == 3) {
        if (head.size() < kVersion3HeaderBytes) {
            return corrupt(fmt::format("expected a header of at least {} bytes, found {} bytes",
                                       kVersion3HeaderBytes, head.size()));
        }
        decode_version_3(head, header);
    }
    QED_CHECK(check_sizes(header));
    const Result<Extensions> extensions = decode_extensions(head, header);
    if (!extensions) return std::unexpected(extensions.error().clone());
    QED_CHECK(check_features(header, extensions->feature_names));
    QED_CHECK(decode_compression(head, header));
    QED_CHECK(check_l1(header, file_bytes));
    QED_CHECK(check_refcount_table(header));
    QED_CHECK(decode_backing_name(head, header));
    return header;
}

}  // namespace qed
