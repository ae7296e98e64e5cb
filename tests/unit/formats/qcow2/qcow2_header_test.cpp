// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_header.hpp"

#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/qcow2_builder.hpp"

namespace qed {
namespace {

using test::Qcow2Builder;
using testing::HasSubstr;

constexpr std::uint64_t kDisk = 10 * Qcow2Builder::kCluster;

Result<Qcow2Header> decode(Qcow2Builder& image) {
    const auto head = image.head();
    return decode_qcow2_header(head, image.file().bytes());
}

TEST(Qcow2Header, Version3IsDecoded) {
    Qcow2Builder image(kDisk);
    image.u64(80, 1);  // lazy refcounts
    const auto header = decode(image);
    ASSERT_TRUE(header.has_value()) << header.error().message();
    EXPECT_EQ(header->version, 3U);
    EXPECT_EQ(header->image_bytes, kDisk);
    EXPECT_EQ(header->cluster_bytes(), 65536U);
    EXPECT_EQ(header->l1_offset, Qcow2Builder::kL1At);
    EXPECT_EQ(header->compatible_features, 1U);
    EXPECT_EQ(header->table_span(), std::uint64_t{512} << 20);
    EXPECT_TRUE(header->backing_name.empty());
}

TEST(Qcow2Header, Version2HasTheValuesOfAbsentFields) {
    Qcow2Builder image(kDisk);
    image.u32(4, 2);
    // What version 3 keeps here are extensions in version 2.
    image.u64(72, 0);
    image.u64(96, 0);
    const auto header = decode(image);
    ASSERT_TRUE(header.has_value()) << header.error().message();
    EXPECT_EQ(header->header_bytes, 72U);
    EXPECT_EQ(header->refcount_order, 4U);
    EXPECT_EQ(header->incompatible_features, 0U);
}

TEST(Qcow2Header, ExtensionsAndBackingNameAreDecoded) {
    Qcow2Builder image(kDisk);
    image.u32(104, 0xe2792aca);
    image.u32(108, 3);
    image.text(112, "raw");
    image.u32(120, 0x12345678);  // unknown: skipped, with its padding
    image.u32(124, 5);
    image.u32(136, 0);
    image.u64(8, 144);
    image.u32(16, 8);
    image.text(144, "base.img");
    const auto header = decode(image);
    ASSERT_TRUE(header.has_value()) << header.error().message();
    EXPECT_EQ(header->backing_name, "base.img");
    EXPECT_EQ(header->backing_format, "raw");
    EXPECT_EQ(header->backing().format, BackingFormat::raw);
}

struct Damage {
    std::string name;
    std::function<void(Qcow2Builder&)> apply;
    Errc code;
    std::string message;
};

void PrintTo(const Damage& damage, std::ostream* out) {
    *out << damage.name;
}

class DamagedQcow2Header : public testing::TestWithParam<Damage> {};

TEST_P(DamagedQcow2Header, IsRefusedWithItsReason) {
    Qcow2Builder image(kDisk);
    GetParam().apply(image);
    const auto header = decode(image);
    ASSERT_FALSE(header.has_value());
    EXPECT_EQ(header.error().code(), GetParam().code);
    EXPECT_THAT(header.error().message(), HasSubstr(GetParam().message));
}

const std::vector<Damage> kDamages = {
    {"UnknownVersion", [](auto& i) { i.u32(4, 4); }, Errc::unsupported_feature, "expected 2 or 3"},
    {"ClusterBitsTooSmall", [](auto& i) { i.u32(20, 8); }, Errc::corrupt_metadata, "cluster_bits"},
    {"ClusterBitsTooLarge", [](auto& i) { i.u32(20, 22); }, Errc::corrupt_metadata, "cluster_bits"},
    {"ClusterBitsHuge", [](auto& i) { i.u32(20, ~0U); }, Errc::corrupt_metadata, "cluster_bits"},
    {"HeaderLengthUnaligned", [](auto& i) { i.u32(100, 105); }, Errc::corrupt_metadata,
     "header_length"},
    {"HeaderLengthBeyondCluster", [](auto& i) { i.u32(100, 65544); }, Errc::corrupt_metadata,
     "header_length"},
    {"RefcountOrder", [](auto& i) { i.u32(96, 7); }, Errc::corrupt_metadata, "refcount_order"},
    {"L1TooSmall", [](auto& i) { i.u64(24, std::uint64_t{1} << 30); }, Errc::corrupt_metadata,
     "l1_size"},
    {"L1TooLarge", [](auto& i) { i.u32(36, 5U << 20); }, Errc::corrupt_metadata, "l1_size"},
    {"L1Unaligned", [](auto& i) { i.u64(40, 65536 + 512); }, Errc::corrupt_metadata, "aligned"},
    {"L1OverHeader", [](auto& i) { i.u64(40, 0); }, Errc::corrupt_metadata, "overlaps"},
    {"L1PastEnd", [](auto& i) { i.u64(40, 65536 * 100); }, Errc::corrupt_metadata, "truncated"},
    {"L1Wraps", [](auto& i) { i.u64(40, ~std::uint64_t{65535}); }, Errc::corrupt_metadata,
     "truncated"},
    {"RefcountTableTooLarge", [](auto& i) { i.u32(56, 129); }, Errc::corrupt_metadata,
     "refcount_table_clusters"},
    {"UnknownFeature", [](auto& i) { i.u64(72, std::uint64_t{1} << 40); },
     Errc::unsupported_feature, "bit 40"},
    {"CompressionWithoutBit",
     [](auto& i) {
         i.u32(100, 112);
         i.u8(104, 1);
     },
     Errc::corrupt_metadata, "compression_type"},
    {"CompressionBitAlone", [](auto& i) { i.u64(72, 8); }, Errc::corrupt_metadata,
     "compression_type"},
    {"UnknownCompression",
     [](auto& i) {
         i.u32(100, 112);
         i.u64(72, 8);
         i.u8(104, 2);
     },
     Errc::unsupported_feature, "compression_type"},
    {"ExtensionPastCluster",
     [](auto& i) {
         i.u32(104, 0x12345678);
         i.u32(108, 0xfffffff0);
     },
     Errc::corrupt_metadata, "extension"},
    {"BackingNameOverHeader",
     [](auto& i) {
         i.u64(8, 16);
         i.u32(16, 4);
     },
     Errc::corrupt_metadata, "first cluster"},
    {"BackingNamePastCluster",
     [](auto& i) {
         i.u64(8, 65530);
         i.u32(16, 100);
     },
     Errc::corrupt_metadata, "first cluster"},
    {"BackingNameTooLong",
     [](auto& i) {
         i.u64(8, 512);
         i.u32(16, 1024);
     },
     Errc::corrupt_metadata, "backing_file_size"},
    {"BackingNameWithZeroByte",
     [](auto& i) {
         i.u64(8, 512);
         i.u32(16, 4);
         i.text(512, std::string_view("a\0bc", 4));
     },
     Errc::corrupt_metadata, "zero byte"},
    {"ExtendedEntriesInSmallClusters",
     [](auto& i) {
         i.u32(20, 13);
         i.u64(24, 8192);
         i.u64(72, 16);
     },
     Errc::corrupt_metadata, "extended"},
    {"UnknownEncryption", [](auto& i) { i.u32(32, 3); }, Errc::corrupt_metadata, "crypt_method"},
};

INSTANTIATE_TEST_SUITE_P(All, DamagedQcow2Header, testing::ValuesIn(kDamages),
                         [](const auto& damage) { return damage.param.name; });

TEST(Qcow2Header, UnknownFeatureIsNamedByTheTableOfNames) {
    Qcow2Builder image(kDisk);
    image.u64(72, 32);
    image.u32(104, 0x6803f857);
    image.u32(108, 48);
    image.u8(112, 0);
    image.u8(113, 5);
    image.text(114, "time travel");
    const auto header = decode(image);
    ASSERT_FALSE(header.has_value());
    EXPECT_THAT(header.error().message(), HasSubstr("5 ('time travel')"));
}

TEST(Qcow2Header, FileShorterThanTheHeaderIsRefused) {
    Qcow2Builder image(kDisk);
    const auto head = image.head();
    for (const std::size_t bytes : {4U, 71U, 80U, 103U}) {
        const auto header = decode_qcow2_header(std::span(head).first(bytes), bytes);
        ASSERT_FALSE(header.has_value()) << bytes;
        EXPECT_EQ(header.error().code(), Errc::corrupt_metadata) << bytes;
    }
}

}  // namespace
}  // namespace qed
