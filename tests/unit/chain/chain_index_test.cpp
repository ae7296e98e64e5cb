// SPDX-License-Identifier: Apache-2.0
#include "chain/chain_index.hpp"

#include <cstdint>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "support/fake_layer.hpp"

namespace qed {
namespace {

using test::FakeLayer;
using Kind = Mapping::Kind;

constexpr unsigned kSpanBits = 16;
constexpr std::uint64_t kSpan = 1U << kSpanBits;
constexpr std::uint64_t kBytes = 4 * kSpan;

/// Three layers under an overlay; `below` has them nearest first.
class ChainIndexTest : public testing::Test {
protected:
    std::shared_ptr<FakeLayer> base_ = std::make_shared<FakeLayer>(kBytes, nullptr);
    std::shared_ptr<FakeLayer> middle_ = std::make_shared<FakeLayer>(kBytes, base_);
    std::shared_ptr<FakeLayer> top_ = std::make_shared<FakeLayer>(kBytes, middle_);
    std::vector<Layer*> below_{top_.get(), middle_.get(), base_.get()};
    ChainIndex index_;
};

TEST_F(ChainIndexTest, OffWithOneLayerBelow) {
    const std::vector<Layer*> one{base_.get()};
    index_.start(one, kSpanBits, kBytes);

    EXPECT_FALSE(index_.is_on());
    EXPECT_EQ(index_.from({0}, 100).steps, 1U);
    EXPECT_EQ(index_.from({0}, 100).length, 100U);
    EXPECT_EQ(base_->finds, 0);
}

TEST_F(ChainIndexTest, EmptyLayersAreSkippedToTheLast) {
    index_.start(below_, kSpanBits, kBytes);

    const ChainIndex::Jump jump = index_.from({10}, 100);

    EXPECT_EQ(jump.steps, 3U) << "the last layer is never skipped";
    EXPECT_EQ(jump.length, 100U);
}

TEST_F(ChainIndexTest, LayerWithOneByteInTheSpanEndsTheJump) {
    middle_->set(kSpan + 7, kSpan + 8, Kind::data);
    index_.start(below_, kSpanBits, kBytes);

    EXPECT_EQ(index_.from({kSpan}, 4).steps, 2U);
    EXPECT_EQ(index_.from({0}, 4).steps, 3U) << "another span";
}

TEST_F(ChainIndexTest, JumpEndsWithItsSpan) {
    index_.start(below_, kSpanBits, kBytes);

    EXPECT_EQ(index_.from({kSpan - 10}, kBytes).length, 10U);
}

TEST_F(ChainIndexTest, KnownSpanIsNotAskedAgain) {
    index_.start(below_, kSpanBits, kBytes);
    (void)index_.from({0}, 1);
    const int asked = top_->finds + middle_->finds;

    (void)index_.from({kSpan - 1}, 1);

    EXPECT_EQ(top_->finds + middle_->finds, asked);
    EXPECT_EQ(base_->finds, 0);
}

TEST_F(ChainIndexTest, SpanThatIsNotLoadedIsLearnedLater) {
    middle_->forget(0, kSpan);
    index_.start(below_, kSpanBits, kBytes);
    EXPECT_EQ(index_.from({0}, 1).steps, 2U) << "the unknown layer has to be asked";

    middle_->forget(0, 0);

    EXPECT_EQ(index_.from({0}, 1).steps, 3U);
}

TEST_F(ChainIndexTest, ShortLayerIsNotSkipped) {
    auto shorter = std::make_shared<FakeLayer>(kSpan / 2, base_);
    const std::vector<Layer*> below{shorter.get(), base_.get()};
    index_.start(below, kSpanBits, kBytes);

    EXPECT_EQ(index_.from({0}, 1).steps, 1U) << "past its end the disk reads as zeroes";
}

TEST_F(ChainIndexTest, LayerThatLacksItsBackingIsNotSkipped) {
    LayerTraits traits;
    traits.backing.name = "gone";
    auto orphan = std::make_shared<FakeLayer>(kBytes, nullptr, traits);
    ASSERT_TRUE(orphan->lacks_backing());
    const std::vector<Layer*> below{orphan.get(), base_.get()};
    index_.start(below, kSpanBits, kBytes);

    EXPECT_EQ(index_.from({0}, 1).steps, 1U);
}

TEST_F(ChainIndexTest, PastTheEndOneStepIsTaken) {
    index_.start(below_, kSpanBits, kBytes);

    const ChainIndex::Jump jump = index_.from({kBytes + 5}, 9);

    EXPECT_EQ(jump.steps, 1U);
    EXPECT_EQ(jump.length, 9U);
}

}  // namespace
}  // namespace qed
