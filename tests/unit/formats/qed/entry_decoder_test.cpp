// SPDX-License-Identifier: Apache-2.0
#include "formats/qed/entry_decoder.hpp"

#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "base/endian.hpp"
#include "formats/qed/header_info.hpp"
#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 65536;

/// The decoder of an image whose file has 20 clusters: the header, 4 of the L1 table, and 15.
class EntryDecoderTest : public testing::Test {
protected:
    EntryDecoderTest() {
        CreateOptions create;
        create.image_bytes = 1U << 30;
        EXPECT_TRUE(sync_wait(Image::format(file_, create)));
        file_.resize(20 * kCluster);
        info_ = *sync_wait(read_header(file_));
        decoder_ = std::make_unique<QedEntryDecoder>(file_, info_->header, info_->geometry);
        decoder_->know_bytes(info_->file_bytes);
    }
    std::vector<Entry> decode(const std::vector<std::uint64_t>& raw) const {
        std::vector<std::byte> bytes(raw.size() * 8);
        store_le64(bytes, 0, raw);
        std::vector<Entry> entries(raw.size());
        decoder_->decode(10 * kCluster, 0, bytes, entries);
        return entries;
    }

    test::MemoryFile file_;
    std::optional<HeaderInfo> info_;
    std::unique_ptr<QedEntryDecoder> decoder_;
};

TEST_F(EntryDecoderTest, MarkersAndClustersInsideTheFileAreKept) {
    const std::vector<std::uint64_t> good{0, 1, 5 * kCluster, 19 * kCluster};
    EXPECT_EQ(decode(good), good);
}

TEST_F(EntryDecoderTest, AnUnalignedEntryIsBad) {
    EXPECT_EQ(decode({5 * kCluster + 512, 2, 0}), (std::vector<Entry>{kBadEntry, kBadEntry, 0}));
}

TEST_F(EntryDecoderTest, AnEntryInTheL1TableIsBad) {
    const std::uint64_t l1 = info_->header.l1_table_offset.value;
    EXPECT_EQ(decode({l1, l1 + 3 * kCluster}), (std::vector<Entry>{kBadEntry, kBadEntry}));
}

TEST_F(EntryDecoderTest, AnEntryPastTheEndOfTheFileIsBad) {
    EXPECT_EQ(decode({20 * kCluster, 5 * kCluster}), (std::vector<Entry>{kBadEntry, 5 * kCluster}));
}

TEST_F(EntryDecoderTest, ABadEntryDoesNotSpoilItsNeighbours) {
    EXPECT_EQ(decode({6 * kCluster, 99, 7 * kCluster}),
              (std::vector<Entry>{6 * kCluster, kBadEntry, 7 * kCluster}));
}

TEST_F(EntryDecoderTest, AnEntryIsGoodOnceAnotherProcessHasMadeTheFileLonger) {
    file_.resize(30 * kCluster);
    EXPECT_EQ(decode({25 * kCluster}), std::vector<Entry>{25 * kCluster});
}

TEST_F(EntryDecoderTest, AClusterThatTheFileEndsInIsBad) {
    file_.resize(25 * kCluster + 512);
    EXPECT_EQ(decode({25 * kCluster}), std::vector<Entry>{kBadEntry});
}

TEST_F(EntryDecoderTest, TheKnownLengthOnlyGrows) {
    decoder_->know_bytes(30 * kCluster);
    decoder_->know_bytes(20 * kCluster);
    EXPECT_EQ(decode({25 * kCluster}), std::vector<Entry>{25 * kCluster});
}

}  // namespace
}  // namespace qed
