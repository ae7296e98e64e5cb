// SPDX-License-Identifier: Apache-2.0
#include "qed/compare.hpp"

#include <latch>
#include <optional>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/ops/ops_support.hpp"

namespace qed {
namespace {

using test::Bytes;
using test::MemoryFile;
using Verdict = CompareReport::Verdict;

std::optional<std::uint64_t> first_different_sector(Bytes one, Bytes other) {
    const std::size_t size = std::max(one.size(), other.size());
    one.resize(size);
    other.resize(size);
    for (std::size_t at = 0; at < size; ++at) {
        if (one[at] != other[at]) return at / 512 * 512;
    }
    return std::nullopt;
}

RC_GTEST_PROP(CompareTest, FindsTheFirstSectorThatDiffersOrNone, ()) {
    MemoryFile one(*rc::gen::inRange<std::uint64_t>(1, 2500) * 512);
    test::scribble(one);
    MemoryFile other(one);
    if (*rc::gen::arbitrary<bool>()) test::scribble(other);
    if (*rc::gen::arbitrary<bool>()) {
        other.resize(*rc::gen::inRange<std::uint64_t>(1, 2500) * 512);
    }
    const auto left = test::open_raw_disk(one);
    const auto right = test::open_raw_disk(other);
    CompareOptions options;
    options.threads = *rc::gen::inRange(1U, 4U);

    const auto report = compare(*left, *right, options);

    RC_ASSERT(report.has_value());
    RC_ASSERT(report->sizes_differ == (one.bytes() != other.bytes()));
    const auto want = first_different_sector(test::content(*left), test::content(*right));
    RC_ASSERT((report->verdict == Verdict::content_differs) == want.has_value());
    if (want) RC_ASSERT(report->offset == *want);
}

TEST(CompareTest, IsStrictAboutSizesAndHolesWhenAsked) {
    MemoryFile one(1U << 20U);
    MemoryFile longer(2U << 20U);
    MemoryFile stored(1U << 20U);
    stored.fill(65536, 4096, std::byte{0});
    const auto left = test::open_raw_disk(one);
    CompareOptions strict;
    strict.strict = true;
    EXPECT_EQ(compare(*left, *test::open_raw_disk(longer), {})->verdict, Verdict::equal);
    EXPECT_EQ(compare(*left, *test::open_raw_disk(longer), strict)->verdict, Verdict::size_differs);
    EXPECT_EQ(compare(*left, *test::open_raw_disk(stored), {})->verdict, Verdict::equal);
    const auto report = compare(*left, *test::open_raw_disk(stored), strict);
    EXPECT_EQ(report->verdict, Verdict::status_differs);
    EXPECT_EQ(report->offset, 65536U);
}

TEST(CompareTest, IsStrictAboutWhatNoLayerHolds) {
    MemoryFile hole(1U << 20U);
    const auto raw = test::open_raw_disk(hole);
    MemoryFile file(0);
    CreateOptions create;
    create.image_bytes = 1U << 20U;
    ASSERT_TRUE(sync_wait(Image::format(file, create)));
    const auto image = test::open_image(file);
    CompareOptions strict;
    strict.strict = true;
    EXPECT_EQ(compare(*raw, *image, {})->verdict, Verdict::equal);
    EXPECT_EQ(compare(*raw, *image, strict)->verdict, Verdict::status_differs);
}

TEST(CompareTest, ReportsWhatCannotBeRead) {
    MemoryFile one(1U << 20U);
    one.fill(0, 1U << 20U, std::byte{1});
    MemoryFile other(one);
    other.unreadable = BlockFile::DataRange{500000, 500001};
    const auto left = test::open_raw_disk(one);
    const auto right = test::open_raw_disk(other);
    EXPECT_FALSE(compare(*left, *right, {}));
}

/// The read of the first byte ends only after another read has failed.
class FrontEndsLast final : public test::ForwardingFile {
public:
    using ForwardingFile::ForwardingFile;
    bool start(IoOp& op) noexcept override {
        const bool is_front = op.kind == IoKind::read && op.offset == 0;
        if (is_front) failed_.wait();
        const bool pending = ForwardingFile::start(op);
        if (op.error != 0) failed_.count_down();
        return pending;
    }

private:
    std::latch failed_{1};
};

TEST(CompareTest, TellsWhatComesFirstThoughAnotherThreadFailedBeforeIt) {
    MemoryFile one(1U << 20U);
    one.fill(0, 1U << 20U, std::byte{1});
    MemoryFile other(one);
    other.fill(5000, 1, std::byte{2});
    other.unreadable = BlockFile::DataRange{500000, 500001};
    const auto left = test::open_raw_disk(one);
    const auto right = Image::open_raw(std::make_unique<FrontEndsLast>(other)).value();
    CompareOptions options;
    options.threads = 2;
    const auto report = compare(*left, *right, options);
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->verdict, Verdict::content_differs);
    EXPECT_EQ(report->offset, 4608U);
}

TEST(CompareTest, ReportsWhatCannotBeReadBeforeTheFirstDifference) {
    MemoryFile one(1U << 20U);
    one.fill(0, 1U << 20U, std::byte{1});
    MemoryFile other(one);
    other.fill(900000, 1, std::byte{2});
    other.unreadable = BlockFile::DataRange{10, 11};
    const auto left = test::open_raw_disk(one);
    const auto right = test::open_raw_disk(other);
    for (const unsigned threads : {1U, 2U, 4U}) {
        CompareOptions options;
        options.threads = threads;
        EXPECT_FALSE(compare(*left, *right, options));
    }
}

}  // namespace
}  // namespace qed
