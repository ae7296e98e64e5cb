// SPDX-License-Identifier: Apache-2.0
// A storage that the library does not know: chains open through it.
#include "qed/storage.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_storage.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;

class StorageTest : public ::testing::Test {
protected:
    StorageTest() {
        create("base.qed", nullptr);
        put("base.qed", 0, std::byte{'b'});
        create("top.qed", "base.qed");
    }
    void create(const std::string& name, const char* backing) {
        CreateOptions options;
        options.image_bytes = 1 << 20;
        options.backing_name = backing;
        options.backing_format = BackingFormat::qed;
        const auto done = sync_wait(Image::format(storage.file(name), options));
        ASSERT_TRUE(done) << done.error().message();
    }
    Result<std::unique_ptr<Image>> open(const std::string& name, OpenOptions options = {}) {
        options.storage = &storage;
        return Image::open(name, options);
    }
    void put(const std::string& name, std::uint64_t at, std::byte byte) {
        OpenOptions options;
        options.writable = true;
        const auto image = open(name, options);
        ASSERT_TRUE(image) << image.error().message();
        ASSERT_TRUE((*image)->write_blocking(GuestOffset{at}, std::array{byte}));
        ASSERT_TRUE((*image)->close());
    }
    static std::byte byte_at(Image& image, std::uint64_t at) {
        std::array<std::byte, 1> byte{};
        EXPECT_TRUE(image.read_blocking(GuestOffset{at}, byte));
        return byte[0];
    }

    test::MemoryStorage storage;
};

TEST_F(StorageTest, ChainOpensReadsAndWrites) {
    put("top.qed", 9, std::byte{'t'});
    const auto image = open("top.qed");
    ASSERT_TRUE(image) << image.error().message();
    EXPECT_EQ((*image)->depth(), 1U);
    EXPECT_EQ(byte_at(**image, 0), std::byte{'b'});
    EXPECT_EQ(byte_at(**image, 9), std::byte{'t'});
    EXPECT_EQ((*image)->backing()->file_name(), "base.qed");
}

TEST_F(StorageTest, PolicyOfTheCallerHolds) {
    OpenOptions options;
    options.backing.rule = BackingRule::none;
    EXPECT_EQ(open("top.qed", options).error().code(), Errc::backing_refused);
    options.backing.rule = BackingRule::any;
    options.backing.depth_limit = 0;
    EXPECT_EQ(open("top.qed", options).error().code(), Errc::backing_refused);
}

TEST_F(StorageTest, MissingFilesAreNamed) {
    create("astray.qed", "nowhere.qed");
    const auto astray = open("astray.qed");
    ASSERT_FALSE(astray);
    EXPECT_EQ(astray.error().code(), Errc::not_found);
    EXPECT_THAT(astray.error().message(), HasSubstr("nowhere.qed"));
    EXPECT_EQ(open("none.qed").error().code(), Errc::not_found);
}

TEST_F(StorageTest, LoopsAreFound) {
    create("loop.qed", "loop.qed");
    const auto loop = open("loop.qed");
    ASSERT_FALSE(loop);
    EXPECT_THAT(loop.error().message(), HasSubstr("leads back to this file"));
}

TEST_F(StorageTest, BaseIsSharedWithinOneStorageOnly) {
    create("second.qed", "base.qed");
    const auto first = open("top.qed");
    const auto second = open("second.qed");
    ASSERT_TRUE(first && second);
    EXPECT_EQ(&(*first)->backing()->file(), &(*second)->backing()->file());
    test::MemoryStorage other;
    CreateOptions options;
    options.image_bytes = 1 << 20;
    ASSERT_TRUE(sync_wait(Image::format(other.file("base.qed"), options)));
    options.backing_name = "base.qed";
    options.backing_format = BackingFormat::qed;
    ASSERT_TRUE(sync_wait(Image::format(other.file("top.qed"), options)));
    OpenOptions elsewhere;
    elsewhere.storage = &other;
    const auto third = Image::open("top.qed", elsewhere);
    ASSERT_TRUE(third) << third.error().message();
    EXPECT_NE(&(*first)->backing()->file(), &(*third)->backing()->file());
}

}  // namespace
}  // namespace qed
