// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace qed::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

TEST(KeyValuesTest, SplitListsAtCommasAndTakeDoubledOnesAsText) {
    const auto pairs = parse_key_values({"a=1,b", "c=x,,y=z,d="});
    ASSERT_TRUE(pairs);
    EXPECT_THAT(*pairs,
                ElementsAre(Pair("a", "1"), Pair("b", "on"), Pair("c", "x,y=z"), Pair("d", "")));
}

TEST(KeyValuesTest, RefuseEmptyNames) {
    for (const char* const list : {"=1", "a=1,,=2,=3", ",a=1"}) {
        EXPECT_FALSE(parse_key_values({list})) << list;
    }
}

TEST(CacheModeTest, HasTheModesOfQemu) {
    EXPECT_TRUE(parse_cache_mode("none", "-t")->direct);
    EXPECT_TRUE(parse_cache_mode("directsync", "-t")->direct);
    EXPECT_TRUE(parse_cache_mode("directsync", "-t")->sync);
    EXPECT_TRUE(parse_cache_mode("writethrough", "-t")->sync);
    EXPECT_TRUE(parse_cache_mode("unsafe", "-t")->ignore_flush);
    const auto writeback = parse_cache_mode("writeback", "-t");
    EXPECT_FALSE(writeback->direct || writeback->sync || writeback->ignore_flush);
    const auto wrong = parse_cache_mode("fast", "-T");
    ASSERT_FALSE(wrong);
    EXPECT_THAT(wrong.error().message(), HasSubstr("-T: 'fast'"));
}

TEST(BackingPolicyTest, DefaultsToTheFolderOfTheImage) {
    unsetenv("QED_BACKING");
    std::string storage;
    const auto policy = make_backing_policy({}, storage);
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->rule, BackingRule::same_directory);
}

TEST(BackingPolicyTest, TakesTheRuleFromTheEnvironmentUnlessOneIsGiven) {
    setenv("QED_BACKING", "any", 1);
    std::string storage;
    EXPECT_EQ(make_backing_policy({}, storage)->rule, BackingRule::any);
    EXPECT_EQ(make_backing_policy({.rule = "none", .format = "", .depth = ""}, storage)->rule,
              BackingRule::none);
    setenv("QED_BACKING", "sometimes", 1);
    const auto wrong = make_backing_policy({}, storage);
    ASSERT_FALSE(wrong);
    EXPECT_THAT(wrong.error().message(), HasSubstr("QED_BACKING: 'sometimes'"));
    unsetenv("QED_BACKING");
}

TEST(BackingPolicyTest, KeepsTheNameOfTheFolder) {
    std::string storage;
    const auto policy =
        make_backing_policy({.rule = "dir:/srv/images", .format = "raw", .depth = ""}, storage);
    ASSERT_TRUE(policy);
    EXPECT_EQ(policy->rule, BackingRule::below_directory);
    EXPECT_STREQ(policy->directory, "/srv/images");
    EXPECT_EQ(policy->format, BackingFormat::raw);
}

}  // namespace
}  // namespace qed::cli
