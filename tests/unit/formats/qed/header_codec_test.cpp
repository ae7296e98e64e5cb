// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "qed/header.hpp"
#include "support/geometries.hpp"

namespace qed {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kFileBytes = 0x100000;

Header sound_header() {
    return {.l1_table_offset = {0x10000}, .image_bytes = 10 << 20};
}

Header header_with_backing(std::uint32_t offset, std::uint32_t bytes) {
    Header header = sound_header();
    header.features = feature::kBackingFile;
    header.backing_name_offset = offset;
    header.backing_name_bytes = bytes;
    return header;
}

std::span<const std::byte> as_bytes(std::string_view text) {
    return std::as_bytes(std::span(text));
}

void expect_refused(const Header& header, Errc code, const std::vector<std::string>& words,
                    std::uint64_t file_bytes = kFileBytes) {
    const auto geometry = validate_header(header, file_bytes);
    ASSERT_FALSE(geometry.has_value()) << words.front();
    EXPECT_EQ(geometry.error().code(), code) << geometry.error().message();
    for (const std::string& word : words) {
        EXPECT_THAT(geometry.error().message(), HasSubstr(word));
    }
}

TEST(HeaderCodecTest, FieldsAreWhereTheFormatPutsThem) {
    std::array<std::byte, kHeaderBytes> raw;
    for (std::size_t i = 0; i < raw.size(); ++i)
        raw[i] = static_cast<std::byte>(i);
    std::memcpy(raw.data(), "QED\0", 4);
    const auto header = decode_header(raw);
    ASSERT_TRUE(header.has_value());
    EXPECT_EQ(header->cluster_bytes, 0x07060504U);
    EXPECT_EQ(header->table_clusters, 0x0b0a0908U);
    EXPECT_EQ(header->header_clusters, 0x0f0e0d0cU);
    EXPECT_EQ(header->features, 0x1716151413121110U);
    EXPECT_EQ(header->compat_features, 0x1f1e1d1c1b1a1918U);
    EXPECT_EQ(header->autoclear_features, 0x2726252423222120U);
    EXPECT_EQ(header->l1_table_offset.value, 0x2f2e2d2c2b2a2928U);
    EXPECT_EQ(header->image_bytes, 0x3736353433323130U);
    EXPECT_EQ(header->backing_name_offset, 0x3b3a3938U);
    EXPECT_EQ(header->backing_name_bytes, 0x3f3e3d3cU);
    EXPECT_EQ(encode_header(*header), raw);
}

RC_GTEST_PROP(HeaderCodecTest, WhateverFollowsTheMagicSurvivesARoundTrip,
              (const std::vector<std::uint8_t>& noise)) {
    std::array<std::byte, kHeaderBytes> raw{};
    const auto bytes = std::as_bytes(std::span(noise));
    std::ranges::copy(bytes.first(std::min(bytes.size(), raw.size())), raw.begin());
    std::memcpy(raw.data(), "QED\0", 4);
    const auto header = decode_header(raw);
    RC_ASSERT(header.has_value());
    RC_ASSERT(encode_header(*header) == raw);
}

TEST(HeaderCodecTest, OtherFilesAreNotQed) {
    auto raw = encode_header(sound_header());
    raw[3] = std::byte{1};
    const auto wrong = decode_header(raw);
    ASSERT_FALSE(wrong.has_value());
    EXPECT_EQ(wrong.error().code(), Errc::not_qed);
    EXPECT_THAT(wrong.error().message(), HasSubstr("51 45 44 01, expected 51 45 44 00"));

    const auto cut = decode_header(std::span(raw).first(63));
    ASSERT_FALSE(cut.has_value());
    EXPECT_EQ(cut.error().code(), Errc::not_qed);
}

TEST(ValidateHeaderTest, EveryLegalGeometryIsAccepted) {
    for (const Geometry& geometry : test::every_geometry()) {
        Header header;
        header.cluster_bytes = static_cast<std::uint32_t>(geometry.cluster_bytes());
        header.table_clusters = geometry.table_clusters();
        header.l1_table_offset = {geometry.cluster_bytes()};
        header.image_bytes = geometry.max_image_bytes();
        const std::uint64_t file_bytes = geometry.cluster_bytes() + geometry.table_bytes();
        const auto accepted = validate_header(header, file_bytes);
        ASSERT_TRUE(accepted.has_value()) << accepted.error().message();
        EXPECT_EQ(*accepted, geometry);

        expect_refused(header, Errc::corrupt_metadata, {"l1_table_offset", "truncated"},
                       file_bytes - 1);
        header.image_bytes += 512;
        expect_refused(header, Errc::corrupt_metadata, {"image_size at byte 48", "at most"},
                       file_bytes);
    }
}

TEST(ValidateHeaderTest, UnknownFeatureBitsAreRefusedEachOfThem) {
    for (unsigned bit = 3; bit < 64; ++bit) {
        Header header = sound_header();
        header.features = std::uint64_t{1} << bit;
        expect_refused(header, Errc::unsupported_feature,
                       {fmt::format("features {:#x}", header.features), "byte 16"});
    }
}

TEST(ValidateHeaderTest, UnknownFeatureIsNamedBeforeAnythingElseThatIsWrong) {
    Header header;
    header.features = 8;
    header.cluster_bytes = 1;
    expect_refused(header, Errc::unsupported_feature, {"0x8"}, 0);
}

TEST(ValidateHeaderTest, UnknownCompatAndAutoclearBitsAreTolerated) {
    Header header = sound_header();
    header.compat_features = ~std::uint64_t{0};
    header.autoclear_features = ~std::uint64_t{0};
    EXPECT_TRUE(validate_header(header, kFileBytes).has_value());
}

TEST(ValidateHeaderTest, KnownFeatureBitsAreAccepted) {
    Header header = header_with_backing(64, 4);
    header.features = feature::kKnown;
    EXPECT_TRUE(validate_header(header, kFileBytes).has_value());
    EXPECT_TRUE(header.has_backing() && header.needs_check() && header.backing_is_raw());
}

TEST(ValidateHeaderTest, HeaderOfNoClustersIsRefused) {
    Header header = sound_header();
    header.header_clusters = 0;
    expect_refused(header, Errc::corrupt_metadata, {"header_size at byte 12 is 0", "1 to 65535"});
}

TEST(ValidateHeaderTest, HeaderMustFit32Bits) {
    Header header = sound_header();
    header.header_clusters = 65535;
    header.l1_table_offset = {65535ULL * 65536};
    EXPECT_TRUE(validate_header(header, header.l1_table_offset.value + (256 << 10)).has_value());
    header.header_clusters = 65536;
    header.l1_table_offset = {65536ULL * 65536};
    expect_refused(header, Errc::corrupt_metadata, {"header_size", "65536", "32 bits"},
                   std::uint64_t{1} << 40);
}

TEST(ValidateHeaderTest, L1TableOverHeaderOrUnalignedOrOutsideIsRefused) {
    Header header = sound_header();
    header.header_clusters = 2;
    expect_refused(header, Errc::corrupt_metadata, {"byte 40 is 0x10000", "overlaps the header"});

    header = sound_header();
    header.l1_table_offset = {0};
    expect_refused(header, Errc::corrupt_metadata, {"is 0x0", "overlaps the header"});

    header.l1_table_offset = {0x10200};
    expect_refused(header, Errc::corrupt_metadata, {"is 0x10200", "not aligned"});

    header.l1_table_offset = {0xd0000};
    expect_refused(header, Errc::corrupt_metadata, {"0xd0000", "past the end of the file"});

    // Offset plus table size is more than 64 bits hold.
    header.l1_table_offset = {~std::uint64_t{0xffff}};
    expect_refused(header, Errc::corrupt_metadata, {"past the end of the file"});
}

TEST(ValidateHeaderTest, ImageSizeMustBeWholeSectors) {
    Header header = sound_header();
    header.image_bytes = 511;
    expect_refused(header, Errc::corrupt_metadata, {"image_size at byte 48 is 511", "512"});
    header.image_bytes = 0;
    EXPECT_TRUE(validate_header(header, kFileBytes).has_value());
}

TEST(ValidateHeaderTest, BackingNameLiesBetweenTheFieldsAndTheEndOfTheHeader) {
    EXPECT_TRUE(validate_header(header_with_backing(64, 1), kFileBytes).has_value());
    EXPECT_TRUE(validate_header(header_with_backing(64, 1023), kFileBytes).has_value());
    EXPECT_TRUE(validate_header(header_with_backing(0x10000 - 10, 10), kFileBytes).has_value());

    expect_refused(header_with_backing(63, 5), Errc::corrupt_metadata, {"bytes 63 to 68"});
    expect_refused(header_with_backing(0x10000 - 10, 11), Errc::corrupt_metadata,
                   {"65526 to 65537"});
    expect_refused(header_with_backing(0xffffffff, 0xffffffff), Errc::corrupt_metadata,
                   {"expected inside 64 to 65536"});
    expect_refused(header_with_backing(64, 0), Errc::corrupt_metadata, {"byte 60 is 0"});
    expect_refused(header_with_backing(64, 1024), Errc::corrupt_metadata, {"1 to 1023"});
}

TEST(ValidateHeaderTest, BackingNameFieldsMeanNothingWithoutTheFeatureBit) {
    Header header = header_with_backing(3, 0xffffffff);
    header.features = 0;
    EXPECT_TRUE(validate_header(header, kFileBytes).has_value());
}

TEST(BackingNameTest, IsReturnedByteForByte) {
    for (const std::string_view name :
         {"base.raw", "../b", "json:{}", "nbd://h", "\xff\xfe", " "}) {
        const auto decoded = decode_backing_name(as_bytes(name));
        ASSERT_TRUE(decoded.has_value());
        EXPECT_EQ(*decoded, name);
    }
    EXPECT_TRUE(decode_backing_name(as_bytes(std::string(1023, 'x'))).has_value());
}

TEST(BackingNameTest, EmptyTooLongOrWithAZeroByteIsRefused) {
    EXPECT_FALSE(decode_backing_name({}).has_value());
    EXPECT_FALSE(decode_backing_name(as_bytes(std::string(1024, 'x'))).has_value());
    const auto nul = decode_backing_name(as_bytes(std::string_view("a\0b", 3)));
    ASSERT_FALSE(nul.has_value());
    EXPECT_EQ(nul.error().code(), Errc::corrupt_metadata);
    EXPECT_THAT(nul.error().message(), HasSubstr("zero byte at position 1 of 3"));
}

}  // namespace
}  // namespace qed
