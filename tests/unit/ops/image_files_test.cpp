// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/backing.hpp"
#include "qed/clone.hpp"
#include "qed/commit.hpp"
#include "qed/image.hpp"
#include "qed/rebase.hpp"
#include "qed/snapshot.hpp"
#include "support/temp_dir.hpp"

// Commit, snapshot, clone and rebase on files, as a program calls them. tests/cli has the tests of
// content against QEMU, of kills and of failing system calls.

namespace qed {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ImageFilesTest : public ::testing::Test {
protected:
    std::string path(const std::string& name) const { return folder_.file(name); }

    void create(const std::string& name, const char* backing = nullptr) const {
        CreateOptions options;
        options.image_bytes = 1 << 20;
        options.backing_name = backing;
        options.backing_format = BackingFormat::qed;
        options.check_backing = false;
        const auto done = Image::create(path(name), options);
        ASSERT_TRUE(done) << done.error().message();
    }
    void put(const std::string& name, std::byte byte) const {
        OpenOptions options;
        options.writable = true;
        const auto image = Image::open(path(name), options);
        ASSERT_TRUE(image) << image.error().message();
        ASSERT_TRUE((*image)->write_blocking(GuestOffset{0}, std::array{byte}));
        ASSERT_TRUE((*image)->close());
    }
    std::byte first_byte(const std::string& name) const {
        std::array<std::byte, 1> byte{};
        const auto image = Image::open(path(name), {});
        EXPECT_TRUE(image) << image.error().message();
        if (image) {
            EXPECT_TRUE((*image)->read_blocking(GuestOffset{0}, byte));
        }
        return byte[0];
    }
    void set_need_check(const std::string& name) const {
        const int file = ::open(path(name).c_str(), O_WRONLY | O_CLOEXEC);
        const std::byte features{2};
        EXPECT_EQ(::pwrite(file, &features, 1, 16), 1);
        ::close(file);
    }

    test::TempDir folder_;
};

TEST_F(ImageFilesTest, CommitReportsWhatItChanged) {
    create("base.qed");
    create("mid.qed", "base.qed");
    create("top.qed", "mid.qed");
    put("top.qed", std::byte{3});
    const std::string base = path("base.qed");
    CommitOptions options;
    options.base = base.c_str();
    const auto lower = commit(path("top.qed"), options);
    ASSERT_TRUE(lower) << lower.error().message();
    EXPECT_GT(lower->data_bytes, 0U);
    EXPECT_FALSE(lower->is_overlay_empty);
    EXPECT_THAT(lower->changed_layers, ElementsAre(HasSubstr("mid.qed")));
    EXPECT_EQ(first_byte("base.qed"), std::byte{3});
    const auto next = commit(path("top.qed"));
    ASSERT_TRUE(next) << next.error().message();
    EXPECT_TRUE(next->is_overlay_empty);
    EXPECT_EQ(first_byte("top.qed"), std::byte{3});
}

TEST_F(ImageFilesTest, CommitStopsOnRequestAndLosesNothing) {
    create("base.qed");
    create("top.qed", "base.qed");
    put("top.qed", std::byte{3});
    CommitOptions options;
    options.progress.callback = [](void*, std::uint64_t, std::uint64_t) { return false; };
    const auto stopped = commit(path("top.qed"), options);
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().code(), Errc::cancelled);
    EXPECT_EQ(first_byte("top.qed"), std::byte{3});
    EXPECT_TRUE(commit(path("top.qed")));
}

TEST_F(ImageFilesTest, SnapshotRefusesTheNameOfAMissingBackingFile) {
    create("lost.qed", "gone.qed");
    const auto done = snapshot(path("lost.qed"), path("gone.qed"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::invalid_argument);
    EXPECT_FALSE(std::filesystem::exists(path("gone.qed")));
}

TEST_F(ImageFilesTest, RevertDropsChanges) {
    create("base.qed");
    put("base.qed", std::byte{1});
    ASSERT_TRUE(snapshot(path("base.qed"), path("frozen.qed")));
    put("base.qed", std::byte{2});
    ASSERT_TRUE(revert_to_snapshot(path("base.qed")));
    EXPECT_EQ(first_byte("base.qed"), std::byte{1});
    EXPECT_FALSE(revert_to_snapshot(path("frozen.qed")));
}

TEST_F(ImageFilesTest, CloneKeepsTheClonesThatWereMadeBeforeAFailure) {
    create("base.qed");
    put("base.qed", std::byte{1});
    std::ofstream(path("taken")) << "mine";
    const std::vector<std::string> paths = {path("a.qed"), path("taken"), path("b.qed")};
    const auto done = clone(path("base.qed"), paths);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), Errc::already_exists);
    EXPECT_EQ(first_byte("a.qed"), std::byte{1});
    EXPECT_FALSE(std::filesystem::exists(path("b.qed")));
    EXPECT_EQ(std::filesystem::file_size(path("taken")), 4U);
}

TEST_F(ImageFilesTest, UncleanBaseIsRefused) {
    create("base.qed");
    create("other.qed");
    set_need_check("base.qed");
    CreateOptions over;
    over.backing_name = "base.qed";
    over.backing_format = BackingFormat::qed;
    RebaseOptions rebase_options;
    const std::vector<std::string> paths = {path("a.qed")};
    EXPECT_EQ(clone(path("base.qed"), paths).error().code(), Errc::needs_check);
    EXPECT_EQ(Image::create(path("a.qed"), over).error().code(), Errc::needs_check);
    EXPECT_EQ(snapshot(path("base.qed"), path("a.qed")).error().code(), Errc::needs_check);
    EXPECT_EQ(rebase(path("other.qed"), "base.qed", rebase_options).error().code(),
              Errc::needs_check);
    EXPECT_FALSE(std::filesystem::exists(path("a.qed")));
}

TEST_F(ImageFilesTest, NameOnlyRebaseOntoItselfIsRefusedInEverySpelling) {
    create("a.qed");
    std::filesystem::create_symlink("a.qed", path("link.qed"));
    RebaseOptions options;
    options.change_name_only = true;
    for (const std::string& name :
         {std::string("a.qed"), std::string("./a.qed"), std::string("link.qed"), path("a.qed"),
          std::string("file:a.qed")}) {
        const auto done = rebase(path("a.qed"), name.c_str(), options);
        ASSERT_FALSE(done) << name;
        EXPECT_EQ(done.error().code(), Errc::invalid_argument);
    }
}

TEST_F(ImageFilesTest, SummaryCountsLayersAndSeesTheFolderLeft) {
    create("base.qed");
    create("mid.qed", "base.qed");
    create("top.qed", "mid.qed");
    std::filesystem::create_directory(path("sub"));
    create("sub/far.qed", "../top.qed");
    const auto top = summarize_backing(path("top.qed"));
    ASSERT_TRUE(top);
    EXPECT_EQ(top->layers, 2U);
    EXPECT_FALSE(top->leaves_folder);
    const auto far = summarize_backing(path("sub/far.qed"));
    ASSERT_TRUE(far);
    EXPECT_EQ(far->layers, 3U);
    EXPECT_TRUE(far->leaves_folder);
}

TEST_F(ImageFilesTest, SummaryOfALoopEnds) {
    create("a.qed", "b.qed");
    create("b.qed", "c.qed");
    ASSERT_TRUE(std::filesystem::copy_file(path("b.qed"), path("c.qed")));
    std::filesystem::remove(path("c.qed"));
    std::filesystem::create_hard_link(path("a.qed"), path("c.qed"));
    const auto summary = summarize_backing(path("a.qed"));
    ASSERT_TRUE(summary);
    EXPECT_LE(summary->layers, 3U);
}

}  // namespace
}  // namespace qed
