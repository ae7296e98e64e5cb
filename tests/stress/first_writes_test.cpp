// SPDX-License-Identifier: Apache-2.0
// 64 concurrent first writes into a fresh image, repeatedly; scripts/first-writes.sh does it 10,000
// times.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <latch>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "coro/when_all.hpp"
#include "qed/check.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"
#include "support/io_ways.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

constexpr std::size_t kWrites = 64;
constexpr std::uint64_t kBlock = 4096;
constexpr std::uint64_t kImageBytes = 64U << 20;
constexpr std::byte kBaseByte{0xBA};

unsigned runs() {
    const char* text = std::getenv("QED_FIRST_WRITE_RUNS");
    return text != nullptr ? static_cast<unsigned>(std::atoi(text)) : 48;
}

/// The parameters of one run; all combinations are used.
struct Plan {
    explicit Plan(unsigned run)
        : order(std::array{WriteOrder::ordered, WriteOrder::strict, WriteOrder::deferred}[run % 3]),
          has_base(run / 3 % 2 == 1),
          uses_threads(run / 6 % 2 == 1),
          cluster_bytes(run / 12 % 2 == 0 ? 65536 : 4096) {
        // Blocks in the same cluster, in the same table, and far apart.
        std::minstd_rand random(run + 1);
        const std::uint64_t blocks = run / 24 % 2 == 0 ? kImageBytes / kBlock : 4 * kWrites;
        while (offsets.size() < kWrites) {
            const std::uint64_t at = random() % blocks * kBlock;
            if (std::ranges::find(offsets, at) == offsets.end()) offsets.push_back(at);
        }
    }

    WriteOrder order;
    bool has_base;
    bool uses_threads;
    std::uint32_t cluster_bytes;
    std::vector<std::uint64_t> offsets;
};

std::vector<std::byte> block_of(std::size_t number) {
    return std::vector<std::byte>(kBlock, static_cast<std::byte>(number + 1));
}

Task<Result<void>> write_block(Image& image, std::uint64_t at, std::size_t number) {
    const std::vector<std::byte> data = block_of(number);
    Result<void> done = co_await image.write(GuestOffset{at}, data);
    co_return done;
}

Task<Result<void>> write_all(Image& image, const Plan& plan) {
    std::size_t taken = 0;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (taken == plan.offsets.size()) return std::nullopt;
        const std::size_t number = taken++;
        return write_block(image, plan.offsets[number], number);
    };
    Result<void> done = co_await when_all(kWrites, next);
    co_return done;
}

void write_from_threads(Image& image, const Plan& plan) {
    std::latch start(kWrites);
    std::vector<std::jthread> threads;
    for (std::size_t number = 0; number < kWrites; ++number) {
        threads.emplace_back([&, number] {
            const std::vector<std::byte> data = block_of(number);
            start.arrive_and_wait();
            const auto done = image.write_blocking(GuestOffset{plan.offsets[number]}, data);
            EXPECT_TRUE(done.has_value()) << done.error().message();
        });
    }
}

std::unique_ptr<Image> open_image(const std::string& path, WriteOrder order) {
    OpenOptions options;
    options.writable = true;
    options.order = order;
    auto image = Image::open(path, options);
    EXPECT_TRUE(image.has_value()) << image.error().message();
    return image ? std::move(*image) : nullptr;
}

/// Each written block holds its data; all others hold their earlier content.
void expect_content(Image& image, const Plan& plan) {
    std::map<std::uint64_t, std::byte> written;
    for (std::size_t number = 0; number < kWrites; ++number)
        written[plan.offsets[number]] = block_of(number).front();
    const std::byte before = plan.has_base ? kBaseByte : std::byte{0};
    std::vector<std::byte> cluster(65536);
    for (const auto& [offset, unused] : written) {
        const std::uint64_t begin = offset / cluster.size() * cluster.size();
        ASSERT_TRUE(image.read_blocking(GuestOffset{begin}, cluster).has_value());
        for (std::uint64_t at = 0; at < cluster.size(); at += kBlock) {
            const auto found = written.find(begin + at);
            const std::byte expected = found != written.end() ? found->second : before;
            const auto block = std::span(cluster).subspan(at, kBlock);
            ASSERT_EQ(std::ranges::count(block, expected), kBlock) << "at " << begin + at;
        }
    }
}

void expect_sound(const std::string& path) {
    auto file = open_file(path, {});
    ASSERT_TRUE(file.has_value()) << file.error().message();
    const auto report = sync_wait(check_file(**file, {}));
    ASSERT_TRUE(report.has_value()) << report.error().message();
    EXPECT_EQ(report->corruptions, 0U);
    EXPECT_EQ(report->leaks, 0U);
    EXPECT_FALSE(report->is_dirty);
}

class FirstWritesTest : public testing::Test {
protected:
    void SetUp() override {
        auto base = test::open_or_throw(dir_.file("base.raw"), {.writable = true, .create = true});
        const std::vector<std::byte> bytes(kImageBytes, kBaseByte);
        ASSERT_TRUE(sync_wait(test::await_op(base->write(FileOffset{0}, bytes))).has_value());
    }

    void run(unsigned number) {
        const Plan plan(number);
        const std::string path = dir_.file("disk.qed");
        CreateOptions create;
        create.image_bytes = kImageBytes;
        create.cluster_bytes = plan.cluster_bytes;
        create.backing_name = plan.has_base ? "base.raw" : nullptr;
        create.backing_format = plan.has_base ? BackingFormat::raw : BackingFormat::unstated;
        const auto made = Image::create(path, create);
        ASSERT_TRUE(made.has_value()) << made.error().message();
        auto image = open_image(path, plan.order);
        ASSERT_NE(image, nullptr);
        if (plan.uses_threads) {
            write_from_threads(*image, plan);
        } else {
            const auto done = loop_->run(write_all(*image, plan));
            ASSERT_TRUE(done.has_value()) << done.error().message();
        }
        ASSERT_NO_FATAL_FAILURE(expect_content(*image, plan));
        ASSERT_TRUE(image->close().has_value());
        image.reset();
        ASSERT_NO_FATAL_FAILURE(expect_sound(path));
        image = open_image(path, plan.order);
        ASSERT_NE(image, nullptr);
        ASSERT_NO_FATAL_FAILURE(expect_content(*image, plan));
        ASSERT_TRUE(image->close().has_value());
    }

    const test::TempDir dir_;
    std::unique_ptr<UringLoop> loop_ = test::make_loop();
};

TEST_F(FirstWritesTest, SixtyFourAtOnceIntoAFreshImageAreAllThereAndTheImageIsSound) {
    const unsigned count = runs();
    for (unsigned number = 0; number < count; ++number) {
        ASSERT_NO_FATAL_FAILURE(run(number)) << "run " << number;
        if (HasFailure()) FAIL() << "run " << number;
    }
    std::printf("%u runs of %zu first writes at once, all sound\n", count, kWrites);
}

}  // namespace
}  // namespace qed
