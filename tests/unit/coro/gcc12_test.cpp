// SPDX-License-Identifier: Apache-2.0
// g++ 12 destroys some temporaries of an expression with co_await twice, and copies others.
// CONTRIBUTING.md calls the forms below safe; each must destroy every object exactly once, with
// every compiler.
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include <gtest/gtest.h>

#include "qed/block_file.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"
#include "qed/task.hpp"

namespace qed {
namespace {

int living = 0;

/// An owner, represented by a count of living objects.
class Owner {
public:
    explicit Owner(int value) : value_(std::make_unique<int>(value)) { ++living; }
    Owner(Owner&& other) noexcept : value_(std::move(other.value_)) { ++living; }
    Owner& operator=(Owner&&) = default;
    ~Owner() { --living; }
    int value() const { return value_ ? *value_ : -1; }

private:
    std::unique_ptr<int> value_;
};

struct Options {
    Owner owner;
    int extra = 0;
};

struct PlainOptions {
    const char* name = "";
    int extra = 0;
};

Task<Result<int>> take_options(Options options) {
    co_await yield();
    co_return options.owner.value() + options.extra;
}
Task<Result<int>> take_plain(PlainOptions options) {
    co_await yield();
    co_return static_cast<int>(std::string(options.name).size()) + options.extra;
}
Task<Result<int>> take_owner(Owner owner) {
    co_await yield();
    co_return owner.value();
}
Task<Result<int>> take_span(std::span<const int> values) {
    co_await yield();
    co_return values.back();
}

class Gcc12Test : public ::testing::Test {
protected:
    void TearDown() override { EXPECT_EQ(living, 0); }
};

TEST_F(Gcc12Test, ANamedOwningAggregateIsSafe) {
    const auto body = []() -> Task<Result<int>> {
        Options options{Owner(40), 2};
        Result<int> result = co_await take_options(std::move(options));
        co_return result;
    };
    EXPECT_EQ(sync_wait(body()), 42);
}

TEST_F(Gcc12Test, ATrivialAggregateIsSafe) {
    const auto body = []() -> Task<Result<int>> {
        Result<int> result = co_await take_plain(PlainOptions{"four", 2});
        co_return result;
    };
    EXPECT_EQ(sync_wait(body()), 6);
}

TEST_F(Gcc12Test, AClassWithAConstructorIsSafeAsATemporary) {
    const auto body = []() -> Task<Result<int>> {
        Result<int> result = co_await take_owner(Owner(5));
        co_return result;
    };
    EXPECT_EQ(sync_wait(body()), 5);
}

TEST_F(Gcc12Test, ASpanIsSafe) {
    const auto body = []() -> Task<Result<int>> {
        const std::vector<int> values{1, 2, 3};
        Result<int> result = co_await take_span(values);
        co_return result;
    };
    EXPECT_EQ(sync_wait(body()), 3);
}

TEST_F(Gcc12Test, AnOwningResultIsMovedOutOnce) {
    const auto make = []() -> Task<Result<Owner>> {
        co_await yield();
        co_return Owner(9);
    };
    const auto body = [&make]() -> Task<Result<int>> {
        Result<Owner> made = co_await make();
        co_return made->value();
    };
    EXPECT_EQ(sync_wait(body()), 9);
}

TEST_F(Gcc12Test, IfStatementIsSafe) {
    const auto body = [](bool wait) -> Task<Result<int>> {
        std::optional<Owner> owner;
        if (wait) {
            Result<int> value = co_await take_owner(Owner(1));
            owner.emplace(*value);
        } else {
            owner.emplace(2);
        }
        co_return owner->value();
    };
    EXPECT_EQ(sync_wait(body(true)), 1);
    EXPECT_EQ(sync_wait(body(false)), 2);
}

TEST_F(Gcc12Test, ANamedTaskOfAnOptionalIsAwaitedNotCopied) {
    const auto body = []() -> Task<Result<int>> {
        std::optional<Task<Result<int>>> maybe(take_owner(Owner(8)));
        Task<Result<int>>& task = *maybe;
        Result<int> result = co_await task;
        co_return result;
    };
    EXPECT_EQ(sync_wait(body()), 8);
}

TEST_F(Gcc12Test, ContinueDestroysLocals) {
    const auto body = []() -> Task<Result<int>> {
        int most = 0;
        for (int i = 0; i < 4; ++i) {
            Owner owner(i);
            co_await yield();
            most = std::max(most, living);
            if (i % 2 == 0) continue;
            co_await yield();
        }
        co_return most;
    };
    EXPECT_EQ(sync_wait(body()), 1);
}

// Types of the public interface that callers await directly.
static_assert(std::is_trivially_destructible_v<IoOp>);
static_assert(std::is_trivially_destructible_v<IoBatch>);
static_assert(std::is_trivially_destructible_v<FileOptions>);
static_assert(std::is_trivially_destructible_v<UringOptions>);
static_assert(std::is_trivially_destructible_v<OpenOptions>);
static_assert(std::is_trivially_destructible_v<CreateOptions>);

}  // namespace
}  // namespace qed
