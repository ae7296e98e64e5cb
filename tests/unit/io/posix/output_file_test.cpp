// SPDX-License-Identifier: Apache-2.0
#include "qed/output_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/posix/descriptor_access.hpp"
#include "io/posix/file_lock.hpp"
#include "qed/files.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;

class OutputFileTest : public ::testing::Test {
protected:
    std::string path(const std::string& name) const { return folder_.file(name); }
    void put(const std::string& name, const std::string& text) const {
        std::ofstream(path(name)) << text;
    }
    std::string text_of(const std::string& name) const {
        std::ifstream file(path(name));
        return {std::istreambuf_iterator<char>(file), {}};
    }
    std::unique_ptr<OutputFile> begin(const std::string& name, const OutputOptions& options = {}) {
        auto output = OutputFile::create(path(name), options);
        EXPECT_TRUE(output) << output.error().message();
        return output ? std::move(*output) : nullptr;
    }
    static void write(OutputFile& output, std::string_view text) {
        const auto bytes = std::as_bytes(std::span(text));
        ASSERT_TRUE(output.file().write(FileOffset{0}, bytes).run_blocking());
    }
    std::size_t file_count() const {
        namespace fs = std::filesystem;
        return static_cast<std::size_t>(
            std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator{}));
    }

    test::TempDir folder_;
};

TEST_F(OutputFileTest, NewFileAppearsWithPublish) {
    for (const bool named : {false, true}) {
        const std::string name = named ? "named" : "plain";
        const auto output = begin(name, {.named = named});
        write(*output, "content");
        EXPECT_FALSE(std::filesystem::exists(path(name)));
        ASSERT_TRUE(output->publish(Durability::content_and_name));
        EXPECT_EQ(text_of(name), "content");
    }
    EXPECT_EQ(file_count(), 2U);
}

TEST_F(OutputFileTest, AbandonedFileLeavesTheOldOneAndNothingElse) {
    put("a", "old");
    for (const bool named : {false, true}) {
        const auto output = begin("a", {.named = named});
        write(*output, "new");
    }
    EXPECT_EQ(text_of("a"), "old");
    EXPECT_EQ(file_count(), 1U);
}

TEST_F(OutputFileTest, ReplacedFilePassesOnItsMode) {
    put("a", "old");
    ::chmod(path("a").c_str(), 0640);
    const auto output = begin("a");
    write(*output, "new");
    ASSERT_TRUE(output->publish(Durability::content));
    struct stat status{};
    ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777U, 0640U);
    EXPECT_EQ(text_of("a"), "new");
}

TEST_F(OutputFileTest, SymbolicLinkStays) {
    put("real", "old");
    std::filesystem::create_symlink("real", path("link"));
    ASSERT_TRUE(begin("link")->publish(Durability::none));
    EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
    EXPECT_EQ(text_of("real"), "");
}

TEST_F(OutputFileTest, ExclusiveRefusesATakenName) {
    put("a", "old");
    std::filesystem::create_symlink("nowhere", path("dangling"));
    for (const char* name : {"a", "dangling"}) {
        const auto output = OutputFile::create(path(name), {.exclusive = true});
        ASSERT_FALSE(output);
        EXPECT_EQ(output.error().code(), Errc::already_exists);
    }
}

TEST_F(OutputFileTest, ExclusiveRefusesANameThatIsTakenMeanwhile) {
    for (const bool named : {false, true}) {
        const std::string name = named ? "named" : "plain";
        const auto output = begin(name, {.exclusive = true, .named = named});
        put(name, "quicker");
        const auto done = output->publish(Durability::none);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code(), Errc::already_exists);
        EXPECT_EQ(text_of(name), "quicker");
    }
}

TEST_F(OutputFileTest, FileInUseIsNotReplaced) {
    put("a", "old");
    const auto user = open_file(path("a"), {.writable = true});
    ASSERT_TRUE(user);
    ASSERT_TRUE(FileLock::acquire(DescriptorAccess::of(**user), LockRole::writer, "a"));
    const auto output = OutputFile::create(path("a"));
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code(), Errc::locked);
}

TEST_F(OutputFileTest, NameMayBeAsLongAsTheFileSystemAllows) {
    const std::string longest(255, 'x');
    for (int round = 0; round < 2; ++round) {  // new, then replaced
        ASSERT_TRUE(begin(longest, {.named = round == 0})->publish(Durability::none));
    }
    const auto longer = OutputFile::create(path(longest + "x"));
    ASSERT_FALSE(longer);
    EXPECT_EQ(longer.error().sys_errno(), ENAMETOOLONG);
}

TEST_F(OutputFileTest, PublishNeedsNoFurtherDescriptor) {
    put("a", "old");
    const auto output = begin("a");
    rlimit limit{};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
    const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    const auto done = output->publish(Durability::content_and_name);
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    EXPECT_TRUE(done) << done.error().message();
}

TEST_F(OutputFileTest, FolderThatIsNotThereIsFoundOutBeforeTheWork) {
    const auto output = OutputFile::create(path("none/a"));
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code(), Errc::not_found);
}

TEST_F(OutputFileTest, FileThatNothingCanReplaceIsFoundOutBeforeTheWork) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs to act as another user";
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(01777));
    put("a", "old");
    ::chmod(path("a").c_str(), 0666);
    ASSERT_EQ(::seteuid(65534), 0);  // may write the file, but not remove its name
    const auto output = OutputFile::create(path("a"));
    ASSERT_EQ(::seteuid(0), 0);
    ASSERT_FALSE(output);
    EXPECT_EQ(output.error().code(), Errc::unsupported);
    EXPECT_THAT(output.error().message(), HasSubstr("take its place"));
    EXPECT_EQ(text_of("a"), "old");
}

}  // namespace
}  // namespace qed
