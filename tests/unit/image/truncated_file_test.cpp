// SPDX-License-Identifier: Apache-2.0
// Files that another process truncates while they are open: their data is lost, not zero.
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kDisk = 16 * kCluster;
using Bytes = std::vector<std::byte>;

class TruncatedFileTest : public ::testing::Test {
protected:
    std::string path(const std::string& name) const { return dir.file(name); }

    void create(const std::string& name, const char* backing, BackingFormat format) const {
        CreateOptions options;
        options.image_bytes = kDisk;
        options.backing_name = backing;
        options.backing_format = format;
        const auto done = Image::create(path(name), options);
        ASSERT_TRUE(done) << done.error().message();
    }
    std::unique_ptr<Image> open(const std::string& name) const {
        OpenOptions options;
        options.writable = true;
        auto image = Image::open(path(name), options);
        EXPECT_TRUE(image) << image.error().message();
        return image ? std::move(*image) : nullptr;
    }
    void fill(const std::string& name) const {
        const auto image = open(name);
        ASSERT_TRUE(image->write_blocking(GuestOffset{0}, Bytes(kDisk, std::byte{'b'})));
        ASSERT_TRUE(image->close());
    }
    static Errc read_errc(Image& image, std::uint64_t at) {
        Bytes bytes(512);
        const auto blocking = image.read_blocking(GuestOffset{at}, bytes);
        const auto awaited = sync_wait(image.read(GuestOffset{at}, bytes));
        EXPECT_EQ(blocking.has_value(), awaited.has_value());
        EXPECT_TRUE(!blocking || bytes == Bytes(512, std::byte{'b'}));
        return blocking ? Errc{} : blocking.error().code();
    }
    /// Where the file holds a guest cluster.
    static std::uint64_t place_of(Image& image, std::uint64_t at) {
        const auto extent = image.extent_at_blocking(GuestOffset{at}, kCluster);
        EXPECT_TRUE(extent && extent->is_stored());
        return extent ? extent->offset.value : 0;
    }
    void truncate(const std::string& name, std::uint64_t bytes) const {
        ASSERT_EQ(::truncate(path(name).c_str(), static_cast<off_t>(bytes)), 0);
    }

    test::TempDir dir;
};

TEST_F(TruncatedFileTest, RawBaseFailsWhereItLostData) {
    std::ofstream(path("base.raw")) << std::string(kDisk - 100, 'b');
    create("top.qed", "base.raw", BackingFormat::raw);
    const auto image = open("top.qed");
    Bytes end(512);
    ASSERT_TRUE(image->read_blocking(GuestOffset{kDisk - 512}, end)) << "a short last sector";
    EXPECT_EQ(end[411], std::byte{'b'});
    EXPECT_EQ(end[412], std::byte{0});
    truncate("base.raw", 8 * kCluster + 700);
    EXPECT_EQ(read_errc(*image, 7 * kCluster), Errc{});
    EXPECT_EQ(read_errc(*image, 8 * kCluster + 512), Errc::io_error);
    EXPECT_EQ(read_errc(*image, 12 * kCluster), Errc::io_error);
}

TEST_F(TruncatedFileTest, PartialWriteOverALostClusterFailsAndStoresNothing) {
    std::ofstream(path("base.raw")) << std::string(kDisk, 'b');
    create("top.qed", "base.raw", BackingFormat::raw);
    const auto image = open("top.qed");
    truncate("base.raw", 8 * kCluster);
    const Bytes sector(512, std::byte{'t'});
    const auto written = image->write_blocking(GuestOffset{9 * kCluster + 512}, sector);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code(), Errc::io_error);
    EXPECT_EQ(read_errc(*image, 9 * kCluster), Errc::io_error) << "still not zeroes";
    EXPECT_TRUE(image->write_blocking(GuestOffset{10 * kCluster}, Bytes(kCluster, std::byte{'b'})))
        << "a whole cluster needs nothing of the base";
    EXPECT_EQ(read_errc(*image, 10 * kCluster), Errc{});
}

TEST_F(TruncatedFileTest, QedBaseFailsWhereItLostData) {
    create("base.qed", nullptr, BackingFormat::unstated);
    fill("base.qed");
    create("top.qed", "base.qed", BackingFormat::qed);
    const auto image = open("top.qed");
    ASSERT_EQ(read_errc(*image, 0), Errc{});  // the table is in memory
    truncate("base.qed", place_of(*image->backing(), kDisk - kCluster));
    EXPECT_EQ(read_errc(*image, 0), Errc{});
    EXPECT_EQ(read_errc(*image, kDisk - 512), Errc::io_error);
    const Bytes sector(512, std::byte{'t'});
    EXPECT_FALSE(image->write_blocking(GuestOffset{kDisk - 1024}, sector));
}

TEST_F(TruncatedFileTest, ImageFailsWhereItLostData) {
    create("disk.qed", nullptr, BackingFormat::unstated);
    const auto image = open("disk.qed");
    const Bytes half(kDisk / 2, std::byte{'b'});
    ASSERT_TRUE(image->write_blocking(GuestOffset{0}, half));
    truncate("disk.qed", place_of(*image, kDisk / 2 - kCluster));
    EXPECT_EQ(read_errc(*image, 0), Errc{});
    EXPECT_EQ(read_errc(*image, kDisk / 2 - 512), Errc::io_error);
}

}  // namespace
}  // namespace qed
