// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "qed/check.hpp"
#include "qed/image.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kClusterBytes = 4096;
constexpr std::uint64_t kKeptBytes = 500 * kClusterBytes + 1024;  // the disk is never smaller
constexpr std::uint64_t kMaxBytes = 2 * kKeptBytes;
constexpr std::uint64_t kSectors = kKeptBytes / kSectorBytes;
constexpr unsigned kThreads = 3;
constexpr int kRequests = 400;
constexpr int kResizes = 25;

void fail_on(const Result<void>& done) {
    if (!done) ADD_FAILURE() << done.error().message();
}

/// Threads share clusters, but not sectors: thread t fills the sectors whose number modulo the
/// number of threads is t.
void change_own_sectors(Image& image, unsigned thread, std::vector<std::byte>& value) {
    std::minstd_rand random(thread + 1);
    std::vector<std::byte> buffer(kSectorBytes);
    for (int i = 0; i < kRequests; ++i) {
        const std::uint64_t sector = random() % (kSectors / kThreads) * kThreads + thread;
        const GuestOffset at{sector * kSectorBytes};
        switch (random() % 8) {
            case 0:
                fail_on(image.write_zeroes_blocking(at, kSectorBytes));
                value[sector] = std::byte{0};
                break;
            case 1:
                fail_on(image.flush_blocking());
                break;
            case 2:
                fail_on(image.read_blocking(at, buffer));
                EXPECT_EQ(std::ranges::count(buffer, value[sector]), kSectorBytes);
                break;
            default:
                value[sector] = static_cast<std::byte>(random() % 255 + 1);
                std::ranges::fill(buffer, value[sector]);
                fail_on(image.write_blocking(at, buffer));
        }
    }
}

/// Zeroes everything after the kept part while the end of the disk moves. A request past the end is
/// no failure.
void zero_the_rest(Image& image, const std::atomic<bool>& stop) {
    for (bool discards = false; !stop; discards = !discards) {
        const std::uint64_t bytes = image.size() - kKeptBytes;
        const GuestOffset at{kKeptBytes};
        const auto done = discards ? image.discard_blocking(at, bytes)
                                   : image.write_zeroes_blocking(at, bytes, WriteFlags::may_unmap);
        if (!done && done.error().code() != Errc::out_of_range) fail_on(done);
    }
}

void resize_again_and_again(Image& image) {
    std::minstd_rand random(77);
    std::uint64_t size = kKeptBytes;
    for (int i = 0; i < kResizes; ++i) {
        const std::vector<std::byte> junk(size - kKeptBytes, std::byte{0xbb});
        fail_on(image.write_blocking({kKeptBytes}, junk));
        const std::uint64_t less = kKeptBytes + random() % (size - kKeptBytes + kSectorBytes) /
                                                    kSectorBytes * kSectorBytes;
        fail_on(image.resize_blocking(less, true));
        size = less + (1 + random() % ((kMaxBytes - less) / kSectorBytes)) * kSectorBytes;
        fail_on(image.resize_blocking(size));
        std::vector<std::byte> fresh(size - less);
        fail_on(image.read_blocking({less}, fresh));
        ASSERT_EQ(std::ranges::count(fresh, std::byte{0}),
                  static_cast<std::ptrdiff_t>(size - less));
    }
}

class ResizeStressTest : public ::testing::TestWithParam<WriteOrder> {
protected:
    /// A raw base of ones that is longer than the disk at first.
    void make_overlay() {
        FileOptions options;
        options.writable = true;
        options.create = true;
        auto base = open_file(dir_.file("base.raw"), options);
        ASSERT_TRUE(base.has_value());
        const std::vector<std::byte> ones(2 * kKeptBytes, std::byte{1});
        ASSERT_TRUE((*base)->write({0}, ones).run_blocking().has_value());
        CreateOptions create;
        create.image_bytes = kKeptBytes;
        create.cluster_bytes = kClusterBytes;
        create.table_clusters = 1;
        create.backing_name = "base.raw";
        create.backing_format = BackingFormat::raw;
        ASSERT_TRUE(Image::create(path_, create).has_value());
    }

    const test::TempDir dir_;
    const std::string path_ = dir_.file("disk.qed");
};

TEST_P(ResizeStressTest, ADiskIsWrittenAndZeroedWhileItsEndMoves) {
    make_overlay();
    OpenOptions options;
    options.writable = true;
    options.order = GetParam();
    options.ignore_flush = true;  // no power is cut here
    auto image = Image::open(path_, options);
    ASSERT_TRUE(image.has_value()) << image.error().message();
    std::vector<std::byte> value(kSectors, std::byte{1});
    {
        std::atomic<bool> stop = false;
        std::jthread zeroer([&] { zero_the_rest(**image, stop); });
        std::vector<std::jthread> writers;
        for (unsigned thread = 0; thread < kThreads; ++thread) {
            writers.emplace_back([&, thread] { change_own_sectors(**image, thread, value); });
        }
        resize_again_and_again(**image);
        writers.clear();
        stop = true;
    }
    ASSERT_TRUE((*image)->close().has_value());
    image->reset();
    image = Image::open(path_, {});
    ASSERT_TRUE(image.has_value()) << image.error().message();
    std::vector<std::byte> content(kKeptBytes);
    fail_on((*image)->read_blocking({0}, content));
    for (std::uint64_t sector = 0; sector < kSectors; ++sector) {
        const auto bytes = std::span(content).subspan(sector * kSectorBytes, kSectorBytes);
        ASSERT_EQ(std::ranges::count(bytes, value[sector]), kSectorBytes) << sector;
    }
    const auto report = sync_wait(check_file((*image)->file(), {}));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->corruptions, 0U);
}

INSTANTIATE_TEST_SUITE_P(EveryOrder, ResizeStressTest,
                         ::testing::Values(WriteOrder::strict, WriteOrder::deferred));

}  // namespace
}  // namespace qed
