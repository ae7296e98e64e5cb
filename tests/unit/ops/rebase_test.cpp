// SPDX-License-Identifier: Apache-2.0
#include "qed/rebase.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "qed/measure.hpp"
#include "unit/ops/ops_support.hpp"

namespace qed {
namespace {

using test::Bytes;
using test::MemoryFile;

CreateOptions overlay_of(std::uint64_t bytes, std::uint32_t cluster_bytes) {
    CreateOptions create;
    create.image_bytes = bytes;
    create.cluster_bytes = cluster_bytes;
    create.backing_name = "base";
    create.backing_format = BackingFormat::raw;
    create.check_backing = false;
    return create;
}

RC_GTEST_PROP(RebaseTest, KeepsWhatTheGuestSeesOverAnyNewBackingFile, ()) {
    const auto random_bytes = [] { return *rc::gen::inRange<std::uint64_t>(1, 1500) * 512; };
    MemoryFile old_file(random_bytes());
    test::scribble(old_file);
    MemoryFile new_file(old_file);
    if (*rc::gen::arbitrary<bool>()) test::scribble(new_file);
    if (*rc::gen::arbitrary<bool>()) new_file.resize(random_bytes());
    const std::uint64_t bytes = random_bytes();
    const auto cluster = *rc::gen::element(4096U, 65536U, 2097152U);
    MemoryFile file;
    RC_ASSERT(sync_wait(Image::format(file, overlay_of(bytes, cluster))).has_value());
    const std::shared_ptr<Image> before = test::open_raw_disk(old_file);
    const std::shared_ptr<Image> after =
        *rc::gen::arbitrary<bool>() ? nullptr : std::shared_ptr(test::open_raw_disk(new_file));
    auto overlay = test::open_image(file, before, true);
    const auto at = *rc::gen::inRange<std::uint64_t>(0, bytes);
    const Bytes own(std::min<std::uint64_t>(bytes - at, 3000), std::byte{9});
    RC_ASSERT(overlay->write_blocking(GuestOffset{at}, own).has_value());
    const Bytes want = test::content(*overlay);

    RebaseOptions dry;
    dry.dry_run = true;
    const auto need = prepare_rebase(*overlay, after.get(), dry);
    RC_ASSERT(need.has_value());
    const std::uint64_t length_before = file.bytes();
    const auto report = prepare_rebase(*overlay, after.get(), {});
    RC_ASSERT(report.has_value());
    RC_ASSERT(report->written_bytes == need->written_bytes);
    RC_ASSERT(overlay->flush_blocking().has_value());
    RC_ASSERT(test::content(*overlay) == want);
    RC_ASSERT(overlay->close().has_value());
    RC_ASSERT(file.bytes() <= length_before + need->needed_bytes + cluster);

    std::shared_ptr<Image> below = after;
    MemoryFile nothing(512);
    if (!below) below = test::open_raw_disk(nothing);
    RC_ASSERT(test::content(*test::open_image(file, below)) == want);
}

// Without a backing file an unallocated cluster reads as zeroes; with one, it reads from that file.
TEST(RebaseTest, KeepsZeroesOfAnImageThatHadNoBackingFile) {
    MemoryFile file;
    CreateOptions create;
    create.image_bytes = 1U << 20U;
    ASSERT_TRUE(sync_wait(Image::format(file, create)));
    MemoryFile base_file(1U << 20U);
    base_file.fill(100000, 300000, std::byte{1});
    auto image = test::open_image(file, nullptr, true);
    const auto base = test::open_raw_disk(base_file);
    const auto report = prepare_rebase(*image, base.get(), {});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->written_bytes, 0U);
    ASSERT_TRUE(image->flush_blocking());
    ASSERT_TRUE(image->set_backing_name_blocking("base", BackingFormat::raw));
    ASSERT_TRUE(image->close());
    const auto rebased = test::open_image(file, std::shared_ptr(test::open_raw_disk(base_file)));
    EXPECT_EQ(test::content(*rebased), Bytes(1U << 20U));
}

TEST(RebaseTest, WritesNothingWhereBothBackingFilesAreTheSame) {
    MemoryFile one(1U << 20U);
    one.fill(0, 1U << 20U, std::byte{1});
    MemoryFile other(one);
    MemoryFile file;
    ASSERT_TRUE(sync_wait(Image::format(file, overlay_of(1U << 20U, 65536))));
    auto overlay = test::open_image(file, std::shared_ptr(test::open_raw_disk(one)), true);
    const auto same = test::open_raw_disk(other);
    const auto report = prepare_rebase(*overlay, same.get(), {});
    ASSERT_TRUE(report);
    EXPECT_EQ(report->written_bytes + report->zeroed_bytes, 0U);
}

TEST(RebaseTest, CountsEachTableOnceWhicheverThreadComesToIt) {
    constexpr std::uint64_t kBytes = 8U << 20U;  // four tables
    MemoryFile old_file(kBytes);
    old_file.fill(0, kBytes, std::byte{1});
    CreateOptions create = overlay_of(kBytes, 4096);
    create.table_clusters = 1;
    MemoryFile file;
    ASSERT_TRUE(sync_wait(Image::format(file, create)));
    auto overlay = test::open_image(file, std::shared_ptr(test::open_raw_disk(old_file)), true);
    RebaseOptions dry;
    dry.dry_run = true;
    for (int i = 0; i < 20; ++i) {
        const auto report = prepare_rebase(*overlay, nullptr, dry);
        ASSERT_TRUE(report);
        EXPECT_EQ(report->written_bytes, kBytes);
        EXPECT_EQ(report->needed_bytes, kBytes + 4 * 4096U);
    }
}

TEST(RebaseTest, LeavesTheGuestsDataWhenABackingFileCannotBeRead) {
    constexpr std::uint64_t kBytes = 4U << 20U;
    MemoryFile old_file(kBytes);
    old_file.fill(0, kBytes, std::byte{1});
    for (const std::uint64_t at : {std::uint64_t{0}, kBytes / 2, kBytes - 1}) {
        // A new overlay each time: a thread may have copied any cluster before another one fails.
        MemoryFile file;
        ASSERT_TRUE(sync_wait(Image::format(file, overlay_of(kBytes, 65536))));
        auto overlay = test::open_image(file, std::shared_ptr(test::open_raw_disk(old_file)), true);
        MemoryFile new_file(kBytes);
        new_file.fill(0, kBytes, std::byte{2});
        new_file.unreadable = BlockFile::DataRange{at, at + 1};
        const auto after = test::open_raw_disk(new_file);
        const auto report = prepare_rebase(*overlay, after.get(), {});
        ASSERT_FALSE(report);
        EXPECT_EQ(report.error().sys_errno(), EIO);
        EXPECT_EQ(test::content(*overlay), Bytes(kBytes, std::byte{1}));
    }
}

TEST(RebaseTest, StopsWhenItsCallerSaysSo) {
    constexpr std::uint64_t kBytes = 4U << 20U;
    MemoryFile old_file(kBytes);
    old_file.fill(0, kBytes, std::byte{1});
    MemoryFile file;
    ASSERT_TRUE(sync_wait(Image::format(file, overlay_of(kBytes, 65536))));
    auto overlay = test::open_image(file, std::shared_ptr(test::open_raw_disk(old_file)), true);
    RebaseOptions options;
    options.progress.callback = [](void*, std::uint64_t done, std::uint64_t total) {
        return done < total / 2;
    };
    const auto report = prepare_rebase(*overlay, nullptr, options);
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), Errc::cancelled);
    EXPECT_EQ(test::content(*overlay), Bytes(kBytes, std::byte{1}));
}

TEST(MeasureTest, CountsHeaderTablesAndClusters) {
    const Geometry geometry = Geometry::make(65536, 4).value();
    const Measurement empty = measure_qed(std::uint64_t{3} << 30U, geometry);
    EXPECT_EQ(empty.required, 5U * 65536);
    EXPECT_EQ(empty.fully_allocated, 5U * 65536 + 2 * 4 * 65536 + (std::uint64_t{3} << 30U));

    MemoryFile raw(std::uint64_t{3} << 30U);
    raw.fill(65536 - 4096, 8192, std::byte{1});                // two clusters
    raw.fill((std::uint64_t{2} << 30U) + 5, 1, std::byte{1});  // one, in the second table
    const auto disk = test::open_raw_disk(raw);
    EXPECT_EQ(measure_qed(*disk, geometry)->required, 5U * 65536 + 2 * 4 * 65536 + 3 * 65536);
}

}  // namespace
}  // namespace qed
