// SPDX-License-Identifier: Apache-2.0
// Chains of overlays: the layer that supplies each byte.
#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "qed/map.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::make_layer;
using test::MemoryFile;
using test::open_layer;

constexpr std::uint64_t kDiskBytes = 8U << 20;

/// Layers over a zero disk; each gets `writes` writes before the next layer is added.
class ChainTest : public testing::Test {
protected:
    void add_layer(std::uint64_t bytes, int writes) {
        auto file = make_layer(bytes, top_ != nullptr);
        std::unique_ptr<MemoryFile> copy;
        bytes_ = bytes;
        model_.resize(bytes);
        {
            auto image = open_layer(std::move(file), top_, true);
            for (int i = 0; i < writes; ++i)
                write_somewhere(*image);
            ASSERT_TRUE(image->close().has_value());
            auto* memory = dynamic_cast<MemoryFile*>(&image->file());
            copy = std::make_unique<MemoryFile>(*memory);
        }
        top_ = open_layer(std::move(copy), top_, false);
    }

    void write_somewhere(Image& image) {
        std::vector<std::byte> data(1 + random_() % 9000);
        const std::uint64_t at =
            least_write_at_ + random_() % (bytes_ - least_write_at_ - data.size());
        for (auto& byte : data)
            byte = static_cast<std::byte>(random_());
        std::copy(data.begin(), data.end(), model_.begin() + static_cast<std::ptrdiff_t>(at));
        const auto done = image.write_blocking(GuestOffset{at}, data);
        ASSERT_TRUE(done.has_value()) << done.error().message();
    }

    void expect_equal() {
        std::vector<std::byte> read(bytes_);
        ASSERT_TRUE(top_->read_blocking(GuestOffset{0}, read).has_value());
        EXPECT_TRUE(read == model_);
        for (int i = 0; i < 300; ++i) {  // small reads in random order, with and without the index
            const std::uint64_t at = random_() % (bytes_ - 700);
            std::vector<std::byte> part(1 + random_() % 700);
            ASSERT_TRUE(top_->read_blocking(GuestOffset{at}, part).has_value());
            ASSERT_TRUE(std::equal(part.begin(), part.end(),
                                   model_.begin() + static_cast<std::ptrdiff_t>(at)))
                << part.size() << " bytes at " << at;
        }
    }

    /// Lists of at most `room` extents, over the whole disk.
    void expect_lists_of_extents(std::size_t room) {
        std::vector<MappedExtent> extents(room);
        std::uint64_t at = 700;  // inside a cluster
        while (at < bytes_) {
            const auto found = map_extents(*top_, GuestOffset{at}, bytes_ - at, extents);
            ASSERT_TRUE(found.has_value()) << found.error().message();
            ASSERT_GT(*found, 0U);
            for (const MappedExtent& extent : std::span(extents).first(*found)) {
                const auto one = top_->map_blocking(GuestOffset{at}, bytes_ - at);
                ASSERT_TRUE(one.has_value()) << one.error().message();
                EXPECT_EQ(extent.start, at);
                EXPECT_EQ(extent.length, one->length);
                EXPECT_EQ(extent.depth, one->depth);
                EXPECT_EQ(extent.data, one->data);
                EXPECT_EQ(extent.zero, one->zero);
                EXPECT_EQ(extent.present, one->present);
                EXPECT_EQ(extent.file_offset.value, one->file_offset.value);
                EXPECT_EQ(extent.file_name, one->file_name);
                at += extent.length;
            }
            EXPECT_TRUE(*found == room || at == bytes_) << *found << " extents, more follow";
        }
        EXPECT_EQ(at, bytes_);
    }

    std::mt19937_64 random_{7};
    std::uint64_t bytes_ = 0;
    std::uint64_t least_write_at_ = 0;
    std::vector<std::byte> model_;
    std::shared_ptr<Image> top_;
};

TEST_F(ChainTest, EachByteComesFromTheUppermostLayerThatHasIt) {
    for (int layer = 0; layer < 8; ++layer) {
        ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 12));
        ASSERT_NO_FATAL_FAILURE(expect_equal());
    }
}

TEST_F(ChainTest, EmptyLayersLetTheBaseShowThrough) {
    ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 60));
    for (int layer = 0; layer < 16; ++layer) {
        ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 0));
    }
    ASSERT_NO_FATAL_FAILURE(expect_equal());
    const auto extent = top_->map_blocking(GuestOffset{0}, kDiskBytes);
    ASSERT_TRUE(extent.has_value());
    EXPECT_TRUE(extent->depth == 16 || !extent->present);
}

TEST_F(ChainTest, ShorterLayerHidesTheLayersBelow) {
    ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 40));
    std::fill(model_.begin() + (3U << 20), model_.end(), std::byte{0});
    ASSERT_NO_FATAL_FAILURE(add_layer(3U << 20, 0));
    for (int layer = 0; layer < 3; ++layer) {
        ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 0));
    }
    ASSERT_NO_FATAL_FAILURE(expect_equal());
}

TEST_F(ChainTest, ExtentListEqualsSingleExtents) {
    for (int layer = 0; layer < 4; ++layer) {
        ASSERT_NO_FATAL_FAILURE(
            add_layer(layer % 2 == 0 ? kDiskBytes : kDiskBytes - (1U << 20), 40));
        for (const std::size_t room : {7U, 40U, 1000U})
            ASSERT_NO_FATAL_FAILURE(expect_lists_of_extents(room));
    }
    std::array<MappedExtent, 7> extents;
    EXPECT_EQ(map_extents(*top_, GuestOffset{0}, bytes_, {}).value_or(1), 0U);
    EXPECT_EQ(map_extents(*top_, GuestOffset{bytes_}, 1, extents).error().code(),
              Errc::out_of_range);
}

TEST_F(ChainTest, EmptySliceOfALayerIsNotLookedUp) {
    constexpr std::uint64_t kSliceBytes = 2U << 20;  // 512 entries
    ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 60));
    for (int layer = 0; layer < 16; ++layer) {
        least_write_at_ = kDiskBytes - kSliceBytes;  // a table whose other slices are empty
        ASSERT_NO_FATAL_FAILURE(add_layer(kDiskBytes, 1));
    }
    ASSERT_NO_FATAL_FAILURE(expect_equal());
    const auto lookups = [&] {
        std::uint64_t total = 0;
        for (const Image* layer = top_.get(); layer != nullptr; layer = layer->backing()) {
            total += layer->stats().cache.hits;
        }
        return total;
    };
    const std::uint64_t before = lookups();
    std::vector<std::byte> byte(1);
    for (std::uint64_t i = 0; i < 1000; ++i) {
        const GuestOffset at{i * 8192 % (kDiskBytes - kSliceBytes)};
        ASSERT_TRUE(top_->read_blocking(at, byte).has_value());
    }
    EXPECT_LE(lookups() - before, 2000U);  // the top and the base
}

}  // namespace
}  // namespace qed
