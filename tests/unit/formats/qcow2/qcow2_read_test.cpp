// SPDX-License-Identifier: Apache-2.0
// Images made by hand, read through Image as users read them.
#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "qed/map.hpp"
#include "support/layers.hpp"
#include "support/memory_file.hpp"
#include "support/qcow2_builder.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using test::Qcow2Builder;
using testing::HasSubstr;

constexpr std::uint64_t kCluster = Qcow2Builder::kCluster;
constexpr std::uint64_t kDisk = 8 * kCluster;

std::vector<std::byte> pattern(std::uint8_t seed) {
    std::vector<std::byte> bytes(kCluster);
    for (std::size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>((i / 64 * 7 + seed) & 0xff);
    return bytes;
}

std::vector<std::byte> deflate(std::span<const std::byte> data) {
    std::vector<std::byte> out(data.size() + 4096);
    isal_zstream stream;
    isal_deflate_stateless_init(&stream);
    stream.end_of_stream = 1;
    stream.next_in = reinterpret_cast<std::uint8_t*>(const_cast<std::byte*>(data.data()));
    stream.avail_in = static_cast<std::uint32_t>(data.size());
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data());
    stream.avail_out = static_cast<std::uint32_t>(out.size());
    EXPECT_EQ(isal_deflate_stateless(&stream), COMP_OK);
    out.resize(stream.total_out);
    return out;
}

std::vector<std::byte> zstd(std::span<const std::byte> data) {
    std::vector<std::byte> out(ZSTD_compressBound(data.size()));
    out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
    return out;
}

Result<std::unique_ptr<Image>> open(Qcow2Builder& image, std::shared_ptr<Image> backing = nullptr) {
    return sync_wait(Image::open_file(image.take(), std::move(backing), OpenOptions{}));
}

std::vector<std::byte> read(Image& image, std::uint64_t at, std::size_t bytes) {
    std::vector<std::byte> buffer(bytes, std::byte{0xee});
    const auto done = image.read_blocking(GuestOffset{at}, buffer);
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return buffer;
}

TEST(Qcow2Read, EveryKindOfClusterHasItsContent) {
    Qcow2Builder image(kDisk);
    image.entry(0, Qcow2Builder::kFirstFree | Qcow2Builder::kCopied);
    image.file().store(Qcow2Builder::kFirstFree, pattern(1));
    image.entry(1, 1);
    image.entry(2, (Qcow2Builder::kFirstFree + kCluster) | 1);  // zeroes over stale content
    image.file().fill(Qcow2Builder::kFirstFree + kCluster, kCluster, std::byte{0xaa});
    const auto packed = deflate(pattern(3));
    const std::uint64_t packed_at = Qcow2Builder::kFirstFree + 2 * kCluster + 777;
    image.file().store(packed_at, packed);
    image.compressed_entry(3, packed_at, packed.size());
    auto opened = open(image);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ((*opened)->info().format, "qcow2");
    EXPECT_FALSE((*opened)->is_writable());
    const std::vector<std::byte> zeroes(kCluster);
    EXPECT_EQ(read(**opened, 0, kCluster), pattern(1));
    EXPECT_EQ(read(**opened, kCluster, kCluster), zeroes);
    EXPECT_EQ(read(**opened, 2 * kCluster, kCluster), zeroes);
    EXPECT_EQ(read(**opened, 3 * kCluster, kCluster), pattern(3));
    EXPECT_EQ(read(**opened, 4 * kCluster, kCluster), zeroes);
    const auto whole = pattern(3);
    // Parts of the compressed cluster, twice: the second read comes from memory.
    for (int i = 0; i < 2; ++i) {
        const auto part = read(**opened, 3 * kCluster + 5000, 4096);
        EXPECT_TRUE(std::ranges::equal(part, std::span(whole).subspan(5000, 4096)));
    }
    // And all of them in one request.
    const auto all = read(**opened, 0, kDisk);
    EXPECT_TRUE(std::ranges::equal(std::span(all).subspan(3 * kCluster, kCluster), pattern(3)));
}

TEST(Qcow2Read, ZstdClustersAreRead) {
    Qcow2Builder image(kDisk);
    image.u32(100, 112);
    image.u64(72, 8);
    image.u8(104, 1);
    const auto packed = zstd(pattern(9));
    image.file().store(Qcow2Builder::kFirstFree + 13, packed);
    image.compressed_entry(2, Qcow2Builder::kFirstFree + 13, packed.size());
    auto opened = open(image);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(read(**opened, 2 * kCluster, kCluster), pattern(9));
}

TEST(Qcow2Read, CompressedDataThatEndsEarlyOrIsDamagedFailsAlone) {
    for (const bool is_damaged : {false, true}) {
        Qcow2Builder image(kDisk);
        const auto whole = pattern(5);
        auto packed = deflate(is_damaged ? std::span<const std::byte>(whole)
                                         : std::span(whole).first(kCluster - 1));
        if (is_damaged) std::fill_n(packed.begin() + 8, 16, std::byte{0xff});
        image.file().store(Qcow2Builder::kFirstFree, packed);
        image.compressed_entry(0, Qcow2Builder::kFirstFree, packed.size());
        image.entry(1, Qcow2Builder::kFirstFree + kCluster);
        auto opened = open(image);
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        std::vector<std::byte> buffer(512);
        const auto done = (*opened)->read_blocking(GuestOffset{0}, buffer);
        ASSERT_FALSE(done.has_value());
        EXPECT_EQ(done.error().code(), Errc::io_error);
        EXPECT_THAT(done.error().message(), HasSubstr("damaged"));
        EXPECT_TRUE((*opened)->read_blocking(GuestOffset{kCluster}, buffer).has_value());
    }
}

TEST(Qcow2Read, StreamThatHoldsMoreThanAClusterIsRead) {
    Qcow2Builder image(kDisk);
    std::vector<std::byte> longer = pattern(6);
    longer.resize(kCluster + 5000, std::byte{7});
    const auto packed = deflate(longer);
    image.file().store(Qcow2Builder::kFirstFree, packed);
    image.compressed_entry(0, Qcow2Builder::kFirstFree, packed.size());
    auto opened = open(image);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ(read(**opened, 0, kCluster), pattern(6));
}

TEST(Qcow2Read, BadEntryFailsAloneAndSaysWhere) {
    Qcow2Builder image(kDisk);
    image.entry(0, 100 * kCluster);
    auto opened = open(image);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    std::vector<std::byte> buffer(512);
    const auto done = (*opened)->read_blocking(GuestOffset{0}, buffer);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code(), Errc::corrupt_metadata);
    EXPECT_THAT(done.error().message(), HasSubstr("entry 0 of the L2 table at 0x20000"));
    EXPECT_EQ(read(**opened, kCluster, 512), std::vector<std::byte>(512));
}

TEST(Qcow2Read, SubclustersComeFromTheImageTheBaseAndNowhere) {
    constexpr std::uint64_t kSub = kCluster / 32;
    Qcow2Builder image(kDisk);
    image.u64(72, 16);
    // An entry takes 16 bytes.
    image.u64(Qcow2Builder::kL2At, Qcow2Builder::kFirstFree | Qcow2Builder::kCopied);
    image.u64(Qcow2Builder::kL2At + 8, (std::uint64_t{2} << 32) | 1);
    image.file().store(Qcow2Builder::kFirstFree, pattern(1));
    image.u64(8, 512);
    image.u32(16, 4);
    image.text(512, "base");
    image.u32(104, 0xe2792aca);
    image.u32(108, 3);
    image.text(112, "qed");
    std::shared_ptr<Image> base = test::open_layer(test::make_layer(kDisk, false), nullptr);
    ASSERT_TRUE(base->write_blocking(GuestOffset{0}, pattern(8)).has_value());
    auto opened = open(image, base);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    const auto content = read(**opened, 0, kCluster);
    const auto own = pattern(1);
    const auto below = pattern(8);
    EXPECT_TRUE(std::ranges::equal(std::span(content).first(kSub), std::span(own).first(kSub)));
    EXPECT_TRUE(std::ranges::all_of(std::span(content).subspan(kSub, kSub),
                                    [](std::byte b) { return b == std::byte{0}; }));
    EXPECT_TRUE(std::ranges::equal(std::span(content).subspan(2 * kSub),
                                   std::span(below).subspan(2 * kSub)));
}

TEST(Qcow2Read, OverlayOfQedReadsThroughCompressedClusters) {
    Qcow2Builder image(kDisk);
    const auto packed = deflate(pattern(3));
    image.file().store(Qcow2Builder::kFirstFree, packed);
    image.compressed_entry(0, Qcow2Builder::kFirstFree, packed.size());
    auto base = open(image);
    ASSERT_TRUE(base.has_value()) << base.error().message();
    auto top = test::open_layer(test::make_layer(kDisk, true), std::move(*base));
    // A partial first write copies the rest of the cluster out of compressed data.
    const std::vector<std::byte> change(100, std::byte{0x42});
    ASSERT_TRUE(top->write_blocking(GuestOffset{1000}, change).has_value());
    auto expected = pattern(3);
    std::ranges::copy(change, expected.begin() + 1000);
    EXPECT_EQ(read(*top, 0, kCluster), expected);
}

TEST(Qcow2Read, EncryptedImagesAndDataFilesAreRefusedByName) {
    Qcow2Builder encrypted(kDisk);
    encrypted.u32(32, 2);
    auto opened = open(encrypted);
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().message(), HasSubstr("encrypted (LUKS)"));

    Qcow2Builder outside(kDisk);
    outside.u64(72, 4);
    outside.u32(104, 0x44415441);
    outside.u32(108, 8);
    outside.text(112, "data.raw");
    opened = open(outside);
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().message(), HasSubstr("'data.raw'"));
}

TEST(Qcow2Read, BaseOfUnstatedFormatIsNotOpened) {
    Qcow2Builder image(kDisk);
    image.u64(8, 512);
    image.u32(16, 4);
    image.text(512, "base");
    const test::TempDir folder;
    const std::string path = folder.file("image.qcow2");
    const auto bytes = image.file().load(0, image.file().bytes());
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    std::ofstream(folder.file("base"), std::ios::binary) << std::string(kDisk, 'x');
    const auto opened = Image::open(path, OpenOptions{});
    ASSERT_FALSE(opened.has_value());
    EXPECT_EQ(opened.error().code(), Errc::backing_refused);
    EXPECT_THAT(opened.error().message(), HasSubstr("not its format"));
    OpenOptions stated;
    stated.backing.format = BackingFormat::raw;
    const auto again = Image::open(path, stated);
    ASSERT_TRUE(again.has_value()) << again.error().message();
    EXPECT_EQ(read(**again, 0, 512), std::vector<std::byte>(512, std::byte{'x'}));
}

TEST(Qcow2Read, WritableOpenIsRefusedWithTheWayToDoIt) {
    Qcow2Builder image(kDisk);
    OpenOptions options;
    options.writable = true;
    const auto opened = sync_wait(Image::open_file(image.take(), nullptr, options));
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().message(), HasSubstr("qed clone"));
}

}  // namespace
}  // namespace qed
