// SPDX-License-Identifier: Apache-2.0
#include "qed/error.hpp"

#include <cerrno>
#include <set>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "support/failing_new.hpp"
#include "support/replace_new.hpp"

namespace qed {
namespace {

constexpr int kCodes = static_cast<int>(Errc::cancelled) + 1;

TEST(ErrorTest, KeepsCodeErrnoAndMessage) {
    const Error error(Errc::no_space, "disk full at 0x1000", EDQUOT);

    EXPECT_EQ(error.code(), Errc::no_space);
    EXPECT_EQ(error.sys_errno(), EDQUOT);
    EXPECT_EQ(error.message(), "disk full at 0x1000");
}

TEST(ErrorTest, EveryCodeHasAUniqueNameAndAnErrno) {
    std::set<std::string_view> names;
    for (int i = 0; i < kCodes; ++i) {
        const auto code = static_cast<Errc>(i);
        names.insert(to_string(code));
        EXPECT_NE(Error(code, "").sys_errno(), 0) << to_string(code);
    }
    EXPECT_EQ(names.size(), static_cast<std::size_t>(kCodes));
    EXPECT_EQ(to_string(Errc::corrupt_metadata), "corrupt_metadata");
    EXPECT_EQ(to_string(Errc::cancelled), "cancelled");
    EXPECT_EQ(to_string(static_cast<Errc>(kCodes)), "unknown");
}

TEST(ErrorTest, ErrnosOfTheSystemBecomeTheirCode) {
    const std::pair<int, Errc> expected[] = {
        {EIO, Errc::io_error},
        {ENOSPC, Errc::no_space},
        {EDQUOT, Errc::no_space},
        {EFBIG, Errc::no_space},
        {ENOENT, Errc::not_found},
        {EACCES, Errc::permission_denied},
        {EINVAL, Errc::invalid_argument},
        {EOPNOTSUPP, Errc::unsupported},
        {EROFS, Errc::read_only},
        {ENOMEM, Errc::out_of_memory},
        {EEXIST, Errc::already_exists},
        {EREMOTEIO, Errc::io_error},
    };
    for (const auto& [value, code] : expected) {
        const Error error = Error::from_errno(value, "x");
        EXPECT_EQ(error.code(), code) << value;
        EXPECT_EQ(error.sys_errno(), value);
    }
}

TEST(ErrorTest, GuestsSeeAnIoErrorForDamageAndNoSpaceForAFullDisk) {
    EXPECT_EQ(Error(Errc::corrupt_metadata, "").sys_errno(), EIO);
    EXPECT_EQ(Error(Errc::write_stopped, "").sys_errno(), EIO);
    EXPECT_EQ(Error(Errc::no_space, "").sys_errno(), ENOSPC);
    EXPECT_EQ(Error(Errc::out_of_range, "").sys_errno(), EINVAL);
}

TEST(ErrorTest, ContextIsPutInFrontAndChangesNothingElse) {
    const Error error = Error::from_errno(EIO, "read failed")
                            .with_context("table at 0x40000")
                            .with_context("a.qed");

    EXPECT_EQ(error.message(), "a.qed: table at 0x40000: read failed");
    EXPECT_EQ(error.sys_errno(), EIO);
    EXPECT_EQ(error.code(), Errc::io_error);
}

TEST(ErrorTest, CloneHasTheSameMessageAndIsIndependent) {
    Error copy = Error::out_of_memory();
    {
        const Error original(Errc::locked, "image.qed is in use", EBUSY);
        copy = original.clone();
    }
    EXPECT_EQ(copy.code(), Errc::locked);
    EXPECT_EQ(copy.sys_errno(), EBUSY);
    EXPECT_EQ(copy.message(), "image.qed is in use");
}

TEST(ErrorTest, MovingReplacesAndFreesTheOldError) {
    Error error(Errc::io_error, std::string(1000, 'a'));
    error = Error(Errc::no_space, std::string(1000, 'b'));
    Error moved = std::move(error);
    moved = Error::out_of_memory();
    moved = Error(Errc::locked, "again");
    EXPECT_EQ(moved.code(), Errc::locked);
}

TEST(ErrorTest, BecomesOutOfMemoryWhenItCannotBeAllocated) {
    std::string message(100, 'm');
    const test::FailingNew failing(0);
    const Error error(Errc::io_error, std::move(message));
    EXPECT_EQ(error.code(), Errc::out_of_memory);
    EXPECT_EQ(error.sys_errno(), ENOMEM);
    EXPECT_EQ(error.message(), "out of memory");
}

TEST(ErrorTest, OutOfMemoryAllocatesNothing) {
    const test::FailingNew failing(0);
    const Error first = Error::out_of_memory();
    const Error second = first.clone();
    const Error third = Error::out_of_memory().with_context("a phrase that is longer than small");
    EXPECT_EQ(second.code(), Errc::out_of_memory);
    EXPECT_EQ(third.message(), "out of memory");
}

TEST(ErrorTest, ContextThatCannotBeAllocatedLeavesTheErrorAsItIs) {
    Error error(Errc::io_error, "the disk of the machine has gone away", EIO);
    const test::FailingNew failing(0);
    const Error same = std::move(error).with_context("while reading the header of the image");
    EXPECT_EQ(same.code(), Errc::io_error);
    EXPECT_EQ(same.message(), "the disk of the machine has gone away");
}

TEST(ErrorTest, CloneThatCannotBeAllocatedIsOutOfMemory) {
    const Error error(Errc::io_error, "the disk of the machine has gone away", EIO);
    for (const long allocations : {0, 1}) {  // the message, then the error itself
        const test::FailingNew failing(allocations);
        EXPECT_EQ(error.clone().code(), Errc::out_of_memory);
    }
}

TEST(ErrorTest, MessagesShowControlCharactersOfHostileNamesAsNumbers) {
    Error error(Errc::not_found, "no '\x1b[2J\nqed: \x7f\xc2\x9b'");
    EXPECT_EQ(error.message(), R"(no '\x1b[2J\x0aqed: \x7f\xc2\x9b')");
    const Error wrapped = std::move(error).with_context("a\rb");
    EXPECT_EQ(wrapped.message(), R"(a\x0db: no '\x1b[2J\x0aqed: \x7f\xc2\x9b')");
}

TEST(ErrorTest, PrintableTextKeepsLettersOfEveryLanguage) {
    EXPECT_EQ(printable("Stra\xc3\x9f"
                        "e \xe2\x82\xac \xff"),
              "Stra\xc3\x9f"
              "e \xe2\x82\xac \xff");
}

TEST(ErrorTest, ResultsPassTheErrorOn) {
    const auto inner = []() -> Result<int> { return fail(Errc::not_qed, "no magic"); };
    const auto outer = [&inner]() -> Result<void> {
        Result<int> value = inner();
        if (!value) return pass(value);
        return {};
    };
    const Result<void> result = outer();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Errc::not_qed);
    EXPECT_EQ(result.error().message(), "no magic");
}

}  // namespace
}  // namespace qed
