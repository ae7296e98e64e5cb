// SPDX-License-Identifier: Apache-2.0
#include "engine/file_extender.hpp"

#include <cerrno>

#include <gtest/gtest.h>

#include "support/held_file.hpp"
#include "support/memory_file.hpp"
#include "support/step_executor.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::Running;

constexpr std::uint64_t kMiB = 1U << 20;

TEST(FileExtenderTest, ExtendingGoesAheadByAnEighthOfTheEnd) {
    MemoryFile file(8 * kMiB);
    FileExtender extender(file);
    extender.start_at(file.bytes());
    ASSERT_TRUE(sync_wait(extender.extend_to(16 * kMiB)));
    EXPECT_EQ(file.bytes(), 18 * kMiB);
    EXPECT_EQ(extender.bytes(), 18 * kMiB);
}

TEST(FileExtenderTest, ExtendingGoesAheadByAtMost16MiB) {
    MemoryFile file;
    FileExtender extender(file);
    ASSERT_TRUE(sync_wait(extender.extend_to(1024 * kMiB)));
    EXPECT_EQ(file.bytes(), 1040 * kMiB);
}

TEST(FileExtenderTest, SpaceThatIsThereIsNotAskedFor) {
    MemoryFile file(8 * kMiB);
    FileExtender extender(file);
    extender.start_at(file.bytes());
    ASSERT_TRUE(sync_wait(extender.extend_to(8 * kMiB)));
    EXPECT_EQ(file.requests, 0U);
}

TEST(FileExtenderTest, RequestsThatNeedTheSameSpaceShareOneExtension) {
    MemoryFile memory;
    test::HeldFile file(memory);
    file.held_kind = IoKind::truncate;
    FileExtender extender(file);
    test::StepExecutor executor;
    Running<Result<void>> first(executor, extender.extend_to(8 * kMiB));
    Running<Result<void>> second(executor, extender.extend_to(8 * kMiB + 4096));
    ASSERT_EQ(file.held(), 1U);
    EXPECT_EQ(extender.bytes(), 0U) << "the extension has not succeeded yet";
    file.end_read();
    executor.run();
    EXPECT_TRUE(first.result());
    EXPECT_TRUE(second.result());
    EXPECT_EQ(memory.requests, 1U);
}

TEST(FileExtenderTest, AFailedExtensionIsReportedAndTriedAgainByTheNextRequest) {
    MemoryFile file;
    FileExtender extender(file);
    file.fault = MemoryFile::Fault{.nth = 1, .error = EIO};
    const auto failed = sync_wait(extender.extend_to(kMiB));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().sys_errno(), EIO);
    EXPECT_EQ(extender.bytes(), 0U);
    EXPECT_TRUE(sync_wait(extender.extend_to(kMiB)));
    EXPECT_GE(extender.bytes(), kMiB);
}

TEST(FileExtenderTest, WhereThereIsNoSpaceAheadTheSizeThatIsNeededIsEnough) {
    for (const int error : {EFBIG, ENOSPC, EDQUOT}) {
        MemoryFile file;
        FileExtender extender(file);
        file.fault = MemoryFile::Fault{.nth = 1, .error = error};
        ASSERT_TRUE(sync_wait(extender.extend_to(16 * kMiB))) << error;
        EXPECT_EQ(file.bytes(), 16 * kMiB) << error;
        EXPECT_EQ(extender.bytes(), 16 * kMiB) << error;
    }
}

}  // namespace
}  // namespace qed
