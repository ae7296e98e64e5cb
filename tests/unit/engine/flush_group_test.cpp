// SPDX-License-Identifier: Apache-2.0
#include "engine/flush_group.hpp"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

#include "support/held_file.hpp"
#include "support/memory_file.hpp"
#include "support/step_executor.hpp"

namespace qed {
namespace {

using test::Running;

/// Notes what it is told.
class NotingObserver final : public FlushObserver {
public:
    void flush_begins() noexcept override { log += 'b'; }
    void flush_succeeded() noexcept override { log += 's'; }
    std::string log;
};

/// A flush group whose flushes end when the test says so.
class FlushGroupTest : public testing::Test {
protected:
    FlushGroupTest() {
        file_.held_kind = IoKind::flush;
        group_.add_observer(observer_);
    }
    Running<Result<void>> start() { return {executor_, group_.flush()}; }
    void end_flush(int error = 0) {
        file_.end_read(error);
        executor_.run();
    }

    test::MemoryFile memory_;
    test::HeldFile file_{memory_};
    test::StepExecutor executor_;
    NotingObserver observer_;
    FlushGroup group_{file_};
};

TEST_F(FlushGroupTest, CallersDuringAFlushShareTheNextOne) {
    Running<Result<void>> first = start();
    Running<Result<void>> second = start();
    Running<Result<void>> third = start();
    ASSERT_EQ(file_.held(), 1U);

    end_flush();
    EXPECT_TRUE(first.done());
    EXPECT_FALSE(second.done()) << "the first flush began before this caller arrived";
    EXPECT_FALSE(third.done());
    ASSERT_EQ(file_.held(), 1U);

    end_flush();
    EXPECT_TRUE(second.result());
    EXPECT_TRUE(third.result());
    EXPECT_EQ(group_.count(), 2U);
}

TEST_F(FlushGroupTest, ObserversLearnOfTheBeginAndTheSuccess) {
    Running<Result<void>> flush = start();
    EXPECT_EQ(observer_.log, "b");
    end_flush();
    EXPECT_EQ(observer_.log, "bs");
}

TEST_F(FlushGroupTest, ObserversLearnOfNoSuccessWhenTheFlushFails) {
    Running<Result<void>> flush = start();
    end_flush(EIO);
    EXPECT_FALSE(flush.result());
    EXPECT_EQ(observer_.log, "b");
}

TEST_F(FlushGroupTest, AFailedFlushFailsEveryoneWhoWaitsAndEveryLaterFlush) {
    Running<Result<void>> leader = start();
    Running<Result<void>> second = start();
    Running<Result<void>> third = start();
    end_flush(EIO);
    ASSERT_FALSE(leader.result());
    EXPECT_EQ(leader.result().error().sys_errno(), EIO);
    ASSERT_FALSE(second.result());
    EXPECT_EQ(second.result().error().code(), Errc::write_stopped);
    ASSERT_FALSE(third.result());
    EXPECT_EQ(third.result().error().code(), Errc::write_stopped);

    Running<Result<void>> later = start();
    executor_.run();
    ASSERT_TRUE(later.done()) << "the file is not asked again";
    EXPECT_EQ(later.result().error().code(), Errc::write_stopped);
    EXPECT_EQ(group_.check_not_failed().error().code(), Errc::write_stopped);
}

TEST_F(FlushGroupTest, AStoppedGroupDoesNotAskTheFile) {
    group_.stop();
    Running<Result<void>> flush = start();
    ASSERT_TRUE(flush.done());
    EXPECT_EQ(flush.result().error().code(), Errc::write_stopped);
    EXPECT_EQ(file_.held(), 0U);
}

}  // namespace
}  // namespace qed
