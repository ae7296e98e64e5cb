// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/qcow2_entry_decoder.hpp"

#include <array>
#include <bit>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "support/memory_file.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kFileBytes = 8 * kCluster;
constexpr std::uint64_t kCopied = std::uint64_t{1} << 63;
constexpr std::uint64_t kCompressed = std::uint64_t{1} << 62;

Qcow2Header header_of(std::uint32_t version, bool is_extended = false) {
    Qcow2Header header;
    header.version = version;
    header.cluster_bits = 16;
    if (is_extended) header.incompatible_features = 16;
    return header;
}

std::vector<std::byte> big_endian(std::initializer_list<std::uint64_t> words) {
    std::vector<std::byte> bytes(words.size() * 8);
    std::size_t at = 0;
    for (std::uint64_t word : words) {
        if constexpr (std::endian::native == std::endian::little) word = std::byteswap(word);
        std::memcpy(bytes.data() + at, &word, sizeof word);
        at += sizeof word;
    }
    return bytes;
}

class Qcow2EntryDecoderTest : public testing::Test {
protected:
    Entry decode(std::uint64_t raw, std::uint32_t version = 3) {
        const Qcow2EntryDecoder decoder(file_, header_of(version));
        std::array<Entry, 1> entry{};
        decoder.decode(0, 0, big_endian({raw}), entry);
        return entry[0];
    }
    std::vector<Entry> decode_extended(std::uint64_t raw, std::uint64_t bitmap) {
        const Qcow2EntryDecoder decoder(file_, header_of(3, true));
        std::vector<Entry> entries(32);
        decoder.decode(0, 0, big_endian({raw, bitmap}), entries);
        return entries;
    }
    test::MemoryFile file_{kFileBytes};
};

TEST_F(Qcow2EntryDecoderTest, StandardEntriesHaveTheirMeaning) {
    EXPECT_EQ(decode(0), kUnallocatedEntry);
    EXPECT_EQ(decode(1), kZeroEntry);
    EXPECT_EQ(decode(3 * kCluster), 3 * kCluster);
    EXPECT_EQ(decode(3 * kCluster | kCopied), 3 * kCluster);
    EXPECT_EQ(decode(3 * kCluster | kCopied | 1), kZeroEntry);
}

TEST_F(Qcow2EntryDecoderTest, EntriesThatBreakARuleAreBad) {
    EXPECT_EQ(decode(1, 2), kBadEntry) << "version 2 has no zero flag";
    EXPECT_EQ(decode(3 * kCluster + 512), kBadEntry) << "unaligned";
    EXPECT_EQ(decode(3 * kCluster | 2), kBadEntry) << "a reserved bit";
    EXPECT_EQ(decode(3 * kCluster | (std::uint64_t{1} << 57)), kBadEntry) << "a reserved bit";
    EXPECT_EQ(decode(kCopied), kBadEntry) << "copied, but nowhere";
    EXPECT_EQ(decode(kFileBytes), kBadEntry) << "past the end";
    EXPECT_EQ(decode(kCompressed | kCopied | kCluster), kBadEntry) << "compressed and copied";
    EXPECT_EQ(decode(kCompressed | 100), kBadEntry) << "compressed data in the header";
    EXPECT_EQ(decode(kCompressed | kFileBytes), kBadEntry) << "compressed data past the end";
}

TEST_F(Qcow2EntryDecoderTest, ClusterAfterTheFileHasGrownIsGood) {
    const Qcow2EntryDecoder decoder(file_, header_of(3));
    file_.resize(kFileBytes + kCluster);
    std::array<Entry, 1> entry{};
    decoder.decode(0, 0, big_endian({kFileBytes}), entry);
    EXPECT_EQ(entry[0], kFileBytes);
}

TEST_F(Qcow2EntryDecoderTest, CompressedPlaceCountsFromTheSectorOfItsFirstByte) {
    const Qcow2EntryDecoder decoder(file_, header_of(3));
    // 64 KiB clusters: 54 bits of offset, 8 bits of additional sectors.
    const std::uint64_t raw = kCompressed | (std::uint64_t{2} << 54) | (kCluster + 100);
    const CompressedPlace place = decoder.compressed_place(raw);
    EXPECT_EQ(place.offset, kCluster + 100);
    EXPECT_EQ(place.length, 3 * 512 - 100U);
    EXPECT_EQ(decode(raw), kEncodedEntry);
}

TEST_F(Qcow2EntryDecoderTest, L1EntryNamesAWholeTableInTheFile) {
    const Qcow2EntryDecoder decoder(file_, header_of(3));
    file_.resize(kFileBytes - 1);
    EXPECT_EQ(decoder.decode_l1(0), kUnallocatedEntry);
    EXPECT_EQ(decoder.decode_l1(2 * kCluster | kCopied), 2 * kCluster);
    EXPECT_EQ(decoder.decode_l1(7 * kCluster), kBadEntry) << "reaches past the end";
    EXPECT_EQ(decoder.decode_l1(2 * kCluster + 512), kBadEntry) << "unaligned";
    EXPECT_EQ(decoder.decode_l1(2 * kCluster | 1), kBadEntry) << "a reserved bit";
    EXPECT_EQ(decoder.decode_l1(2 * kCluster | kCompressed), kBadEntry) << "a reserved bit";
}

TEST_F(Qcow2EntryDecoderTest, SubclustersAreEntriesOfTheirOwn) {
    const auto entries = decode_extended(3 * kCluster | kCopied, (std::uint64_t{2} << 32) | 5);
    EXPECT_EQ(entries[0], 3 * kCluster);
    EXPECT_EQ(entries[1], kZeroEntry);
    EXPECT_EQ(entries[2], 3 * kCluster + 2 * 2048);
    for (std::size_t i = 3; i < entries.size(); ++i)
        EXPECT_EQ(entries[i], kUnallocatedEntry) << i;
}

TEST_F(Qcow2EntryDecoderTest, IllegalBitmapMakesTheWholeClusterBad) {
    const std::vector<Entry> bad(32, kBadEntry);
    EXPECT_EQ(decode_extended(3 * kCluster, (std::uint64_t{1} << 32) | 1), bad) << "both";
    EXPECT_EQ(decode_extended(0, 1), bad) << "allocated nowhere";
    EXPECT_EQ(decode_extended(3 * kCluster | 1, 0), bad) << "the zero flag of other images";
    EXPECT_EQ(decode_extended(kCompressed | kCluster, 1), bad) << "compressed with a bitmap";
    EXPECT_EQ(decode_extended(kCompressed | kCluster, 0), std::vector<Entry>(32, kEncodedEntry));
}

}  // namespace
}  // namespace qed
