// SPDX-License-Identifier: Apache-2.0
// Random requests to an image, compared byte by byte with a plain array.
#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/forwarding_file.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

struct Shape {
    std::uint32_t cluster_bytes;
    std::uint32_t table_clusters;
    bool has_backing;
    WriteOrder order;
};

std::string name_of(const testing::TestParamInfo<Shape>& info) {
    const Shape& shape = info.param;
    const char* orders[] = {"automatic", "strict", "ordered", "deferred"};
    return "cluster" + std::to_string(shape.cluster_bytes) + "table" +
           std::to_string(shape.table_clusters) + (shape.has_backing ? "overlay" : "plain") +
           orders[static_cast<int>(shape.order)];
}

class DiskModelTest : public testing::TestWithParam<Shape> {
protected:
    void SetUp() override {
        const Shape& shape = GetParam();
        bytes_ = std::min<std::uint64_t>(
            // A few clusters of the large geometries, many of the small ones.
            std::max<std::uint64_t>(5U << 20, std::uint64_t{4} * shape.cluster_bytes),
            Geometry::make(shape.cluster_bytes, shape.table_clusters)->max_image_bytes());
        bytes_ = bytes_ / 4096 * 4096 - 1536;  // ends within a cluster
        model_.assign(bytes_, std::byte{0});
        CreateOptions create;
        create.image_bytes = bytes_;
        create.cluster_bytes = shape.cluster_bytes;
        create.table_clusters = shape.table_clusters;
        if (shape.has_backing) {
            create.backing_name = "base.raw";
            create.backing_format = BackingFormat::raw;
            std::vector<std::byte> content(bytes_ * 2 / 3 / 512 * 512);  // shorter than the image
            for (auto& byte : content)
                byte = static_cast<std::byte>(random_());
            base_memory_.store(0, content);
            std::copy(content.begin(), content.end(), model_.begin());
        }
        ASSERT_TRUE(sync_wait(Image::format(memory_, create)).has_value());
        open();
    }

    void open() {
        std::shared_ptr<Image> base;
        if (GetParam().has_backing) {
            base = *Image::open_raw(std::make_unique<test::ForwardingFile>(base_memory_));
        }
        OpenOptions options;
        options.writable = true;
        options.order = GetParam().order;
        options.budget = budget_.get();
        auto image = sync_wait(Image::open_file(std::make_unique<test::ForwardingFile>(memory_),
                                                std::move(base), options));
        ASSERT_TRUE(image.has_value()) << image.error().message();
        image_ = std::move(*image);
    }

    void close() {
        const auto closed = image_->close();
        ASSERT_TRUE(closed.has_value()) << closed.error().message();
        image_.reset();
    }

    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }

    void expect_done(const Result<void>& done) {
        ASSERT_TRUE(done.has_value()) << done.error().message();
    }

    void random_request() {
        const std::uint64_t at = below(bytes_);
        const std::uint64_t most = below(8) == 0 ? 1U << 20 : 20000;
        const std::uint64_t length = 1 + below(std::min<std::uint64_t>(most, bytes_ - at));
        const auto place = std::span(model_).subspan(at, length);
        switch (below(10)) {
            case 0:
            case 1:
            case 2:
            case 3: {
                for (auto& byte : place)
                    byte = static_cast<std::byte>(random_());
                expect_done(image_->write_blocking(GuestOffset{at}, place));
                break;
            }
            case 4:
                std::fill(place.begin(), place.end(), std::byte{0});
                expect_done(image_->write_zeroes_blocking(GuestOffset{at}, length));
                break;
            case 5: {
                const std::uint64_t cluster = GetParam().cluster_bytes;
                const std::uint64_t begin = (at + cluster - 1) / cluster * cluster;
                std::uint64_t end = (at + length) / cluster * cluster;
                if (at + length == bytes_) end = bytes_;
                if (begin < end) {
                    std::fill(model_.begin() + static_cast<std::ptrdiff_t>(begin),
                              model_.begin() + static_cast<std::ptrdiff_t>(end), std::byte{0});
                }
                expect_done(image_->discard_blocking(GuestOffset{at}, length));
                break;
            }
            case 6:
                expect_done(image_->flush_blocking());
                break;
            case 7:
                expect_done(image_->quiesce_blocking());
                break;
            default: {
                std::vector<std::byte> read(length);
                expect_done(image_->read_blocking(GuestOffset{at}, read));
                ASSERT_TRUE(std::equal(read.begin(), read.end(), place.begin()))
                    << length << " bytes at " << at;
            }
        }
    }

    void expect_equal() {
        std::vector<std::byte> read(bytes_);
        expect_done(image_->read_blocking(GuestOffset{0}, read));
        const auto [differs, unused] = std::mismatch(read.begin(), read.end(), model_.begin());
        ASSERT_EQ(differs - read.begin(), static_cast<std::ptrdiff_t>(bytes_));
    }

    std::mt19937_64 random_{20240501};
    MemoryFile memory_;
    MemoryFile base_memory_;
    std::shared_ptr<CacheBudget> budget_ = CacheBudget::create(64 * 1024);
    std::uint64_t bytes_ = 0;
    std::vector<std::byte> model_;
    std::unique_ptr<Image> image_;
};

TEST_P(DiskModelTest, ReadsWhatWasWrittenAlsoAfterReopening) {
    for (int round = 0; round < 3; ++round) {
        for (int i = 0; i < 100; ++i) {
            ASSERT_NO_FATAL_FAILURE(random_request()) << "round " << round << " request " << i;
        }
        ASSERT_NO_FATAL_FAILURE(expect_equal());
        ASSERT_NO_FATAL_FAILURE(close());
        ASSERT_NO_FATAL_FAILURE(open());
        ASSERT_NO_FATAL_FAILURE(expect_equal());
    }
    EXPECT_FALSE(image_->header().needs_check());
}

TEST_P(DiskModelTest, ThreadsWriteTheirOwnSectorsOfTheSameClusters) {
    constexpr unsigned kThreads = 4;
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < kThreads; ++t) {
        threads.emplace_back([this, t] {
            std::mt19937_64 random(t);
            std::vector<std::byte> sector(512);
            for (int i = 0; i < 400; ++i) {
                const std::uint64_t group = random() % (bytes_ / (512 * kThreads));
                const std::uint64_t at = (group * kThreads + t) * 512;
                std::fill(sector.begin(), sector.end(), static_cast<std::byte>(random()));
                const auto done = image_->write_blocking(GuestOffset{at}, sector);
                ASSERT_TRUE(done.has_value()) << done.error().message();
                std::copy(sector.begin(), sector.end(),
                          model_.begin() + static_cast<std::ptrdiff_t>(at));
            }
        });
    }
    for (auto& thread : threads)
        thread.join();
    ASSERT_NO_FATAL_FAILURE(expect_equal());
    ASSERT_NO_FATAL_FAILURE(close());
    ASSERT_NO_FATAL_FAILURE(open());
    ASSERT_NO_FATAL_FAILURE(expect_equal());
}

INSTANTIATE_TEST_SUITE_P(
    Geometries, DiskModelTest,
    testing::Values(
        Shape{4096, 1, false, WriteOrder::automatic}, Shape{4096, 1, true, WriteOrder::automatic},
        Shape{4096, 2, false, WriteOrder::strict}, Shape{4096, 16, true, WriteOrder::strict},
        Shape{65536, 4, false, WriteOrder::automatic}, Shape{65536, 4, true, WriteOrder::automatic},
        Shape{65536, 1, false, WriteOrder::strict}, Shape{1U << 20, 2, true, WriteOrder::automatic},
        Shape{4U << 20, 16, false, WriteOrder::ordered},
        Shape{4U << 20, 4, true, WriteOrder::automatic}, Shape{4096, 1, true, WriteOrder::deferred},
        Shape{65536, 4, true, WriteOrder::deferred}, Shape{4096, 2, false, WriteOrder::deferred}),
    name_of);

}  // namespace
}  // namespace qed
