// SPDX-License-Identifier: Apache-2.0
#include "io/posix/standard_descriptors.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "qed/files.hpp"
#include "support/closed_descriptors.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::ClosedDescriptors;

/// Something that opens descriptors; returns null when it failed.
using Opener = std::function<std::shared_ptr<void>()>;

/// Runs `open` with each choice of descriptors closed. While what it opened lives, the same ones
/// are closed as before.
void expect_low_numbers_stay_free(const Opener& open) {
    for (unsigned closed = 0; closed < ClosedDescriptors::kChoices; ++closed) {
        bool has_opened = false;
        unsigned closed_meanwhile = 0;
        {
            const ClosedDescriptors closing(closed);
            const std::shared_ptr<void> opened = open();
            has_opened = opened != nullptr;
            closed_meanwhile = ClosedDescriptors::now();
        }
        EXPECT_TRUE(has_opened) << "closed: " << closed;
        EXPECT_EQ(closed_meanwhile, closed);
    }
}

std::shared_ptr<void> keep(Result<std::unique_ptr<BlockFile>> file) {
    return file ? std::shared_ptr<void>(std::move(*file)) : nullptr;
}

struct StandardDescriptorsTest : ::testing::Test {
    test::TempDir dir;
    FileOptions create{.writable = true, .create = true};

    void SetUp() override { ASSERT_TRUE(open_file(dir.file("f"), create)); }
};

TEST_F(StandardDescriptorsTest, NewFileGetsAHigherNumber) {
    expect_low_numbers_stay_free([this] {
        FileOptions options = create;
        options.exclusive = true;
        ::unlink(dir.file("new").c_str());
        return keep(open_file(dir.file("new"), options));
    });
}

TEST_F(StandardDescriptorsTest, ExistingFileGetsAHigherNumber) {
    for (const bool direct : {false, true}) {
        for (const bool mapped : {false, true}) {
            expect_low_numbers_stay_free([&, this] {
                return keep(open_file(dir.file("f"), {.direct = direct, .mapped = mapped}));
            });
        }
    }
}

TEST_F(StandardDescriptorsTest, AdoptedDescriptorIsMovedUp) {
    expect_low_numbers_stay_free([this] {
        const int given = ::open(dir.file("f").c_str(), O_RDWR | O_CLOEXEC);
        return keep(adopt_descriptor(given, "given", {.writable = true}));
    });
}

TEST_F(StandardDescriptorsTest, RingAndEventGetHigherNumbers) {
    if (!UringLoop::create({})) GTEST_SKIP() << "no io_uring here";
    expect_low_numbers_stay_free([]() -> std::shared_ptr<void> {
        auto loop = UringLoop::create({});
        return loop ? std::shared_ptr<void>(std::move(*loop)) : nullptr;
    });
}

TEST_F(StandardDescriptorsTest, FailureLeavesThemClosed) {
    for (unsigned closed = 0; closed < ClosedDescriptors::kChoices; ++closed) {
        unsigned closed_afterwards = 0;
        Errc code{};
        {
            const ClosedDescriptors closing(closed);
            const auto file = open_file(dir.file("missing"), {});
            code = file ? Errc{} : file.error().code();
            closed_afterwards = ClosedDescriptors::now();
        }
        EXPECT_EQ(code, Errc::not_found);
        EXPECT_EQ(closed_afterwards, closed);
    }
}

TEST_F(StandardDescriptorsTest, FilledDescriptorsFailAsClosedOnesDo) {
    for (unsigned closed = 1; closed < ClosedDescriptors::kChoices; ++closed) {
        bool filled = false;
        unsigned closed_afterwards = 0;
        std::vector<int> failures;
        {
            const ClosedDescriptors closing(closed);
            filled = fill_standard_descriptors();
            closed_afterwards = ClosedDescriptors::now();
            char byte = 0;
            for (int number = 0; number < 3; ++number) {
                if ((closed & (1U << static_cast<unsigned>(number))) == 0) continue;
                errno = 0;
                const auto moved =
                    number == 0 ? ::read(number, &byte, 1) : ::write(number, &byte, 1);
                failures.push_back(moved < 0 ? errno : 0);
            }
        }
        EXPECT_TRUE(filled);
        EXPECT_EQ(closed_afterwards, 0U);
        for (const int failure : failures)
            EXPECT_EQ(failure, EBADF);
    }
}

}  // namespace
}  // namespace qed
