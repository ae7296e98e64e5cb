// SPDX-License-Identifier: Apache-2.0
// Random images with random damage: compares check with plain loops over the whole image, and
// checks that a repair keeps all readable content.
#include <algorithm>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "qed/check.hpp"
#include "support/damaged_images.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::NaiveReport;
using test::QedBuilder;

using Choices = std::vector<std::uint64_t>;

Result<CheckReport> check(BlockFile& file, Repair repair) {
    CheckOptions options;
    options.repair = repair;
    return sync_wait(check_file(file, options));
}

QedBuilder any_image(bool is_damaged) {
    const auto numbers = [](int most) {
        return rc::gen::resize(
            most, rc::gen::container<Choices>(
                      rc::gen::resize(100, rc::gen::inRange<std::uint64_t>(0, ~std::uint64_t{0}))));
    };
    const auto build = *numbers(200).as("build");
    const auto damage = is_damaged ? *numbers(12).as("damage") : Choices{};
    const auto table_clusters = *rc::gen::element(1U, 2U, 4U).as("table clusters");
    return test::damaged_image(table_clusters, build, damage);
}

void expect_same_content(const NaiveReport& before, const NaiveReport& after) {
    for (const auto& [guest, content] : before.content) {
        if (std::ranges::count(before.over_tables, guest) != 0) continue;
        const auto now = after.content.find(guest);
        RC_ASSERT(now != after.content.end());
        const bool is_same = now->second == content;  // so that a failure does not print kilobytes
        RC_ASSERT(is_same);
    }
}

RC_GTEST_PROP(CheckPropertyTest, CountsWhatPlainLoopsCount, ()) {
    QedBuilder image = any_image(true);
    const MemoryFile before(image.file);
    const NaiveReport naive = test::naive_check(image.file);
    const auto report = check(image.file, Repair::none);
    RC_ASSERT(report.has_value());
    RC_ASSERT(report->corruptions == naive.corruptions());
    RC_ASSERT(report->leaks == naive.leaks());
    RC_ASSERT(report->free_clusters == naive.free.size());
    RC_ASSERT(report->allocated_clusters == naive.data);
    RC_ASSERT(report->zero_clusters == naive.zero);
    RC_ASSERT(report->fragmented_clusters == naive.fragmented);
    RC_ASSERT(report->check_errors == 0U);
    RC_ASSERT(report->findings.size() == naive.corruptions() + (naive.leaks() > 0 ? 1U : 0U));
    RC_ASSERT(image.file == before);
}

RC_GTEST_PROP(CheckPropertyTest, SecondAndThirdCheckAfterFullRepairFindNothing, ()) {
    QedBuilder image = any_image(true);
    const NaiveReport before = test::naive_check(image.file);
    const auto repaired = check(image.file, Repair::all);
    RC_ASSERT(repaired.has_value());
    RC_ASSERT(repaired->corruptions == 0U);
    RC_ASSERT(repaired->leaks == 0U);
    RC_ASSERT(repaired->corruptions_fixed >= before.corruptions());
    RC_ASSERT(!repaired->is_dirty);

    const NaiveReport after = test::naive_check(image.file);
    RC_ASSERT(after.corruptions() == 0U);
    RC_ASSERT(after.leaks() == 0U);
    expect_same_content(before, after);

    const MemoryFile once(image.file);
    for (const Repair repair : {Repair::none, Repair::all}) {
        const auto again = check(image.file, repair);
        RC_ASSERT(again.has_value());
        RC_ASSERT(again->findings.empty());
        RC_ASSERT(again->allocated_clusters == after.data);
        RC_ASSERT(image.file == once);
    }
}

RC_GTEST_PROP(CheckPropertyTest, RepairOfEntriesLeavesEveryLeakedClusterAsItWas, ()) {
    QedBuilder image = any_image(true);
    const MemoryFile before(image.file);
    const auto repaired = check(image.file, Repair::entries);
    RC_ASSERT(repaired.has_value());
    RC_ASSERT(repaired->corruptions == 0U);
    const NaiveReport after = test::naive_check(image.file);
    RC_ASSERT(after.corruptions() == 0U);
    const NaiveReport damaged = test::naive_check(before);
    for (const std::uint64_t position : after.leaked) {
        if (!std::ranges::binary_search(damaged.leaked, position)) continue;
        const std::uint64_t at = image.offset(position);
        const bool is_same = image.file.load(at, 4096) == before.load(at, 4096);
        RC_ASSERT(is_same);
    }
}

RC_GTEST_PROP(CheckPropertyTest, ReclaimingLeaksShortensTheFileAndChangesNoGuestByte, ()) {
    QedBuilder image = any_image(false);
    const NaiveReport before = test::naive_check(image.file);
    const std::uint64_t clusters = image.clusters();
    CheckOptions options;
    options.repair = Repair::leaks;
    options.shortens = true;
    const auto repaired = sync_wait(check_file(image.file, options));
    RC_ASSERT(repaired.has_value());
    RC_ASSERT(repaired->leaks_fixed == before.leaks() + before.free.size());
    RC_ASSERT(repaired->leaks == 0U);
    const NaiveReport after = test::naive_check(image.file);
    const bool is_same = after.content == before.content;
    RC_ASSERT(is_same);
    RC_ASSERT(after.leaks() == 0U);
    RC_ASSERT(after.corruptions() == 0U);
    RC_ASSERT(image.clusters() == clusters - before.leaks() - before.free.size());
    RC_ASSERT(repaired->image_end_offset == image.file.bytes());
}

RC_GTEST_PROP(CheckPropertyTest, ReclaimingLeaksTouchesNothingWhileCorruptionRemains, ()) {
    QedBuilder image = any_image(true);
    RC_PRE(test::naive_check(image.file).corruptions() > 0U);
    const MemoryFile before(image.file);
    const auto report = check(image.file, Repair::leaks);
    RC_ASSERT(report.has_value());
    RC_ASSERT(report->leaks_fixed == 0U);
    RC_ASSERT(image.file == before);
}

}  // namespace
}  // namespace qed
