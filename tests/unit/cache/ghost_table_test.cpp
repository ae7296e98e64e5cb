// SPDX-License-Identifier: Apache-2.0
#include "cache/ghost_table.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace qed {
namespace {

// Keys as a good hash makes them.
std::uint64_t key_of(std::uint64_t number) {
    number = (number + 1) * 0x9e3779b97f4a7c15U;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
    return number ^ (number >> 31);
}

class GhostTableTest : public testing::Test {
protected:
    GhostTableTest() { ghosts_.reset(64, 100); }

    GhostTable ghosts_;
};

TEST_F(GhostTableTest, GivesTheAgeOfAKeyOnce) {
    ghosts_.remember(key_of(7), 20);
    ghosts_.advance(30);
    EXPECT_EQ(ghosts_.take(key_of(7)), 50u);
    EXPECT_EQ(ghosts_.take(key_of(7)), std::nullopt);
    EXPECT_EQ(ghosts_.take(key_of(8)), std::nullopt);
}

TEST_F(GhostTableTest, ForgetsAKeyThatIsOlderThanItsSpan) {
    ghosts_.remember(key_of(7), 0);
    ghosts_.remember(key_of(8), 1);
    ghosts_.remember(key_of(9), 101);
    ghosts_.advance(100);
    EXPECT_EQ(ghosts_.take(key_of(7)), 100u);
    EXPECT_EQ(ghosts_.take(key_of(8)), std::nullopt);
    EXPECT_EQ(ghosts_.take(key_of(9)), std::nullopt);
}

TEST_F(GhostTableTest, LastTimeThatAKeyIsRememberedCounts) {
    ghosts_.remember(key_of(7), 0);
    ghosts_.advance(60);
    ghosts_.remember(key_of(7), 0);
    ghosts_.advance(60);
    EXPECT_EQ(ghosts_.take(key_of(7)), 60u);
}

TEST_F(GhostTableTest, ForgetsEverythingWhenReset) {
    ghosts_.remember(key_of(7), 0);
    ghosts_.reset(64, 100);
    EXPECT_EQ(ghosts_.take(key_of(7)), std::nullopt);
}

TEST_F(GhostTableTest, RemembersNothingBeforeItHasASize) {
    GhostTable none;
    none.remember(key_of(7), 0);
    EXPECT_EQ(none.take(key_of(7)), std::nullopt);
}

TEST_F(GhostTableTest, TellsAgesApartInABudgetOfTebibytes) {
    constexpr std::uint64_t kSpan = std::uint64_t{1} << 50;
    ghosts_.reset(64, kSpan);
    ghosts_.remember(key_of(7), 0);
    ghosts_.advance(kSpan / 2);
    ghosts_.remember(key_of(8), 0);
    ghosts_.advance(kSpan / 4 * 3);
    const auto age = ghosts_.take(key_of(8));
    ASSERT_TRUE(age.has_value());
    EXPECT_NEAR(static_cast<double>(*age), 0.75 * static_cast<double>(kSpan),
                static_cast<double>(kSpan) / 100'000);
    EXPECT_EQ(ghosts_.take(key_of(7)), std::nullopt);
}

RC_GTEST_PROP(FullGhostTableTest, KeepsTheYoungestOfTooManyKeys, ()) {
    GhostTable ghosts;
    ghosts.reset(64, 1'000'000);
    const auto first = *rc::gen::inRange<std::uint64_t>(0, 1'000'000);
    constexpr std::uint64_t kKeys = 6400;
    for (std::uint64_t number = first; number < first + kKeys; ++number) {
        ghosts.remember(key_of(number), 0);
        ghosts.advance(1);
    }
    // Buckets of four: the last four keys survive wherever they fall.
    for (std::uint64_t age = 1; age <= 4; ++age) {
        RC_ASSERT(ghosts.take(key_of(first + kKeys - age)) == age);
    }
    std::size_t kept = 4;
    for (std::uint64_t number = first; number < first + kKeys; ++number) {
        kept += ghosts.take(key_of(number)).has_value();
    }
    RC_ASSERT(kept <= 64u);
    RC_ASSERT(kept > 32u);
}

}  // namespace
}  // namespace qed
