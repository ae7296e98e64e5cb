// SPDX-License-Identifier: Apache-2.0
// Image::compact_step(): docs/adr/0027-shrinking-in-service.md.
#include <algorithm>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/check.hpp"
#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 4096;
constexpr std::uint64_t kTableSpan = 512 * kCluster;
constexpr std::uint64_t kAll = std::uint64_t{1} << 30;

class CompactStepTest : public ::testing::TestWithParam<WriteOrder> {
protected:
    void open(std::uint32_t table_clusters = 1) {
        auto made = std::make_unique<test::MemoryFile>();
        CreateOptions create;
        create.image_bytes = 16 * kTableSpan;
        create.cluster_bytes = kCluster;
        create.table_clusters = table_clusters;
        ASSERT_TRUE(sync_wait(Image::format(*made, create)).has_value());
        reopen(std::move(made));
    }
    void reopen(std::unique_ptr<test::MemoryFile> from) {
        image.reset();
        file = from.get();
        OpenOptions options;
        options.writable = true;
        options.order = GetParam();
        auto opened = sync_wait(Image::open_file(std::move(from), nullptr, options));
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        image = std::move(*opened);
    }
    static std::vector<std::byte> content(std::uint64_t cluster, std::uint64_t count = 1) {
        std::vector<std::byte> bytes(count * kCluster);
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[i] = static_cast<std::byte>(1 + (cluster * 31 + i * 7) % 251);
        return bytes;
    }
    void write(std::uint64_t cluster, std::uint64_t count = 1) {
        for (std::uint64_t i = cluster; i < cluster + count; ++i)
            ASSERT_TRUE(image->write_blocking({i * kCluster}, content(i)).has_value());
    }
    void discard(std::uint64_t cluster, std::uint64_t count) {
        ASSERT_TRUE(image->discard_blocking({cluster * kCluster}, count * kCluster).has_value());
    }
    void expect_content(std::uint64_t cluster, std::uint64_t count = 1) {
        std::vector<std::byte> found(kCluster);
        for (std::uint64_t i = cluster; i < cluster + count; ++i) {
            ASSERT_TRUE(image->read_blocking({i * kCluster}, found).has_value());
            ASSERT_EQ(found, content(i)) << "cluster " << i;
        }
    }
    /// Returns the number of moved bytes.
    std::uint64_t shrink(std::uint64_t bytes_of_a_step = kAll) {
        std::uint64_t moved = 0;
        for (int steps = 0; steps < 10'000; ++steps) {
            const auto done = image->compact_step_blocking(bytes_of_a_step);
            if (!done) {
                ADD_FAILURE() << done.error().message();
                return moved;
            }
            moved += done->moved_bytes;
            if (!done->has_more) return moved;
        }
        ADD_FAILURE() << "compact steps go on for ever";
        return moved;
    }
    void quiesce() { ASSERT_TRUE(image->quiesce_blocking().has_value()); }
    CheckReport check() {
        test::MemoryFile copy(*file);
        auto report = sync_wait(check_file(copy, {}));
        EXPECT_TRUE(report.has_value());
        return std::move(*report);
    }
    void expect_packed(std::uint64_t clusters) {
        EXPECT_EQ(file->bytes(), clusters * kCluster);
        const CheckReport report = check();
        EXPECT_EQ(report.corruptions, 0U);
        EXPECT_EQ(report.leaks, 0U);
    }

    std::unique_ptr<Image> image;
    test::MemoryFile* file = nullptr;
};

TEST_P(CompactStepTest, AFileWithoutFreeSpaceStaysAsItIs) {
    open();
    write(0, 20);
    quiesce();
    const std::uint64_t bytes = file->bytes();
    EXPECT_EQ(shrink(), 0U);
    quiesce();
    EXPECT_EQ(file->bytes(), bytes);
}

TEST_P(CompactStepTest, DataFromTheEndFillsFreeSpaceAndTheFileIsCut) {
    open();
    write(0, 100);
    discard(10, 60);
    quiesce();
    EXPECT_EQ(shrink(), 30 * kCluster);
    quiesce();
    expect_packed(3 + 40);  // header, L1 table, one L2 table
    expect_content(0, 10);
    expect_content(70, 30);
}

TEST_P(CompactStepTest, NeighboursOnTheDiskStayNeighboursInTheFile) {
    open();
    write(0, 100);
    discard(10, 60);
    quiesce();
    shrink();
    const auto found = image->extent_at_blocking({70 * kCluster}, 30 * kCluster);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->length, 30 * kCluster);
}

TEST_P(CompactStepTest, AStepMovesAboutAsMuchAsItWasAskedTo) {
    open();
    write(0, 100);
    discard(10, 60);
    quiesce();
    std::uint64_t moved = 0;
    for (bool has_more = true; has_more;) {
        const auto done = image->compact_step_blocking(4 * kCluster);
        ASSERT_TRUE(done.has_value());
        EXPECT_LE(done->moved_bytes, 4 * kCluster);
        moved += done->moved_bytes;
        has_more = done->has_more;
    }
    EXPECT_EQ(moved, 30 * kCluster);
}

TEST_P(CompactStepTest, TablesAtTheEndMoveToo) {
    for (const std::uint32_t table_clusters : {1U, 4U}) {
        open(table_clusters);
        const std::uint64_t entries = 512 * table_clusters;
        for (std::uint64_t table = 0; table < 4; ++table)
            write(table * entries, 10);
        discard(0, 10);
        discard(entries + 1, 8);
        discard(2 * entries, 3);
        quiesce();
        shrink();
        quiesce();
        expect_packed(1 + table_clusters + 4 * table_clusters + 2 + 7 + 10);
        expect_content(entries);
        expect_content(entries + 9);
        expect_content(2 * entries + 3, 7);
        expect_content(3 * entries, 10);
    }
}

TEST_P(CompactStepTest, AFreeRunThatIsTooShortForATableIsMadeLonger) {
    open(4);
    for (std::uint64_t table = 0; table < 3; ++table)
        write(table * 2048);
    discard(0, 1);
    discard(2048, 1);
    discard(2 * 2048, 1);
    quiesce();
    shrink();
    quiesce();
    expect_packed(1 + 4 + 3 * 4);
    write(2 * 2048 + 7);
    expect_content(2 * 2048 + 7);
}

TEST_P(CompactStepTest, TheMovedStateSurvivesAReopen) {
    open();
    write(0, 100);
    write(600, 10);
    discard(10, 60);
    shrink();
    quiesce();
    auto kept = std::make_unique<test::MemoryFile>(*file);
    reopen(std::move(kept));
    expect_content(0, 10);
    expect_content(70, 30);
    expect_content(600, 10);
}

TEST_P(CompactStepTest, NothingIsLostWhenTheProcessDiesInTheMiddle) {
    open();
    write(0, 100);
    write(600, 10);
    discard(10, 60);
    quiesce();
    for (int steps = 0; steps < 200; ++steps) {
        const auto done = image->compact_step_blocking(kCluster);
        ASSERT_TRUE(done.has_value());
        auto kept = std::make_unique<test::MemoryFile>(*file);
        reopen(std::move(kept));  // the old image is dropped without close()
        EXPECT_EQ(check().corruptions, 0U);
        expect_content(0, 10);
        expect_content(70, 30);
        expect_content(600, 10);
    }
}

TEST_P(CompactStepTest, WritesBetweenStepsAreKept) {
    open();
    write(0, 200);
    discard(10, 100);
    quiesce();
    for (std::uint64_t step = 0; step < 40; ++step) {
        ASSERT_TRUE(image->compact_step_blocking(3 * kCluster).has_value());
        discard(199 - step, 1);
        write(10 + step);
    }
    shrink();
    quiesce();
    expect_content(0, 50);
    expect_content(110, 50);
    expect_packed(3 + 100);
}

TEST_P(CompactStepTest, AFailedReadOrWriteLosesNothing) {
    for (const IoKind kind : {IoKind::read, IoKind::write}) {
        for (std::uint64_t nth = 1; nth < 12; ++nth) {
            open();
            write(0, 60);
            write(600, 2);
            discard(10, 30);
            quiesce();
            file->requests = 0;
            file->fault = {.nth = nth, .only = kind};
            for (int steps = 0; steps < 100; ++steps) {
                const auto done = image->compact_step_blocking(4 * kCluster);
                if (done && !done->has_more) break;
            }
            file->fault.reset();
            expect_content(0, 10);
            expect_content(40, 20);
            expect_content(600, 2);
            quiesce();
            auto kept = std::make_unique<test::MemoryFile>(*file);
            reopen(std::move(kept));
            expect_content(0, 10);
            expect_content(40, 20);
            expect_content(600, 2);
            EXPECT_EQ(check().corruptions, 0U);
        }
    }
}

TEST_P(CompactStepTest, AFailedFlushStopsStepsLikeWrites) {
    open();
    write(0, 60);
    discard(10, 30);
    quiesce();
    file->requests = 0;
    file->fault = {.nth = 1, .only = IoKind::flush};
    EXPECT_FALSE(image->compact_step_blocking(kAll).has_value());
    const auto again = image->compact_step_blocking(kAll);
    ASSERT_FALSE(again.has_value());
    EXPECT_EQ(again.error().code(), Errc::write_stopped);
    expect_content(0, 10);
}

TEST_P(CompactStepTest, AReadOnlyImageRefuses) {
    open();
    auto kept = std::make_unique<test::MemoryFile>(*file);
    auto opened = sync_wait(Image::open_file(std::move(kept), nullptr, {}));
    ASSERT_TRUE(opened.has_value());
    const auto done = (*opened)->compact_step_blocking(kAll);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code(), Errc::read_only);
}

class SortStepTest : public CompactStepTest {
protected:
    void sort(std::uint64_t window_clusters) {
        std::uint64_t before = 0;
        for (int steps = 0; steps < 10'000; ++steps) {
            const auto done = image->sort_step_blocking(window_clusters * kCluster);
            ASSERT_TRUE(done.has_value()) << done.error().message();
            EXPECT_GE(done->done_bytes, before);
            before = done->done_bytes;
            EXPECT_EQ(check().corruptions, 0U);
            if (!done->has_more) return;
        }
        FAIL() << "sort steps go on for ever";
    }
    /// Data extents in the file, in the order of the disk; adjacent ones count as one.
    std::uint64_t extents() {
        std::uint64_t count = 0;
        std::uint64_t end = 0;
        for (std::uint64_t at = 0; at < image->size();) {
            const auto found = image->extent_at_blocking({at}, image->size() - at);
            EXPECT_TRUE(found.has_value());
            if (found->kind == Mapping::Kind::data) {
                if (found->offset.value != end) ++count;
                end = found->offset.value + found->length;
            }
            at += found->length;
        }
        return count;
    }
};

TEST_P(SortStepTest, DataIsInTheOrderOfTheDiskAfterwards) {
    for (const std::uint64_t window : {1U, 7U, 64U, 1000U}) {
        open();
        for (std::uint64_t i = 0; i < 300; ++i)
            write(i * 77 % 300 * 3);  // two tables
        discard(30, 60);
        sort(window);
        EXPECT_LE(extents(), 4U) << "one run, and the tables between";
        shrink();
        quiesce();
        expect_packed(4 + 280);
        for (std::uint64_t i = 0; i < 300; ++i) {
            if (i < 10 || i >= 30) expect_content(i * 3);
        }
    }
}

TEST_P(SortStepTest, SortedDataIsNotMoved) {
    open();
    write(0, 100);
    quiesce();
    const auto done = image->sort_step_blocking(kAll);
    ASSERT_TRUE(done.has_value());
    EXPECT_EQ(done->moved_bytes, 0U);
}

TEST_P(SortStepTest, NothingIsLostWhenTheProcessDiesInTheMiddle) {
    open();
    for (std::uint64_t i = 0; i < 100; ++i)
        write(i * 77 % 100);
    quiesce();
    for (int steps = 0; steps < 30; ++steps) {
        ASSERT_TRUE(image->sort_step_blocking(9 * kCluster).has_value());
        auto kept = std::make_unique<test::MemoryFile>(*file);
        reopen(std::move(kept));
        EXPECT_EQ(check().corruptions, 0U);
        expect_content(0, 100);
    }
}

TEST(CompactStepCostTest, AStepWritesEachByteOnceAndFlushesAFewTimes) {
    auto made = std::make_unique<test::MemoryFile>();
    CreateOptions create;
    create.image_bytes = kTableSpan;
    create.cluster_bytes = kCluster;
    create.table_clusters = 1;
    ASSERT_TRUE(sync_wait(Image::format(*made, create)).has_value());
    test::MemoryFile* file = made.get();
    OpenOptions options;
    options.writable = true;
    options.order = WriteOrder::strict;
    const auto image = sync_wait(Image::open_file(std::move(made), nullptr, options));
    ASSERT_TRUE(image.has_value());
    const std::vector<std::byte> data(300 * kCluster, std::byte{1});
    ASSERT_TRUE((*image)->write_blocking({0}, data).has_value());
    ASSERT_TRUE((*image)->discard_blocking({0}, 128 * kCluster).has_value());
    ASSERT_TRUE((*image)->quiesce_blocking().has_value());

    std::vector<test::FileChange> changes;
    file->history = &changes;
    const auto done = (*image)->compact_step_blocking(64 * kCluster);
    ASSERT_TRUE(done.has_value());
    file->history = nullptr;

    EXPECT_EQ(done->moved_bytes, 64 * kCluster - 4096);  // the table was read, too
    std::uint64_t written = 0;
    std::uint64_t flushes = 0;
    for (const test::FileChange& change : changes) {
        if (change.kind == IoKind::write) written += change.length;
        if (change.kind == IoKind::flush) ++flushes;
    }
    EXPECT_LE(written, done->moved_bytes + 4096);  // and some sectors of tables
    EXPECT_LE(flushes, 3U);
}

const auto name_of_order = [](const auto& order) {
    switch (order.param) {
        case WriteOrder::strict:
            return "strict";
        case WriteOrder::ordered:
            return "ordered";
        default:
            return "deferred";
    }
};

INSTANTIATE_TEST_SUITE_P(EveryOrder, SortStepTest,
                         ::testing::Values(WriteOrder::strict, WriteOrder::ordered,
                                           WriteOrder::deferred),
                         name_of_order);
INSTANTIATE_TEST_SUITE_P(EveryOrder, CompactStepTest,
                         ::testing::Values(WriteOrder::strict, WriteOrder::ordered,
                                           WriteOrder::deferred),
                         name_of_order);

}  // namespace
}  // namespace qed
