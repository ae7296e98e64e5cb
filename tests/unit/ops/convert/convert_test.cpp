// SPDX-License-Identifier: Apache-2.0
#include "qed/convert.hpp"

#include <cerrno>
#include <latch>
#include <memory>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "qed/check.hpp"
#include "unit/ops/ops_support.hpp"

namespace qed {
namespace {

using test::Bytes;
using test::MemoryFile;
using testing::HasSubstr;

CreateOptions geometry_of(std::uint32_t cluster_bytes, std::uint32_t table_clusters) {
    CreateOptions options;
    options.cluster_bytes = cluster_bytes;
    options.table_clusters = table_clusters;
    return options;
}

ConvertOptions random_options() {
    ConvertOptions options;
    options.sparse_bytes = *rc::gen::element<std::uint64_t>(0, 512, 4096, 65536, 1048576);
    options.copies = *rc::gen::inRange(1U, 4U);
    options.out_of_order = *rc::gen::arbitrary<bool>();
    return options;
}

Result<ConvertReport> to_qed(Image& source, MemoryFile& file, const CreateOptions& create,
                             const ConvertOptions& options = {}) {
    Image* const sources[] = {&source};
    return convert_to_image(sources, file, create, options);
}

Result<ConvertReport> to_raw(Image& source, MemoryFile& file, const ConvertOptions& options = {}) {
    Image* const sources[] = {&source};
    return convert_to_raw(sources, file, options);
}

void expect_sound(MemoryFile& file) {
    const auto report = sync_wait(check_file(file, {}));
    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->corruptions + report->leaks + report->check_errors, 0U);
}

RC_GTEST_PROP(ConvertTest, GivesTheSameBytesThereAndBackForEveryGeometry, ()) {
    MemoryFile raw(*rc::gen::inRange<std::uint64_t>(1, 2000) * 512);
    test::scribble(raw);
    const auto disk = test::open_raw_disk(raw);
    const Bytes want = test::content(*disk);
    const auto cluster = *rc::gen::element(4096U, 65536U, 1048576U);
    const auto table = *rc::gen::element(1U, 4U, 16U);

    MemoryFile file;
    const auto made = to_qed(*disk, file, geometry_of(cluster, table), random_options());
    RC_ASSERT(made.has_value());
    expect_sound(file);
    const auto image = test::open_image(file);
    RC_ASSERT(test::content(*image) == want);

    MemoryFile back;
    ConvertOptions options = random_options();
    options.target_is_zero = true;
    RC_ASSERT(to_raw(*image, back, options).has_value());
    RC_ASSERT(back.bytes() == want.size());
    RC_ASSERT(back.load(0, want.size()) == want);
}

RC_GTEST_PROP(ConvertTest, OverwritesWhatATargetHeld, ()) {
    MemoryFile raw(*rc::gen::inRange<std::uint64_t>(1, 1000) * 512);
    test::scribble(raw);
    const auto disk = test::open_raw_disk(raw);
    const Bytes want = test::content(*disk);
    const std::uint64_t room = raw.bytes() + *rc::gen::inRange<std::uint64_t>(0, 400) * 512;

    MemoryFile file;
    CreateOptions create = geometry_of(*rc::gen::element(4096U, 65536U), 4);
    create.image_bytes = room;
    RC_ASSERT(sync_wait(Image::format(file, create)).has_value());
    auto image = test::open_image(file, nullptr, true);
    const Bytes old(room, std::byte{0xaa});
    RC_ASSERT(image->write_blocking(GuestOffset{0}, old).has_value());
    Image* const sources[] = {disk.get()};
    RC_ASSERT(convert(sources, *image, random_options()).has_value());
    Bytes expected = old;
    std::ranges::copy(want, expected.begin());
    RC_ASSERT(test::content(*image) == expected);
    RC_ASSERT(image->close().has_value());

    MemoryFile target(room);
    target.fill(0, room, std::byte{0xaa});
    RC_ASSERT(to_raw(*disk, target, random_options()).has_value());
    RC_ASSERT(target.load(0, room) == expected);
}

RC_GTEST_PROP(ConvertTest, PutsSourcesOneBehindTheOtherAndCutsAWindow, ()) {
    MemoryFile one(*rc::gen::inRange<std::uint64_t>(1, 300) * 512);
    MemoryFile two(*rc::gen::inRange<std::uint64_t>(1, 300) * 512);
    test::scribble(one);
    test::scribble(two);
    const auto first = test::open_raw_disk(one);
    const auto second = test::open_raw_disk(two);
    Bytes all = test::content(*first);
    std::ranges::copy(test::content(*second), std::back_inserter(all));
    ConvertOptions options = random_options();
    options.begin = *rc::gen::inRange<std::uint64_t>(0, all.size() + 1000);
    options.length = *rc::gen::inRange<std::uint64_t>(0, all.size() + 1000);
    const std::uint64_t begin = std::min<std::uint64_t>(options.begin, all.size());
    const std::uint64_t length = std::min<std::uint64_t>(options.length, all.size() - begin);

    MemoryFile target;
    options.target_is_zero = true;
    Image* const sources[] = {first.get(), second.get()};
    RC_ASSERT(convert_to_raw(sources, target, options).has_value());
    RC_ASSERT(target.bytes() == length);
    RC_ASSERT(target.load(0, length) ==
              Bytes(all.begin() + static_cast<std::ptrdiff_t>(begin),
                    all.begin() + static_cast<std::ptrdiff_t>(begin + length)));
}

TEST(ConvertTest, RefusesSourcesThatAreTooLongTogether) {
    MemoryFile longest((std::uint64_t{1} << 63) - 512);
    MemoryFile one_more(2048);
    const auto disk = test::open_raw_disk(longest);
    const auto small = test::open_raw_disk(one_more);
    Image* const sources[] = {disk.get(), disk.get(), small.get()};  // 1024 bytes, modulo 2^64
    MemoryFile target;

    const auto made = convert_to_raw(sources, target, {});

    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code(), Errc::invalid_argument);
}

TEST(ConvertTest, StoresNoZeroesAndReadsNoHoles) {
    MemoryFile raw(64U << 20U);
    raw.fill(1U << 20U, 65536, std::byte{1});
    raw.fill(32U << 20U, 1U << 20U, std::byte{0});
    const auto disk = test::open_raw_disk(raw);
    raw.bytes_read = 0;

    MemoryFile file;
    const auto report = to_qed(*disk, file, geometry_of(65536, 4));

    ASSERT_TRUE(report);
    EXPECT_EQ(report->data_bytes, 65536U);
    EXPECT_EQ(report->data_bytes + report->zero_bytes, raw.bytes());
    EXPECT_EQ(file.bytes(), 65536U * (1 + 4 + 4 + 1));
    EXPECT_LE(raw.bytes_read, 2U << 20U);
}

TEST(ConvertTest, LooksUpALongRunOnceAndNotForEachPieceOfIt) {
    constexpr std::uint64_t kTables = 16;
    constexpr std::uint64_t kPieces = 128;  // of 256 KiB
    MemoryFile raw(kTables * 512 * 4096);
    raw.fill(0, raw.bytes(), std::byte{1});
    MemoryFile file;
    ASSERT_TRUE(to_qed(*test::open_raw_disk(raw), file, geometry_of(4096, 1)));
    const auto image = test::open_image(file);

    MemoryFile back;
    const auto report = to_raw(*image, back);

    ASSERT_TRUE(report);
    EXPECT_EQ(report->data_bytes, raw.bytes());
    const CacheStats lookups = image->stats().cache;
    EXPECT_LE(lookups.hits + lookups.misses, 2 * (kTables + kPieces));
}

TEST(ConvertTest, LeavesToTheBackingFileWhatTheTopLayersDoNotHold) {
    MemoryFile base_file(1U << 20U);
    base_file.fill(0, 1U << 20U, std::byte{1});
    const std::shared_ptr<Image> base = test::open_raw_disk(base_file);
    MemoryFile top_file;
    CreateOptions create = geometry_of(4096, 4);
    create.image_bytes = 1U << 20U;
    create.backing_name = "base";
    create.backing_format = BackingFormat::raw;
    create.check_backing = false;
    ASSERT_TRUE(sync_wait(Image::format(top_file, create)));
    auto top = test::open_image(top_file, base, true);
    const Bytes data(4096, std::byte{2});
    ASSERT_TRUE(top->write_blocking(GuestOffset{8192}, data));
    ASSERT_TRUE(top->write_zeroes_blocking(GuestOffset{65536}, 65536));

    MemoryFile copy_file;
    ConvertOptions options;
    options.copied_layers = 1;
    const auto report = to_qed(*top, copy_file, create, options);

    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->data_bytes, 4096U);
    EXPECT_EQ(report->zero_bytes, 65536U);
    EXPECT_EQ(report->skipped_bytes, (1U << 20U) - 4096 - 65536);
    EXPECT_EQ(test::content(*test::open_image(copy_file, base)), test::content(*top));
}

TEST(ConvertTest, CommitsLayersWithoutReadingWhatLiesBelow) {
    MemoryFile base_file;
    CreateOptions create = geometry_of(65536, 4);
    create.image_bytes = 1U << 20U;
    ASSERT_TRUE(sync_wait(Image::format(base_file, create)));
    auto base = test::open_image(base_file, nullptr, true);
    ASSERT_TRUE(base->write_blocking(GuestOffset{0}, Bytes(1U << 20U, std::byte{1})));
    MemoryFile top_file;
    create.cluster_bytes = 4096;
    create.backing_name = "base";
    create.backing_format = BackingFormat::qed;
    create.check_backing = false;
    ASSERT_TRUE(sync_wait(Image::format(top_file, create)));
    {
        MemoryFile view(base_file);
        auto top = test::open_image(top_file, test::open_image(view), true);
        ASSERT_TRUE(top->write_blocking(GuestOffset{100000}, Bytes(10, std::byte{2})));
        ASSERT_TRUE(top->write_zeroes_blocking(GuestOffset{131072}, 4096));
        ASSERT_TRUE(top->close());
    }
    auto top = test::open_image(top_file);  // nothing below it is open

    Image* const sources[] = {top.get()};
    ConvertOptions options;
    options.copied_layers = 1;
    const auto report = convert(sources, *base, options);

    ASSERT_TRUE(report) << report.error().message();
    Bytes want(1U << 20U, std::byte{1});
    std::fill_n(want.begin() + 100000, 10, std::byte{2});
    std::fill_n(want.begin() + 131072, 4096, std::byte{0});
    EXPECT_EQ(test::content(*base), want);
}

TEST(ConvertTest, RefusesATargetThatIsTooSmall) {
    MemoryFile raw(1U << 20U);
    const auto disk = test::open_raw_disk(raw);
    MemoryFile small(4096);
    const auto target = test::open_raw_disk(small);
    Image* const sources[] = {disk.get()};
    const auto report = convert(sources, *target, {});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code(), Errc::invalid_argument);
}

TEST(ConvertTest, RefusesSparseSizesThatAreNoSectors) {
    MemoryFile raw(4096);
    const auto disk = test::open_raw_disk(raw);
    for (const std::uint64_t bytes : {1U, 100U, 33554432U}) {
        MemoryFile file;
        ConvertOptions options;
        options.sparse_bytes = bytes;
        EXPECT_FALSE(to_raw(*disk, file, options)) << bytes;
    }
}

// Whichever request fails, convert returns its error, and the file never has a header.
TEST(ConvertTest, EndsWithTheErrorOfAnyRequestThatFails) {
    MemoryFile raw(3U << 20U);
    raw.fill(0, 700000, std::byte{1});
    raw.fill(2U << 20U, 100, std::byte{2});
    const auto disk = test::open_raw_disk(raw);
    for (unsigned copies = 1; copies <= 3; copies += 2) {
        ConvertOptions options;
        options.copies = copies;
        for (std::uint64_t nth = 1;; ++nth) {
            MemoryFile file;
            file.fault = MemoryFile::Fault{.nth = nth, .error = ENOSPC};
            const auto report = to_qed(*disk, file, geometry_of(65536, 4), options);
            if (report) {
                ASSERT_GT(nth, 5U);
                break;
            }
            EXPECT_EQ(report.error().code(), Errc::no_space);
            file.fault.reset();
            EXPECT_EQ(file.load_u64(0) & 0xffffffffU, 0U) << "a header before the end";
        }
    }
}

TEST(ConvertTest, StopsWhenItsCallerSaysSo) {
    MemoryFile raw(8U << 20U);
    raw.fill(0, 8U << 20U, std::byte{1});
    const auto disk = test::open_raw_disk(raw);
    for (int calls = 0; calls < 6; ++calls) {
        MemoryFile file;
        int left = calls;
        ConvertOptions options;
        options.copies = 3;
        options.progress.context = &left;
        options.progress.callback = [](void* context, std::uint64_t done, std::uint64_t total) {
            EXPECT_LE(done, total);
            return (*static_cast<int*>(context))-- > 0;
        };
        const auto report = to_raw(*disk, file, options);
        ASSERT_FALSE(report);
        EXPECT_EQ(report.error().code(), Errc::cancelled);
    }
}

TEST(ConvertTest, KeepsAllPiecesInTheirPlacesWithManyThreads) {
    MemoryFile raw(24U << 20U);
    for (std::uint64_t at = 0; at < raw.bytes(); at += 300U << 10U)
        raw.fill(at, std::min<std::uint64_t>(200U << 10U, raw.bytes() - at),
                 static_cast<std::byte>(at >> 12U | 1U));
    const auto disk = test::open_raw_disk(raw);
    for (const bool any_order : {false, true}) {
        ConvertOptions options;
        options.copies = 4;
        options.out_of_order = any_order;
        MemoryFile file;
        ASSERT_TRUE(to_qed(*disk, file, geometry_of(65536, 4), options));
        expect_sound(file);
        MemoryFile back;
        ASSERT_TRUE(to_raw(*test::open_image(file), back, options));
        EXPECT_EQ(back.load(0, raw.bytes()), raw.load(0, raw.bytes()));
    }
}

// The missing part reads as zeroes, like any bytes past the end of a file. These zeroes must not
// count as the content of the disk.
TEST(ConvertTest, FailsWhenASourceBecomesShorterMeanwhile) {
    const auto shorten = [](void* context, std::uint64_t, std::uint64_t) {
        static_cast<MemoryFile*>(context)->resize(1U << 20U);
        return true;
    };
    MemoryFile raw(8U << 20U);
    raw.fill(0, 8U << 20U, std::byte{1});
    const auto disk = test::open_raw_disk(raw);
    MemoryFile qed;
    ASSERT_TRUE(to_qed(*disk, qed, geometry_of(65536, 4)));
    const auto image = test::open_image(qed);
    MemoryFile top;
    CreateOptions overlay = geometry_of(65536, 4);
    overlay.image_bytes = 8U << 20U;
    overlay.backing_name = "memory.qed";
    ASSERT_TRUE(sync_wait(Image::format(top, overlay)));
    const auto chain = test::open_image(top, test::open_image(qed));

    struct Case {
        Image* source;
        MemoryFile* file;
    };
    for (const Case& one : {Case{disk.get(), &raw}, Case{chain.get(), &qed}}) {
        ConvertOptions options;
        options.copies = 1;
        options.progress = {.callback = shorten, .context = one.file};
        MemoryFile target;
        const auto report = to_qed(*one.source, target, geometry_of(65536, 4), options);
        ASSERT_FALSE(report);
        EXPECT_EQ(report.error().code(), Errc::io_error);
        EXPECT_THAT(report.error().message(), HasSubstr("memory.qed"));
        EXPECT_THAT(report.error().message(), HasSubstr("truncated"));
        EXPECT_EQ(target.load_u64(0) & 0xffffffffU, 0U) << "a header in spite of the error";
    }
}

TEST(ConvertTest, SalvagesWhatCanBeRead) {
    MemoryFile raw(1U << 20U);
    raw.fill(0, 1U << 20U, std::byte{1});
    raw.unreadable = BlockFile::DataRange{100000, 100001};
    const auto disk = test::open_raw_disk(raw);
    MemoryFile lost;
    EXPECT_FALSE(to_raw(*disk, lost));

    MemoryFile saved;
    ConvertOptions options;
    options.salvage = true;
    const auto report = to_raw(*disk, saved, options);

    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->unreadable_bytes, 4096U);
    ASSERT_EQ(report->unreadable.size(), 1U);
    EXPECT_EQ(report->unreadable[0].begin, 98304U);
    Bytes want(1U << 20U, std::byte{1});
    std::fill_n(want.begin() + 98304, 4096, std::byte{0});
    EXPECT_EQ(saved.load(0, 1U << 20U), want);
}

/// An unreadable disk whose first block is read only after its last one.
class LostFile final : public BlockFile {
public:
    static constexpr std::uint64_t kBlock = 4096;
    explicit LostFile(std::uint64_t bytes) : bytes_(bytes) {}

    bool start(IoOp& op) noexcept override {
        if (op.kind == IoKind::read) {
            op.error = EIO;
            if (op.length == kBlock && op.offset == bytes_ - kBlock) last_tried_.count_down();
            if (op.length == kBlock && op.offset == 0) last_tried_.wait();
        }
        return false;
    }
    Result<std::uint64_t> size() noexcept override { return bytes_; }
    bool is_read_only() const noexcept override { return true; }
    std::string_view name() const noexcept override { return "lost.raw"; }

private:
    std::uint64_t bytes_;
    std::latch last_tried_{1};
};

TEST(ConvertTest, ReportsWhatCannotBeReadInOrderWhicheverThreadIsFirst) {
    constexpr std::uint64_t kBytes = 1U << 20U;  // a piece for each of two threads
    const auto disk = Image::open_raw(std::make_unique<LostFile>(kBytes)).value();
    MemoryFile saved;
    ConvertOptions options;
    options.salvage = true;
    options.copies = 2;

    const auto report = to_raw(*disk, saved, options);

    ASSERT_TRUE(report) << report.error().message();
    EXPECT_EQ(report->unreadable_bytes, kBytes);
    ASSERT_EQ(report->unreadable.size(), 1U);
    EXPECT_EQ(report->unreadable[0].begin, 0U);
    EXPECT_EQ(report->unreadable[0].length, kBytes);
}

}  // namespace
}  // namespace qed
