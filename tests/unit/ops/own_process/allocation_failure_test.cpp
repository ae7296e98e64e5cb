// SPDX-License-Identifier: Apache-2.0
// Every allocation of every operation fails once: the caller gets an error, never an exception or a
// crash, and flushed data is intact. This program replaces operator new.
#include <array>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "qed/check.hpp"
#include "qed/compact.hpp"
#include "qed/compare.hpp"
#include "qed/convert.hpp"
#include "qed/files.hpp"
#include "qed/image.hpp"
#include "qed/measure.hpp"
#include "qed/rebase.hpp"
#include "support/replace_new.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::FailingNew;

constexpr std::uint64_t kDiskBytes = 8U << 20;
constexpr std::array<std::byte, 4096> kOld = [] {
    std::array<std::byte, 4096> data{};
    data.fill(std::byte{0x11});
    return data;
}();

// Flushes would only cost time in this test.
OpenOptions quick_open(bool writable) {
    OpenOptions options;
    options.writable = writable;
    options.ignore_flush = true;
    return options;
}
FileOptions quick_file(bool create = false) {
    FileOptions options;
    options.writable = true;
    options.create = create;
    options.ignore_flush = true;
    return options;
}

class AllocationFailureTest : public testing::Test {
protected:
    void SetUp() override {
        CreateOptions create;
        create.image_bytes = kDiskBytes;
        create.cluster_bytes = 4096;
        create.table_clusters = 1;
        ASSERT_TRUE(Image::create(base_, create));
        write_old(base_);
        create.backing_name = "base.qed";
        create.backing_format = BackingFormat::qed;
        ASSERT_TRUE(Image::create(top_, create));
        write_old(top_);
    }

    static void write_old(const std::string& path) {
        auto image = Image::open(path, quick_open(true));
        ASSERT_TRUE(image) << image.error().message();
        ASSERT_TRUE((*image)->write_blocking({0}, kOld));
        ASSERT_TRUE((*image)->write_blocking({3U << 20}, kOld));
        ASSERT_TRUE((*image)->close());
    }

    /// Runs `operation` on fresh copies of the images and fails its first allocation, then the
    /// second, and so on, until it succeeds.
    template <class Operation>
    void fail_each_allocation(Operation operation) {
        constexpr long kMax = 5000;
        for (long count = 0; count < kMax; ++count) {
            restore();
            bool done = false;
            try {
                const FailingNew failing(count);
                done = operation().has_value();
            } catch (const std::bad_alloc&) {
                ADD_FAILURE() << "an exception came out, allocation " << count;
            }
            expect_old_content(count);
            if (HasFailure()) return;
            if (done) {
                std::printf("%ld allocations failed, one after the other\n", count);
                EXPECT_GT(count, 3);
                return;
            }
        }
        FAIL() << "still failing after " << kMax << " allocations";
    }

    void restore() {
        using std::filesystem::copy_file;
        constexpr auto kReplace = std::filesystem::copy_options::overwrite_existing;
        copy_file(top_, work_, kReplace);
        std::filesystem::remove(target_);
    }

    void expect_old_content(long count) {
        auto image = Image::open(work_, quick_open(true));  // repairs a dirty one
        ASSERT_TRUE(image) << "allocation " << count << ": " << image.error().message();
        std::array<std::byte, 4096> now{};
        ASSERT_TRUE((*image)->read_blocking({3U << 20}, now));
        EXPECT_EQ(now, kOld) << "allocation " << count;
        ASSERT_TRUE((*image)->close());
        auto file = open_file(work_, FileOptions{});
        ASSERT_TRUE(file);
        const auto report = sync_wait(check_file(**file, CheckOptions{}));
        ASSERT_TRUE(report) << report.error().message();
        EXPECT_EQ(report->corruptions, 0U) << "allocation " << count;
    }

    test::TempDir folder_;
    const std::string base_ = folder_.file("base.qed");
    const std::string top_ = folder_.file("top.qed");
    const std::string work_ = folder_.file("work.qed");
    const std::string target_ = folder_.file("target.qed");
};

TEST_F(AllocationFailureTest, OpenAndReadThroughAChain) {
    fail_each_allocation([this]() -> Result<void> {
        auto image = Image::open(work_, OpenOptions{});
        if (!image) return pass(image);
        std::array<std::byte, 9000> buffer{};
        for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{100'000}, kDiskBytes / 2})
            QED_CHECK((*image)->read_blocking({at}, buffer));
        auto extent = (*image)->map_blocking({0}, kDiskBytes);
        if (!extent) return pass(extent);
        return (*image)->close();
    });
}

TEST_F(AllocationFailureTest, WriteZeroDiscardAndFlush) {
    fail_each_allocation([this]() -> Result<void> {
        auto image = Image::open(work_, quick_open(true));
        if (!image) return pass(image);
        static constexpr std::array<std::byte, 9000> kNew{};
        QED_CHECK((*image)->write_blocking({1000}, kNew));
        QED_CHECK((*image)->write_blocking({5U << 20}, kNew));
        QED_CHECK((*image)->write_zeroes_blocking({700'000}, 20'000));
        QED_CHECK((*image)->discard_blocking({0}, 8192));
        QED_CHECK((*image)->flush_blocking());
        return (*image)->close();
    });
}

TEST_F(AllocationFailureTest, DeferredWrites) {
    fail_each_allocation([this]() -> Result<void> {
        OpenOptions options = quick_open(true);
        options.order = WriteOrder::deferred;
        auto image = Image::open(work_, options);
        if (!image) return pass(image);
        static constexpr std::array<std::byte, 5000> kNew{};
        for (std::uint64_t at = 500'000; at < 1'000'000; at += 100'000)
            QED_CHECK((*image)->write_blocking({at}, kNew));
        QED_CHECK((*image)->flush_blocking());
        return (*image)->close();
    });
}

TEST_F(AllocationFailureTest, CreateAnOverlay) {
    fail_each_allocation([this]() -> Result<void> {
        CreateOptions create;
        create.backing_name = "base.qed";
        create.backing_format = BackingFormat::qed;
        return Image::create(target_, create);
    });
}

TEST_F(AllocationFailureTest, ConvertAChain) {
    for (const unsigned copies : {1U, 2U}) {
        fail_each_allocation([this, copies]() -> Result<void> {
            auto source = Image::open(work_, OpenOptions{});
            if (!source) return pass(source);
            auto target = open_file(target_, quick_file(true));
            if (!target) return pass(target);
            CreateOptions create;
            create.image_bytes = kDiskBytes;
            ConvertOptions convert;
            convert.copies = copies;
            const std::array<Image*, 1> sources = {source->get()};
            auto report = convert_to_image(sources, **target, create, convert);
            if (!report) return pass(report);
            return (*source)->close();
        });
    }
}

TEST_F(AllocationFailureTest, CompareChains) {
    for (const unsigned threads : {1U, 2U}) {
        fail_each_allocation([this, threads]() -> Result<void> {
            auto one = Image::open(work_, OpenOptions{});
            if (!one) return pass(one);
            auto other = Image::open(top_, OpenOptions{});
            if (!other) return pass(other);
            CompareOptions options;
            options.threads = threads;
            auto report = compare(**one, **other, options);
            if (!report) return pass(report);
            EXPECT_EQ(report->verdict, CompareReport::Verdict::equal);
            return {};
        });
    }
}

TEST_F(AllocationFailureTest, Rebase) {
    fail_each_allocation([this]() -> Result<void> {
        auto overlay = Image::open(work_, quick_open(true));
        if (!overlay) return pass(overlay);
        auto report = prepare_rebase(**overlay, nullptr, RebaseOptions{});
        if (!report) return pass(report);
        if (auto named = (*overlay)->set_backing_name_blocking(nullptr, {}); !named) return named;
        return (*overlay)->close();
    });
}

TEST_F(AllocationFailureTest, Compact) {
    fail_each_allocation([this]() -> Result<void> {
        auto report = compact(work_, CompactOptions{});
        if (!report) return pass(report);
        return {};
    });
}

TEST_F(AllocationFailureTest, Measure) {
    fail_each_allocation([this]() -> Result<void> {
        auto source = Image::open(work_, OpenOptions{});
        if (!source) return pass(source);
        auto measured = measure_qed(**source, (*source)->geometry());
        if (!measured) return pass(measured);
        return {};
    });
}

TEST_F(AllocationFailureTest, CheckAndRepair) {
    auto file = open_file(top_, quick_file());
    ASSERT_TRUE(file);
    // A cluster that is named twice, one past the end, and one that leaks.
    auto bytes = (*file)->size();
    ASSERT_TRUE(bytes);
    ASSERT_TRUE((*file)->truncate(*bytes + 8192).run_blocking());
    std::array<std::byte, 8> entry{};
    const FileOffset table{2 * 4096};
    ASSERT_TRUE((*file)->read(table, entry).run_blocking());
    ASSERT_TRUE((*file)->write(table + 8 * 100, entry).run_blocking());
    entry.fill(std::byte{0x70});
    ASSERT_TRUE((*file)->write(table + 8 * 101, entry).run_blocking());
    file->reset();

    const auto check_and_mend = [this]() -> Result<void> {
        auto damaged = open_file(work_, quick_file());
        if (!damaged) return pass(damaged);
        CheckOptions options;
        auto report = sync_wait(check_file(**damaged, options));
        if (!report) return pass(report);
        options.repair = Repair::all;
        report = sync_wait(check_file(**damaged, options));
        if (!report) return pass(report);
        return {};
    };
    fail_each_allocation([&]() -> Result<void> {
        Result<void> done = check_and_mend();
        if (done) return done;
        // The next repair with enough memory finishes the work.
        const FailingNew never(-1);
        EXPECT_TRUE(check_and_mend());
        return done;
    });
}

}  // namespace
}  // namespace qed
