// SPDX-License-Identifier: Apache-2.0
// Repairs that are interrupted by a failure of each I/O, and by a power cut at each moment. The
// guest reads the same data as before, and the next repair finishes the work.
#include <algorithm>

#include <gtest/gtest.h>

#include "support/crash_states.hpp"
#include "support/damaged_images.hpp"
#include "unit/formats/qed/check/check_support.hpp"

namespace qed {
namespace {

using test::FileChange;
using test::MemoryFile;
using test::NaiveReport;
using test::QedBuilder;
using test::try_check;

constexpr std::uint64_t kImagesToFail = 8;
constexpr std::uint64_t kImagesToCut = 24;

std::vector<std::uint64_t> numbers(std::mt19937_64& random, std::size_t most) {
    std::vector<std::uint64_t> out(random() % (most + 1));
    for (std::uint64_t& number : out)
        number = random();
    return out;
}

QedBuilder random_image(std::uint64_t seed, bool is_damaged) {
    std::mt19937_64 random(seed);
    const auto build = numbers(random, 80);
    const auto damage = is_damaged ? numbers(random, 6) : std::vector<std::uint64_t>{};
    QedBuilder image = test::damaged_image(1U << (seed % 3), build, damage);
    if (!is_damaged) image.add_leak(seed % 3);
    return image;
}

bool is_marked(const MemoryFile& file) {
    return decode_header(file.load(0, kHeaderBytes))->needs_check();
}

/// Whether all data that was readable in `before` reads the same now.
bool keeps_content(const NaiveReport& before, const NaiveReport& now) {
    return std::ranges::all_of(before.content, [&](const auto& cluster) {
        if (std::ranges::count(before.over_tables, cluster.first) != 0) return true;
        const auto found = now.content.find(cluster.first);
        return found != now.content.end() && found->second == cluster.second;
    });
}

/// Checks the promises for `file` after an interrupted repair of `before`.
void expect_no_worse(MemoryFile& file, const NaiveReport& before, const std::string& where) {
    const NaiveReport now = test::naive_check(file);
    ASSERT_TRUE(keeps_content(before, now)) << where;
    ASSERT_TRUE(now.corruptions() == 0 || before.corruptions() != 0) << where;
    const auto finished = try_check(file, Repair::all);
    ASSERT_TRUE(finished.has_value()) << where << ": " << finished.error().message();
    ASSERT_EQ(finished->corruptions, 0U) << where;
    ASSERT_FALSE(is_marked(file)) << where;
    const NaiveReport after = test::naive_check(file);
    ASSERT_EQ(after.corruptions() + after.leaks(), 0U) << where;
    ASSERT_TRUE(keeps_content(before, after)) << where;
}

/// Repairs copies of `image`, and fails request 1, then 2, then 3 ..., until a repair ends without
/// a failure. Returns the number of requests.
std::uint64_t fail_each_request(const MemoryFile& image, Repair repair, MemoryFile::Fault fault) {
    const NaiveReport before = test::naive_check(image);
    for (fault.nth = 1;; ++fault.nth) {
        MemoryFile file(image);
        file.fault = fault;
        const auto report = try_check(file, repair);
        if (file.requests < fault.nth) return fault.nth - 1;
        file.fault.reset();
        const std::string where = "request " + std::to_string(fault.nth);
        const bool is_reported = !report || report->check_errors + report->corruptions > 0;
        if (!is_reported) {
            // The repair retried a failed read with success, so the work is complete.
            const NaiveReport now = test::naive_check(file);
            EXPECT_EQ(now.corruptions(), 0U) << where;
            EXPECT_TRUE(repair == Repair::entries || now.leaks() == 0) << where;
        }
        expect_no_worse(file, before, where);
        if (testing::Test::HasFailure()) return fault.nth;
    }
}

class RepairFailureTest : public testing::TestWithParam<Repair> {};

TEST_P(RepairFailureTest, EachFailingRequestIsReportedAndLosesNothing) {
    const bool is_damaged = GetParam() != Repair::leaks;
    std::uint64_t interrupted = 0;
    for (std::uint64_t seed = 0; seed < kImagesToFail; ++seed) {
        const QedBuilder image = random_image(seed, is_damaged);
        for (const bool sticky : {false, true}) {
            for (const bool tears : {false, true}) {
                const MemoryFile::Fault fault{.error = EIO, .sticky = sticky, .tears = tears};
                interrupted += fail_each_request(image.file, GetParam(), fault);
                ASSERT_FALSE(HasFailure()) << "image " << seed;
            }
        }
    }
    EXPECT_GT(interrupted, 500U);
}

TEST_P(RepairFailureTest, PowerCutAtAnyMomentLosesNothing) {
    const bool is_damaged = GetParam() != Repair::leaks;
    std::mt19937_64 random(7);
    std::uint64_t states = 0;
    for (std::uint64_t seed = 0; seed < kImagesToCut; ++seed) {
        QedBuilder image = random_image(seed, is_damaged);
        const MemoryFile before(image.file);
        const NaiveReport naive = test::naive_check(before);
        std::vector<FileChange> history;
        image.file.history = &history;
        ASSERT_TRUE(try_check(image.file, GetParam()).has_value());
        for (std::size_t cut = 0; cut <= history.size(); ++cut) {
            for (int sample = 0; sample < 2; ++sample, ++states) {
                MemoryFile file = test::crash_state(before, history, cut, random);
                const std::string where =
                    "image " + std::to_string(seed) + ", cut " + std::to_string(cut);
                if (test::naive_check(file).corruptions() != 0 && cut > 0) {
                    ASSERT_TRUE(is_marked(file) || file == before) << where;
                }
                expect_no_worse(file, naive, where);
                ASSERT_FALSE(HasFatalFailure());
            }
        }
    }
    EXPECT_GT(states, 500U);
}

INSTANTIATE_TEST_SUITE_P(Repairs, RepairFailureTest,
                         testing::Values(Repair::leaks, Repair::entries, Repair::all),
                         [](const auto& repair) {
                             switch (repair.param) {
                                 case Repair::leaks:
                                     return "leaks";
                                 case Repair::entries:
                                     return "entries";
                                 default:
                                     return "all";
                             }
                         });

}  // namespace
}  // namespace qed
