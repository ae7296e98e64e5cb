// SPDX-License-Identifier: Apache-2.0
// A format that the library does not know, added by a driver and a layer alone.
#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/check.hpp"
#include "qed/compare.hpp"
#include "qed/convert.hpp"
#include "qed/image.hpp"
#include "qed/map.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"
#include "support/temp_dir.hpp"
#include "support/toy_format.hpp"

namespace qed {
namespace {

using test::kToyBlock;
using test::kToyTable;
using test::MemoryFile;
using test::TempDir;
using testing::HasSubstr;

constexpr std::uint64_t kBlocks = 6;
constexpr std::uint64_t kDiskBytes = kBlocks * kToyBlock - 512;
constexpr std::uint64_t kFirstData = kToyBlock;

/// Blocks 0: data, 1: below, 2: zeroes, 3: all 0x5a, 4 and 5: data that lies in one piece.
std::unique_ptr<MemoryFile> toy_file(std::uint64_t backing_name_bytes = 0) {
    auto file = std::make_unique<MemoryFile>(5 * kToyBlock);
    std::vector<std::byte> magic(8);
    std::memcpy(magic.data(), test::kToyMagic.data(), magic.size());
    file->store(0, magic);
    file->store_u64(8, kDiskBytes);
    file->store_u64(16, backing_name_bytes);
    file->fill(24, backing_name_bytes, std::byte{'b'});
    const std::array<std::uint64_t, kBlocks> words = {
        kFirstData, 0, 1, 2 + 256 * 0x5a, 2 * kToyBlock, 3 * kToyBlock};
    for (std::uint64_t i = 0; i < kBlocks; ++i)
        file->store_u64(kToyTable + i * 8, words[i]);
    file->fill(kFirstData, kToyBlock, std::byte{1});
    file->fill(2 * kToyBlock, kToyBlock, std::byte{4});
    file->fill(3 * kToyBlock, kToyBlock, std::byte{5});
    return file;
}

std::vector<std::byte> expected_content(std::byte below) {
    std::vector<std::byte> content(kBlocks * kToyBlock);
    const std::array<std::byte, kBlocks> bytes = {std::byte{1},    below,        std::byte{0},
                                                  std::byte{0x5a}, std::byte{4}, std::byte{5}};
    for (std::uint64_t at = 0; at < content.size(); ++at)
        content[at] = bytes[at / kToyBlock];
    content.resize(kDiskBytes);
    return content;
}

class SecondFormatTest : public testing::Test {
protected:
    std::unique_ptr<Image> open(std::unique_ptr<MemoryFile> file,
                                std::shared_ptr<Image> below = nullptr) {
        auto image = sync_wait(Image::open_file(std::move(file), std::move(below), {}));
        EXPECT_TRUE(image.has_value()) << image.error().message();
        return std::move(*image);
    }
    std::shared_ptr<Image> raw_base(std::byte content) {
        auto file = std::make_unique<MemoryFile>(kDiskBytes);
        file->fill(0, kDiskBytes, content);
        return std::move(*Image::open_raw(std::move(file)));
    }
    std::unique_ptr<Image> toy_over_raw() { return open(toy_file(5), raw_base(std::byte{9})); }

    static std::vector<std::byte> read_all(Image& image) {
        std::vector<std::byte> content(image.size());
        const auto done = image.read_blocking(GuestOffset{0}, content);
        EXPECT_TRUE(done.has_value()) << done.error().message();
        return content;
    }

    test::ToyDriver driver_;
};

TEST_F(SecondFormatTest, ProbedByMagicNamesItsFormat) {
    const auto image = open(toy_file());

    EXPECT_EQ(image->info().format, "toy");
    EXPECT_EQ(image->info().cluster_bytes, kToyBlock);
    EXPECT_EQ(image->size(), kDiskBytes);
    EXPECT_FALSE(image->is_raw());
    EXPECT_FALSE(image->is_writable());
}

TEST_F(SecondFormatTest, ReadReturnsDataZeroesEncodedAndBackingBytes) {
    const auto image = toy_over_raw();
    const std::vector<std::byte> expected = expected_content(std::byte{9});

    EXPECT_TRUE(read_all(*image) == expected) << "on a miss of every block";
    EXPECT_TRUE(read_all(*image) == expected) << "from memory";
    std::vector<std::byte> piece(100000);
    for (std::uint64_t at = 1; at + piece.size() < kDiskBytes; at += 33333) {
        ASSERT_TRUE(sync_wait(image->read(GuestOffset{at}, piece)).has_value());
        EXPECT_TRUE(std::ranges::equal(piece, std::span(expected).subspan(at, piece.size()))) << at;
    }
}

TEST_F(SecondFormatTest, MapShowsEachKind) {
    const auto image = toy_over_raw();
    std::array<MappedExtent, 20> extents;

    const auto count = map_extents(*image, GuestOffset{0}, kDiskBytes, extents);

    ASSERT_TRUE(count.has_value()) << count.error().message();
    ASSERT_EQ(*count, 5U);
    const std::array<bool, 5> data = {true, true, false, true, true};
    const std::array<unsigned, 5> depth = {0, 1, 0, 0, 0};
    for (std::size_t i = 0; i < 5; ++i) {
        EXPECT_EQ(extents[i].data, data[i]) << i;
        EXPECT_EQ(extents[i].zero, !data[i]) << i;
        EXPECT_EQ(extents[i].depth, depth[i]) << i;
        EXPECT_TRUE(extents[i].present) << i;
    }
    EXPECT_EQ(extents[4].length, kDiskBytes - 4 * kToyBlock) << "two blocks in one piece";
    EXPECT_EQ(extents[4].file_offset.value, 2 * kToyBlock);
    const auto one = sync_wait(image->map(GuestOffset{4 * kToyBlock}, kDiskBytes - 4 * kToyBlock));
    ASSERT_TRUE(one.has_value());
    EXPECT_EQ(one->length, extents[4].length);
}

TEST_F(SecondFormatTest, ConvertReadsItIntoRawAndQed) {
    const auto image = toy_over_raw();
    const std::array<Image*, 1> sources = {image.get()};
    const std::vector<std::byte> expected = expected_content(std::byte{9});

    MemoryFile raw;
    ConvertOptions options;
    options.target_is_zero = true;
    const auto to_raw = convert_to_raw(sources, raw, options);
    auto qed = std::make_unique<MemoryFile>();
    const auto to_qed = convert_to_image(sources, *qed, {}, {});

    ASSERT_TRUE(to_raw.has_value()) << to_raw.error().message();
    EXPECT_TRUE(raw.load(0, kDiskBytes) == expected);
    ASSERT_TRUE(to_qed.has_value()) << to_qed.error().message();
    const auto copy = open(std::move(qed));
    EXPECT_EQ(copy->info().format, "qed");
    EXPECT_TRUE(read_all(*copy) == expected);
    const auto compared = compare(*image, *copy, {});
    ASSERT_TRUE(compared.has_value());
    EXPECT_EQ(compared->verdict, CompareReport::Verdict::equal);
}

TEST_F(SecondFormatTest, ConvertWritesIt) {
    const auto source = toy_over_raw();
    const std::array<Image*, 1> sources = {source.get()};
    auto file = std::make_unique<MemoryFile>();
    CreateOptions format;
    format.format = "toy";

    const auto done = convert_to_image(sources, *file, format, {});

    ASSERT_TRUE(done.has_value()) << done.error().message();
    const auto copy = open(std::move(file));
    EXPECT_EQ(copy->info().format, "toy");
    EXPECT_TRUE(read_all(*copy) == expected_content(std::byte{9}));
}

TEST_F(SecondFormatTest, OverlayCopiesUpFromIt) {
    auto overlay = test::open_layer(test::make_layer(kDiskBytes, true), toy_over_raw());
    std::vector<std::byte> expected = expected_content(std::byte{9});
    const std::vector<std::byte> data(1000, std::byte{7});
    for (std::uint64_t block = 0; block < kBlocks; ++block) {
        const std::uint64_t at = block * kToyBlock + 5000;
        ASSERT_TRUE(overlay->write_blocking(GuestOffset{at}, data).has_value());
        std::ranges::copy(data, expected.begin() + static_cast<std::ptrdiff_t>(at));
    }

    EXPECT_TRUE(read_all(*overlay) == expected);
    EXPECT_TRUE(overlay->close().has_value());
}

// What a server asks of an image, in the calls that the nbdkit plugin makes.
TEST_F(SecondFormatTest, ServerRequestsAreAnswered) {
    const auto image = toy_over_raw();

    EXPECT_TRUE(image->prefetch_blocking(GuestOffset{0}, kDiskBytes).has_value());
    std::uint64_t described = 0;
    while (described < kDiskBytes) {
        const auto extent = image->map_blocking(GuestOffset{described}, kDiskBytes - described);
        ASSERT_TRUE(extent.has_value());
        described += extent->length;
    }
    const std::vector<std::byte> data(512);
    const auto written = image->write_blocking(GuestOffset{0}, data);
    ASSERT_FALSE(written.has_value());
    EXPECT_EQ(written.error().code(), Errc::unsupported);
    EXPECT_THAT(written.error().message(), HasSubstr("format toy cannot be written to"));
    EXPECT_TRUE(image->flush_blocking().has_value());
    EXPECT_TRUE(image->quiesce_blocking().has_value());
    EXPECT_EQ(image->stats().mapped_bytes, 0U);
    EXPECT_TRUE(image->close().has_value());
}

TEST_F(SecondFormatTest, CorruptBlockFailsAloneWithItsOffset) {
    auto file = toy_file(5);
    file->store_u64(kToyTable + 3 * 8, 3);
    const auto image = open(std::move(file), raw_base(std::byte{9}));
    std::vector<std::byte> block(kToyBlock);

    const auto failed = image->read_blocking(GuestOffset{3 * kToyBlock}, block);

    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code(), Errc::corrupt_metadata);
    EXPECT_THAT(failed.error().message(), HasSubstr("0x30000"));
    EXPECT_TRUE(image->read_blocking(GuestOffset{4 * kToyBlock}, block).has_value());
    EXPECT_EQ(image->map_blocking(GuestOffset{3 * kToyBlock}, 512).error().code(),
              Errc::corrupt_metadata);
}

TEST_F(SecondFormatTest, LackingBackingFileIsNamed) {
    const auto image = open(toy_file(5));
    std::vector<std::byte> block(kToyBlock);

    EXPECT_TRUE(image->read_blocking(GuestOffset{0}, block).has_value());
    const auto failed = image->read_blocking(GuestOffset{kToyBlock}, block);

    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code(), Errc::backing_refused);
    EXPECT_THAT(failed.error().message(), HasSubstr("'bbbbb'"));
}

// By names in headers: a QED overlay over a toy image over a QED image.
TEST_F(SecondFormatTest, ChainOfFormatsOpensByName) {
    const TempDir folder;
    CreateOptions base;
    base.image_bytes = kDiskBytes;
    ASSERT_TRUE(Image::create(folder.file("base.qed"), base).has_value());
    {
        const auto image = Image::open(folder.file("base.qed"), {.writable = true});
        ASSERT_TRUE(image.has_value());
        const std::vector<std::byte> data(512, std::byte{3});
        ASSERT_TRUE((*image)->write_blocking(GuestOffset{4096}, data).has_value());
        ASSERT_TRUE((*image)->close().has_value());
    }
    CreateOptions middle;
    middle.format = "toy";
    middle.backing_name = "base.qed";
    middle.backing_format = BackingFormat::qed;
    const auto made = Image::create(folder.file("middle.toy"), middle);
    ASSERT_TRUE(made.has_value()) << made.error().message();
    CreateOptions top;
    top.backing_name = "middle.toy";
    top.backing_format = BackingFormat::qed;  // has a header: not raw
    const auto topped = Image::create(folder.file("top.qed"), top);
    ASSERT_TRUE(topped.has_value()) << topped.error().message();

    const auto image = Image::open(folder.file("top.qed"), {});

    ASSERT_TRUE(image.has_value()) << image.error().message();
    EXPECT_EQ((*image)->depth(), 2U);
    EXPECT_EQ((*image)->size(), kDiskBytes);
    EXPECT_EQ((*image)->backing()->info().format, "toy");
    EXPECT_EQ((*image)->backing()->backing()->info().format, "qed");
    std::vector<std::byte> byte(1);
    ASSERT_TRUE((*image)->read_blocking(GuestOffset{4096}, byte).has_value());
    EXPECT_EQ(byte[0], std::byte{3});
}

TEST_F(SecondFormatTest, CheckRunsTheCheckerOfTheFormat) {
    const auto file = toy_file();
    file->store_u64(kToyTable + 8, 3);

    const auto report = sync_wait(check_file(*file, {}));

    ASSERT_TRUE(report.has_value()) << report.error().message();
    EXPECT_EQ(report->total_clusters, kBlocks);
    EXPECT_EQ(report->allocated_clusters, 3U);
    EXPECT_EQ(report->corruptions, 1U);
}

TEST_F(SecondFormatTest, CheckOfAStatedFormatDoesNotProbe) {
    const auto file = toy_file();
    CheckOptions options;
    options.format = "qed";

    const auto report = sync_wait(check_file(*file, options));

    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::not_qed);
}

TEST(CheckFile, FormatWithoutCheckerIsUnsupported) {
    MemoryFile file(4096);
    CheckOptions options;
    options.format = "raw";

    const auto report = sync_wait(check_file(file, options));

    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::unsupported);
    EXPECT_THAT(report.error().message(), HasSubstr("has format raw, which has no checks"));
}

TEST(CheckFile, UnknownFormatIsRefused) {
    MemoryFile file(4096);
    CheckOptions options;
    options.format = "tar";

    const auto report = sync_wait(check_file(file, options));

    ASSERT_FALSE(report.has_value());
    EXPECT_EQ(report.error().code(), Errc::invalid_argument);
}

TEST(FormatRegistry, UnknownNameListsTheFormats) {
    MemoryFile file;
    CreateOptions options;
    options.format = "tar";

    const auto failed = sync_wait(Image::format(file, options));

    ASSERT_FALSE(failed.has_value());
    EXPECT_EQ(failed.error().code(), Errc::invalid_argument);
    EXPECT_THAT(failed.error().message(), HasSubstr("'tar'"));
    EXPECT_THAT(failed.error().message(), HasSubstr("qed, qcow2, raw"));
}

TEST(FormatRegistry, RemovedFormatIsNoLongerProbed) {
    {
        const test::ToyDriver driver;
    }

    const auto image = sync_wait(Image::open_file(toy_file(), nullptr, {}));

    ASSERT_FALSE(image.has_value());
    EXPECT_EQ(image.error().code(), Errc::not_qed);
}

}  // namespace
}  // namespace qed
