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
constexpr std::uint64_t kClusters = 4000;  // several tables of 512 entries
constexpr unsigned kThreads = 4;
constexpr int kRequests = 1500;

/// The byte value that fills a cluster. Thread t has the clusters whose number modulo kThreads is
/// t.
struct Written {
    std::vector<std::byte> value = std::vector<std::byte>(kClusters);
};

void fail_on(const Result<void>& done) {
    if (!done) ADD_FAILURE() << done.error().message();
}

void write_own_clusters(Image& image, unsigned thread, Written& written) {
    std::minstd_rand random(thread + 1);
    std::vector<std::byte> buffer(kClusterBytes);
    for (int i = 0; i < kRequests; ++i) {
        const std::uint64_t cluster = random() % (kClusters / kThreads) * kThreads + thread;
        const GuestOffset at{cluster * kClusterBytes};
        const auto value = static_cast<std::byte>(random() % 255 + 1);
        switch (random() % 8) {
            case 0:
                fail_on(image.discard_blocking(at, kClusterBytes));
                written.value[cluster] = std::byte{0};
                break;
            case 1:
                fail_on(image.flush_blocking());
                break;
            case 2:
                fail_on(image.read_blocking(at, buffer));
                EXPECT_TRUE(std::ranges::count(buffer, written.value[cluster]) == kClusterBytes);
                break;
            default:
                std::ranges::fill(buffer, value);
                fail_on(image.write_blocking(at, buffer));
                written.value[cluster] = value;
        }
    }
}

/// Runs compact steps until one has moved something; a step may have to wait for requests.
/// \returns how many bytes
std::uint64_t compact(Image& image, const std::atomic<bool>& stop) {
    while (!stop) {
        const Result<CompactStep> done = image.compact_step_blocking(64 * kClusterBytes);
        if (!done) ADD_FAILURE() << done.error().message();
        if (!done || !done->has_more) return 0;
        if (done->moved_bytes != 0) return done->moved_bytes;
        std::this_thread::yield();
    }
    return 0;
}

class ImageStressTest : public ::testing::TestWithParam<WriteOrder> {
protected:
    static void write_during_maintenance(bool compacts);
};

/// Like a server: clients write while the maintenance thread quiesces the image.
void ImageStressTest::write_during_maintenance(bool compacts) {
    const test::TempDir dir;
    const std::string path = dir.file("disk.qed");
    CreateOptions create;
    create.image_bytes = kClusters * kClusterBytes;
    create.cluster_bytes = kClusterBytes;
    create.table_clusters = 1;
    ASSERT_TRUE(Image::create(path, create).has_value());
    OpenOptions options;
    options.writable = true;
    options.order = GetParam();
    auto image = Image::open(path, options);
    ASSERT_TRUE(image.has_value()) << image.error().message();

    Written written;
    std::atomic<bool> stop = false;
    // A reader of the header always gets a consistent one, whatever is being changed.
    std::jthread asker([&] {
        while (!stop) {
            const Header header = (*image)->header();
            EXPECT_EQ(header.image_bytes, create.image_bytes);
            EXPECT_EQ((*image)->backing_name(), "");
        }
    });
    std::uint64_t moved = 0;
    std::jthread settler([&] {
        while (!stop) {
            if (compacts) moved += compact(**image, stop);
            fail_on((*image)->quiesce_blocking());
        }
    });
    {
        std::vector<std::jthread> writers;
        for (unsigned thread = 0; thread < kThreads; ++thread) {
            writers.emplace_back([&, thread] { write_own_clusters(**image, thread, written); });
        }
    }
    stop = true;
    settler.join();
    asker.join();

    std::vector<std::byte> buffer(kClusterBytes);
    for (std::uint64_t cluster = 0; cluster < kClusters; ++cluster) {
        fail_on((*image)->read_blocking({cluster * kClusterBytes}, buffer));
        ASSERT_EQ(std::ranges::count(buffer, written.value[cluster]), kClusterBytes) << cluster;
    }
    ASSERT_TRUE((*image)->close().has_value());
    auto file = open_file(path, {});
    ASSERT_TRUE(file.has_value());
    const auto report = sync_wait(check_file(**file, {}));
    ASSERT_TRUE(report.has_value());
    EXPECT_EQ(report->corruptions, 0U);
    EXPECT_FALSE(report->is_dirty);
    EXPECT_EQ(moved != 0, compacts);
}

TEST_P(ImageStressTest, FirstWritesContinueDuringRepeatedQuiesce) {
    write_during_maintenance(false);
}

TEST_P(ImageStressTest, WritesAndDiscardsContinueWhileClustersAreMoved) {
    write_during_maintenance(true);
}

INSTANTIATE_TEST_SUITE_P(EveryOrder, ImageStressTest,
                         ::testing::Values(WriteOrder::strict, WriteOrder::ordered,
                                           WriteOrder::deferred),
                         [](const auto& order) {
                             switch (order.param) {
                                 case WriteOrder::strict:
                                     return "strict";
                                 case WriteOrder::ordered:
                                     return "ordered";
                                 default:
                                     return "deferred";
                             }
                         });

}  // namespace
}  // namespace qed
