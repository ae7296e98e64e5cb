// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/posix/descriptor_access.hpp"
#include "qed/files.hpp"
#include "support/io_ways.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;

struct OpenFileTest : ::testing::Test {
    test::TempDir dir;

    void expect_refused(const std::string& path, const FileOptions& options, Errc code,
                        const std::string& phrase) {
        const Result<std::unique_ptr<BlockFile>> file = open_file(path, options);
        ASSERT_FALSE(file) << path;
        EXPECT_EQ(file.error().code(), code) << file.error().message();
        EXPECT_THAT(file.error().message(), HasSubstr(path));
        EXPECT_THAT(file.error().message(), HasSubstr(phrase));
    }
};

TEST_F(OpenFileTest, AMissingFileIsNotFound) {
    expect_refused(dir.file("none"), {}, Errc::not_found, "No such file");
    FileOptions options;
    options.writable = true;
    expect_refused(dir.file("none"), options, Errc::not_found, "for reading and writing");
}

TEST_F(OpenFileTest, CreateMakesAFileOnce) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    options.exclusive = true;
    const auto file = test::open_or_throw(dir.file("new"), options);
    EXPECT_EQ(file->size(), 0U);
    EXPECT_FALSE(file->is_read_only());
    EXPECT_EQ(file->name(), dir.file("new"));
    expect_refused(dir.file("new"), options, Errc::already_exists, "cannot create it");
    options.exclusive = false;
    EXPECT_TRUE(open_file(dir.file("new"), options));
}

TEST_F(OpenFileTest, TruncateEmptiesTheFile) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    {
        const auto file = test::open_or_throw(dir.file("f"), options);
        ASSERT_TRUE(file->truncate(12345).run_blocking());
        EXPECT_EQ(file->size(), 12345U);
    }
    options.truncate = true;
    EXPECT_EQ(test::open_or_throw(dir.file("f"), options)->size(), 0U);
}

TEST_F(OpenFileTest, ADirectoryIsRefused) {
    FileOptions writable;
    writable.writable = true;
    expect_refused(dir.path().string(), {}, Errc::invalid_argument, "found a directory");
    expect_refused(dir.path().string(), writable, Errc::invalid_argument, "found a directory");
}

TEST_F(OpenFileTest, AFifoIsRefusedWithoutWaitingForItsOtherEnd) {
    ASSERT_EQ(::mkfifo(dir.file("fifo").c_str(), 0600), 0);
    FileOptions writable;
    writable.writable = true;
    expect_refused(dir.file("fifo"), {}, Errc::invalid_argument, "found a FIFO");
    expect_refused(dir.file("fifo"), writable, Errc::invalid_argument, "found a FIFO");
}

TEST_F(OpenFileTest, ASocketIsRefused) {
    const std::string path = dir.file("s");
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    ASSERT_EQ(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    expect_refused(path, {}, Errc::invalid_argument, "found a socket");
    ::close(listener);
}

TEST_F(OpenFileTest, ACharacterDeviceIsRefused) {
    expect_refused("/dev/zero", {}, Errc::invalid_argument, "found a character device");
}

TEST_F(OpenFileTest, TheDescriptorIsClosedOnExecAndMayBlock) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    const auto file = test::open_or_throw(dir.file("f"), options);
    EXPECT_EQ(::fcntl(DescriptorAccess::of(*file), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(DescriptorAccess::of(*file), F_GETFD) & FD_CLOEXEC, 0);
}

TEST_F(OpenFileTest, PathsAreRelativeToTheGivenDirectory) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    options.directory = ::open(dir.path().c_str(), O_DIRECTORY | O_PATH | O_CLOEXEC);
    ASSERT_GE(options.directory, 0);
    EXPECT_TRUE(open_file("inside", options));
    EXPECT_TRUE(std::filesystem::exists(dir.path() / "inside"));
    ::close(options.directory);
}

TEST_F(OpenFileTest, SyncFilesWriteThrough) {
    FileOptions options;
    options.writable = true;
    options.create = true;
    options.sync = true;
    const auto file = test::open_or_throw(dir.file("f"), options);
    EXPECT_NE(::fcntl(DescriptorAccess::of(*file), F_GETFL) & O_DSYNC, 0);
    for (const test::Way way : {test::Way::on_caller, test::Way::in_uring}) {
        test::Runner runner(way);
        const auto bytes = test::pattern(5000, 1);
        ASSERT_TRUE(runner.run(file->write(FileOffset{100}, bytes)));
        EXPECT_EQ(test::read_all(*file, 100, 5000), bytes);
    }
}

TEST_F(OpenFileTest, AnAdoptedDescriptorWorksAndIsOwned) {
    const int descriptor =
        ::open(dir.file("f").c_str(), O_RDWR | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0600);
    FileOptions options;
    options.writable = true;
    {
        auto file = adopt_descriptor(descriptor, "given", options);
        ASSERT_TRUE(file);
        EXPECT_EQ((*file)->name(), "given");
        ASSERT_TRUE((*file)->write(FileOffset{0}, test::pattern(10, 1)).run_blocking());
        EXPECT_EQ((*file)->size(), 10U);
    }
    EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1);
}

TEST_F(OpenFileTest, AnAdoptedDescriptorMustMatchTheOptions) {
    const std::string path = dir.file("f");
    FileOptions options;
    options.writable = true;
    const int read_only = ::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    const auto refused = adopt_descriptor(read_only, "given", options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::permission_denied);
    EXPECT_EQ(::fcntl(read_only, F_GETFD), -1) << "closed on failure too";

    const auto write_only = adopt_descriptor(::open(path.c_str(), O_WRONLY | O_CLOEXEC), "w", {});
    ASSERT_FALSE(write_only);
    EXPECT_THAT(write_only.error().message(), HasSubstr("not open for reading"));

    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    ::close(ends[1]);
    const auto pipe = adopt_descriptor(ends[0], "pipe", {});
    ASSERT_FALSE(pipe);
    EXPECT_THAT(pipe.error().message(), HasSubstr("found a FIFO"));
}

}  // namespace
}  // namespace qed
