// SPDX-License-Identifier: Apache-2.0
// Bases that are open already, for an image that was opened under another policy.
#include <filesystem>
#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;

/// inner/one.qed and inner/two.qed over inner/mid.qed over outer/base.qed.
class SharedBaseTest : public ::testing::Test {
protected:
    SharedBaseTest() {
        std::filesystem::create_directory(dir.file("inner"));
        std::filesystem::create_directory(dir.file("outer"));
        create("outer/base.qed", nullptr);
        create("inner/mid.qed", "../outer/base.qed");
        create("inner/one.qed", "mid.qed");
        create("inner/two.qed", "mid.qed");
    }
    void create(const std::string& name, const char* backing) const {
        CreateOptions options;
        options.image_bytes = 1 << 20;
        options.backing_name = backing;
        options.backing_format = BackingFormat::qed;
        options.check_backing = false;
        const auto done = Image::create(dir.file(name), options);
        ASSERT_TRUE(done) << done.error().message();
    }
    Result<std::unique_ptr<Image>> open(const std::string& name, const BackingPolicy& policy) {
        OpenOptions options;
        options.backing = policy;
        return Image::open(dir.file(name), options);
    }

    test::TempDir dir;
    const BackingPolicy any{.rule = BackingRule::any};
};

TEST_F(SharedBaseTest, IsOpenOnceForTwoWhoMayHaveIt) {
    const auto one = open("inner/one.qed", any);
    const auto two = open("inner/two.qed", any);
    ASSERT_TRUE(one && two);
    EXPECT_EQ(&(*one)->backing()->file(), &(*two)->backing()->file());
}

TEST_F(SharedBaseTest, FolderOfTheSecondOpenerHoldsBelowTheSharedBase) {
    const auto one = open("inner/one.qed", any);
    ASSERT_TRUE(one) << one.error().message();
    const auto two = open("inner/two.qed", {});
    ASSERT_FALSE(two);
    EXPECT_EQ(two.error().code(), Errc::backing_refused);
    EXPECT_THAT(two.error().message(), HasSubstr("outside of the allowed directory"));
    const std::string inner = dir.file("inner");
    const BackingPolicy below{.rule = BackingRule::below_directory, .directory = inner.c_str()};
    EXPECT_EQ(open("inner/two.qed", below).error().code(), Errc::backing_refused);
}

TEST_F(SharedBaseTest, DepthOfTheSecondOpenerHoldsBelowTheSharedBase) {
    const auto one = open("inner/one.qed", any);
    ASSERT_TRUE(one) << one.error().message();
    BackingPolicy shallow = any;
    shallow.depth_limit = 1;
    const auto two = open("inner/two.qed", shallow);
    ASSERT_FALSE(two);
    EXPECT_THAT(two.error().message(), HasSubstr("more than 1 backing files"));
    shallow.depth_limit = 2;
    EXPECT_TRUE(open("inner/two.qed", shallow));
}

TEST_F(SharedBaseTest, IsOpenedAgainWhenANameBelowItLeadsToAnotherFile) {
    const auto one = open("inner/one.qed", any);
    ASSERT_TRUE(one) << one.error().message();
    create("outer/new.qed", nullptr);
    std::filesystem::rename(dir.file("outer/new.qed"), dir.file("outer/base.qed"));
    const auto two = open("inner/two.qed", any);
    ASSERT_TRUE(two) << two.error().message();
    EXPECT_NE(&(*one)->backing()->file(), &(*two)->backing()->file());
    EXPECT_NE((*one)->backing()->backing()->file().identity(),
              (*two)->backing()->backing()->file().identity());
}

}  // namespace
}  // namespace qed
