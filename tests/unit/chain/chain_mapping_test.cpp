// SPDX-License-Identifier: Apache-2.0
// Layer::locate() and reading through it; chain_map.hpp: which layer states what.
#include <cstdint>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "chain/chain_map.hpp"
#include "support/fake_layer.hpp"

namespace qed {
namespace {

using test::FakeLayer;
using Kind = Mapping::Kind;

constexpr std::uint64_t kBytes = 1U << 20;

class ChainMappingTest : public testing::Test {
protected:
    static std::shared_ptr<FakeLayer> base_without_holes() {
        auto base = std::make_shared<FakeLayer>(kBytes, nullptr);
        base->set(0, kBytes, Kind::data);
        return base;
    }
    std::shared_ptr<FakeLayer> base_ = base_without_holes();
    std::shared_ptr<FakeLayer> top_ = std::make_shared<FakeLayer>(kBytes, base_);
};

TEST_F(ChainMappingTest, TopLayerWinsUpToItsEnd) {
    top_->set(100, 200, Kind::data);

    const ChainMapping own = top_->locate({150}, 1000);
    const ChainMapping below = top_->locate({0}, 1000);

    EXPECT_EQ(own.layer, top_.get());
    EXPECT_EQ(own.depth, 0U);
    EXPECT_EQ(own.mapping, Mapping::in_place(FileOffset{150}, 50));
    EXPECT_EQ(below.layer, base_.get());
    EXPECT_EQ(below.depth, 1U);
    EXPECT_EQ(below.mapping, Mapping::in_place(FileOffset{0}, 100));
}

TEST_F(ChainMappingTest, ZeroHidesTheLayersBelow) {
    top_->set(0, 10, Kind::zero);

    const ChainMapping where = top_->locate({0}, 100);

    EXPECT_EQ(where.mapping, Mapping::without_data(Kind::zero, 10));
    EXPECT_TRUE(where.reads_as_zeroes());
}

TEST_F(ChainMappingTest, PastTheEndOfALayerNoLayerStatesTheZeroes) {
    auto longer = std::make_shared<FakeLayer>(2 * kBytes, base_);

    const ChainMapping inside = longer->locate({kBytes - 10}, 100);
    const ChainMapping outside = longer->locate({kBytes}, 100);

    EXPECT_EQ(inside.mapping.length, 10U);
    EXPECT_EQ(outside.layer, nullptr);
    EXPECT_EQ(outside.depth, 1U);
    EXPECT_EQ(outside.mapping, Mapping::without_data(Kind::unallocated, 100));
    EXPECT_TRUE(outside.reads_as_zeroes());
}

TEST_F(ChainMappingTest, UnallocatedWithoutItsBackingIsNoZero) {
    LayerTraits traits;
    traits.backing.name = "gone";
    FakeLayer orphan(kBytes, nullptr, traits);
    std::vector<std::byte> buffer(10);

    EXPECT_FALSE(orphan.locate({0}, 10).reads_as_zeroes());
    EXPECT_EQ(orphan.read_blocking({0}, buffer).error().code(), Errc::backing_refused);
    EXPECT_EQ(first_mapping(orphan, {0}, 10).error().code(), Errc::backing_refused);
}

TEST_F(ChainMappingTest, NotLoadedNamesTheLayerAndWhatToLoad) {
    top_->set(0, 100, Kind::zero);
    base_->forget(100, 200);

    const ChainMapping where = top_->locate({100}, 50);

    EXPECT_FALSE(where.is_loaded());
    EXPECT_EQ(where.layer, base_.get());
    EXPECT_EQ(where.depth, 1U);
    EXPECT_EQ(where.mapping.length, 50U);
}

TEST_F(ChainMappingTest, LoadingGoesOnBelowWithoutAskingAgain) {
    top_->forget(0, kBytes);

    const auto where = sync_wait(top_->locate_loading({5}, 50));

    ASSERT_TRUE(where.has_value());
    EXPECT_EQ(where->layer, base_.get());
    EXPECT_EQ(where->depth, 1U);
    EXPECT_EQ(top_->loads, 1);
}

TEST_F(ChainMappingTest, FailedLoadIsTheErrorOfRead) {
    top_->forget(0, kBytes);
    top_->fails_to_load = true;
    std::vector<std::byte> buffer(10);

    EXPECT_EQ(top_->read_blocking({0}, buffer).error().code(), Errc::io_error);
    EXPECT_EQ(sync_wait(top_->read({0}, buffer)).error().code(), Errc::io_error);
}

TEST_F(ChainMappingTest, ReadPutsTogetherAllKinds) {
    auto& file = dynamic_cast<test::MemoryFile&>(base_->file());
    file.fill(0, kBytes, std::byte{1});
    top_->set(10, 20, Kind::zero);
    top_->set(20, 30, Kind::encoded);
    top_->forget(30, 40);
    std::vector<std::byte> expected(50, std::byte{1});
    std::fill(expected.begin() + 10, expected.begin() + 20, std::byte{0});
    std::fill(expected.begin() + 20, expected.begin() + 30, top_->encoded);
    std::vector<std::byte> blocking(50);
    std::vector<std::byte> awaited(50);

    ASSERT_TRUE(top_->read_blocking({0}, blocking).has_value());
    ASSERT_TRUE(sync_wait(top_->read({0}, awaited)).has_value());

    EXPECT_EQ(blocking, expected);
    EXPECT_EQ(awaited, expected);
    EXPECT_EQ(top_->stats().reads, 2U) << "each request is counted once";
    EXPECT_EQ(top_->stats().read_bytes, 100U);
}

TEST_F(ChainMappingTest, CorruptRangeIsExplainedByItsLayer) {
    base_->set(0, 100, Kind::corrupt);
    std::vector<std::byte> buffer(10);

    EXPECT_EQ(top_->read_blocking({7}, buffer).error().code(), Errc::corrupt_metadata);
    EXPECT_EQ(first_mapping(*top_, {7}, 10).error().code(), Errc::corrupt_metadata);
}

TEST_F(ChainMappingTest, WholeMappingJoinsWhatContinues) {
    FakeLayer alone(kBytes, nullptr);
    alone.set(0, 10, Kind::data);
    alone.set(10, 20, Kind::data);
    alone.set(20, 30, Kind::zero);
    alone.set(30, 40, Kind::corrupt);

    const auto data = whole_mapping(alone, {0}, 100);
    const auto awaited = sync_wait(whole_mapping_async(alone, {0}, 100));
    const auto zero = whole_mapping(alone, {20}, 100);

    ASSERT_TRUE(data.has_value());
    EXPECT_EQ(data->mapping, Mapping::in_place(FileOffset{0}, 20));
    ASSERT_TRUE(awaited.has_value());
    EXPECT_EQ(awaited->mapping, data->mapping);
    ASSERT_TRUE(zero.has_value()) << "what cannot be read ends it";
    EXPECT_EQ(zero->mapping.length, 10U);
}

TEST_F(ChainMappingTest, DataElsewhereOrInAnotherLayerDoesNotContinue) {
    ChainMapping first{.mapping = Mapping::in_place(FileOffset{0}, 10), .layer = top_.get()};
    ChainMapping next{.mapping = Mapping::in_place(FileOffset{10}, 10), .layer = top_.get()};
    EXPECT_TRUE(continues(first, next));

    next.mapping.offset = FileOffset{20};
    EXPECT_FALSE(continues(first, next));
    next.mapping.offset = FileOffset{10};
    next.depth = 1;
    EXPECT_FALSE(continues(first, next));
    next.depth = 0;
    next.mapping.storage = Mapping::Storage::external_data_file;
    EXPECT_FALSE(continues(first, next));
}

TEST_F(ChainMappingTest, HolesOfAOneToOneFileAreZeroes) {
    LayerTraits traits;
    traits.has_file_holes = true;
    FakeLayer raw(kBytes, nullptr, traits);
    raw.set(0, kBytes, Kind::data);
    dynamic_cast<test::MemoryFile&>(raw.file()).fill(8192, 4096, std::byte{1});

    const auto hole = whole_mapping(raw, {0}, kBytes);
    const auto data = whole_mapping(raw, {8192}, kBytes - 8192);

    ASSERT_TRUE(hole.has_value());
    EXPECT_EQ(hole->mapping, Mapping::without_data(Kind::zero, 8192));
    EXPECT_EQ(hole->layer, &raw) << "the layer states it";
    ASSERT_TRUE(data.has_value());
    EXPECT_EQ(data->mapping, Mapping::in_place(FileOffset{8192}, 4096));
}

}  // namespace
}  // namespace qed
