// SPDX-License-Identifier: Apache-2.0
#include "io/posix/file_lock.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <set>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/posix/descriptor_access.hpp"
#include "support/io_ways.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

/// A separate open file description, like that of another program.
class Opened {
public:
    explicit Opened(const std::string& path)
        : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {}
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() { ::close(descriptor_); }
    Result<void> lock(LockRole role) { return FileLock::acquire(descriptor_, role, "disk.qed"); }
    void release() { FileLock::release(descriptor_); }
    int descriptor() const { return descriptor_; }

private:
    int descriptor_;
};

struct FileLockTest : ::testing::Test {
    /// The bytes that others have locked, as a new program sees them.
    std::set<int> held() {
        const Opened observer(dir.file("disk.qed"));
        std::set<int> bytes;
        for (int byte = 0; byte < 400; ++byte) {
            struct flock range{};
            range.l_type = F_WRLCK;
            range.l_whence = SEEK_SET;
            range.l_start = byte;
            range.l_len = 1;
            EXPECT_EQ(::fcntl(observer.descriptor(), F_OFD_GETLK, &range), 0);
            if (range.l_type != F_UNLCK) {
                EXPECT_EQ(range.l_type, F_RDLCK) << "locks are shared ones";
                bytes.insert(byte);
            }
        }
        return bytes;
    }

    test::TempDir dir;
    Opened first{dir.file("disk.qed")};
    Opened second{dir.file("disk.qed")};
};

TEST_F(FileLockTest, EachRoleHoldsTheBytesOfTheSpecification) {
    const std::pair<LockRole, std::set<int>> expected[] = {
        {LockRole::writer, {100, 101, 103, 201, 203}},
        {LockRole::reader, {100, 201, 203}},
        {LockRole::shared_reader, {100}},
        {LockRole::creator, {101, 103, 203}},
    };
    for (const auto& [role, bytes] : expected) {
        ASSERT_TRUE(first.lock(role));
        EXPECT_EQ(held(), bytes) << static_cast<int>(role);
        first.release();
        EXPECT_TRUE(held().empty());
    }
}

class FileLockPairs : public FileLockTest,
                      public ::testing::WithParamInterface<std::tuple<LockRole, LockRole, bool>> {};

TEST_P(FileLockPairs, TwoRolesMeet) {
    const auto [one, other, together] = GetParam();
    ASSERT_TRUE(first.lock(one));
    const std::set<int> before = held();
    const Result<void> met = second.lock(other);
    EXPECT_EQ(met.has_value(), together);
    if (!met) {
        EXPECT_EQ(met.error().code(), Errc::locked);
        EXPECT_EQ(held(), before) << "a refused role holds nothing";
        first.release();
        EXPECT_TRUE(second.lock(other)) << "and works once the other is gone";
    }
}

constexpr auto kWriter = LockRole::writer;
constexpr auto kReader = LockRole::reader;
constexpr auto kShared = LockRole::shared_reader;
constexpr auto kCreator = LockRole::creator;
INSTANTIATE_TEST_SUITE_P(
    Roles, FileLockPairs,
    ::testing::Values(std::tuple{kWriter, kWriter, false}, std::tuple{kWriter, kReader, false},
                      std::tuple{kWriter, kShared, true}, std::tuple{kWriter, kCreator, false},
                      std::tuple{kReader, kWriter, false}, std::tuple{kReader, kReader, true},
                      std::tuple{kReader, kShared, true}, std::tuple{kReader, kCreator, false},
                      std::tuple{kShared, kWriter, true}, std::tuple{kShared, kReader, true},
                      std::tuple{kShared, kShared, true}, std::tuple{kShared, kCreator, true},
                      std::tuple{kCreator, kWriter, false}, std::tuple{kCreator, kReader, false},
                      std::tuple{kCreator, kShared, true}, std::tuple{kCreator, kCreator, false}));

TEST_F(FileLockTest, ErrorNamesTheLockAndTheOptionToRead) {
    ASSERT_TRUE(first.lock(LockRole::writer));
    const Result<void> refused = second.lock(LockRole::reader);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("disk.qed"));
    EXPECT_THAT(refused.error().message(), HasSubstr("is writing to it"));
    EXPECT_THAT(refused.error().message(), HasSubstr("lock byte 101"));
    EXPECT_THAT(refused.error().message(), HasSubstr("--force-share"));
}

TEST_F(FileLockTest, WriterErrorNamesTheReader) {
    ASSERT_TRUE(first.lock(LockRole::reader));
    const Result<void> refused = second.lock(LockRole::writer);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("is using it and permits no writers"));
    EXPECT_THAT(refused.error().message(), HasSubstr("lock byte 201"));
}

TEST_F(FileLockTest, ChangingTheRoleLeavesOnlyTheNewOnesBytes) {
    ASSERT_TRUE(first.lock(LockRole::creator));
    ASSERT_TRUE(first.lock(LockRole::writer));
    EXPECT_EQ(held(), (std::set<int>{100, 101, 103, 201, 203}));
    ASSERT_TRUE(first.lock(LockRole::reader));
    EXPECT_EQ(held(), (std::set<int>{100, 201, 203}));
    EXPECT_TRUE(second.lock(LockRole::reader));
}

TEST_F(FileLockTest, ForcedReaderRespectsExclusiveHolder) {
    struct flock range{};
    range.l_type = F_RDLCK;
    range.l_whence = SEEK_SET;
    range.l_start = 200;
    range.l_len = 1;
    ASSERT_EQ(::fcntl(first.descriptor(), F_OFD_SETLK, &range), 0);
    const Result<void> refused = second.lock(LockRole::shared_reader);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(), HasSubstr("permits no readers"));
}

TEST_F(FileLockTest, AnExclusiveLockOfAnotherProgramIsAConflictNotAFailure) {
    struct flock range{};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    ASSERT_EQ(::fcntl(first.descriptor(), F_OFD_SETLK, &range), 0);
    const Result<void> refused = second.lock(LockRole::reader);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::locked);
}

TEST_F(FileLockTest, CloseReleasesLocks) {
    {
        Opened third(dir.file("disk.qed"));
        ASSERT_TRUE(third.lock(LockRole::writer));
        EXPECT_FALSE(first.lock(LockRole::reader));
    }
    EXPECT_TRUE(first.lock(LockRole::writer));
}

// The kernel keeps a file open a little longer than its last request on a ring.
TEST_F(FileLockTest, ClosedFileReleasesLocksOfOpenDescription) {
    FileOptions options;
    options.writable = true;
    auto file = test::open_or_throw(dir.file("disk.qed"), options);
    ASSERT_TRUE(
        FileLock::acquire(DescriptorAccess::of(*file), LockRole::writer, "disk.qed").has_value());
    const int other = ::dup(DescriptorAccess::of(*file));
    ASSERT_GE(other, 0);
    file.reset();
    EXPECT_THAT(held(), IsEmpty());
    ::close(other);
}

TEST_F(FileLockTest, AChildThatEndsLeavesTheLocksToItsParent) {
    FileOptions options;
    options.writable = true;
    auto file = test::open_or_throw(dir.file("disk.qed"), options);
    ASSERT_TRUE(
        FileLock::acquire(DescriptorAccess::of(*file), LockRole::writer, "disk.qed").has_value());
    const std::set<int> before = held();
    const pid_t child = ::fork();
    if (child == 0) {
        file.reset();
        ::_exit(0);
    }
    ASSERT_GT(child, 0);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    EXPECT_EQ(held(), before);
    EXPECT_THAT(before, Not(IsEmpty()));
}

TEST_F(FileLockTest, ABadDescriptorIsAnError) {
    const Result<void> failed = FileLock::acquire(-1, LockRole::reader, "gone");
    ASSERT_FALSE(failed);
    EXPECT_NE(failed.error().code(), Errc::locked);
}

}  // namespace
}  // namespace qed
