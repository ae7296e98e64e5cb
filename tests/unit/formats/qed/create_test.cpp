// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/forwarding_file.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kCluster = 65536;

std::unique_ptr<Image> make_image(CreateOptions create) {
    auto file = std::make_unique<MemoryFile>();
    if (!sync_wait(Image::format(*file, create))) return nullptr;
    auto image =
        sync_wait(Image::open_file(std::move(file), nullptr, OpenOptions{.writable = true}));
    return image ? std::move(*image) : nullptr;
}

int byte_at(Image& image, std::uint64_t at) {
    std::vector<std::byte> byte(1);
    EXPECT_TRUE(image.read_blocking(GuestOffset{at}, byte).has_value());
    return static_cast<int>(byte[0]);
}

/// Ignores requests to change its length, like a block device.
class Device final : public test::ForwardingFile {
public:
    using ForwardingFile::ForwardingFile;
    bool start(IoOp& op) noexcept override { return op.kind != IoKind::truncate && forward(op); }
};

TEST(CreateTest, ADeviceIsRefusedBeforeAnythingIsWrittenToIt) {
    MemoryFile memory(64U << 20);
    Device device(memory);
    memory.fill(0, 1U << 20, std::byte{0xff});
    const MemoryFile before(memory);
    CreateOptions create;
    create.image_bytes = 1U << 20;

    const auto created = sync_wait(Image::format(device, create));

    ASSERT_FALSE(created.has_value());
    EXPECT_EQ(created.error().code(), Errc::unsupported);
    EXPECT_TRUE(memory == before);
}

TEST(PreallocationTest, EveryClusterIsMappedReadsZeroAndIsWrittenInPlace) {
    for (const auto how : {Preallocation::metadata, Preallocation::falloc, Preallocation::full}) {
        const auto image = make_image({.image_bytes = 16 * kCluster, .preallocation = how});
        ASSERT_NE(image, nullptr);
        const auto extent = image->extent_at_blocking(GuestOffset{0}, 16 * kCluster);
        ASSERT_TRUE(extent.has_value());
        EXPECT_EQ(extent->kind, Mapping::Kind::data);
        EXPECT_EQ(extent->length, 16 * kCluster);
        EXPECT_EQ(byte_at(*image, 5 * kCluster), 0);

        const std::uint64_t file_bytes = *image->file().size();
        const std::vector<std::byte> data(3 * kCluster, std::byte{7});
        ASSERT_TRUE(image->write_blocking(GuestOffset{5 * kCluster + 512}, data).has_value());
        EXPECT_EQ(*image->file().size(), file_bytes);
        EXPECT_EQ(image->stats().allocated_clusters, 0U);
        EXPECT_EQ(image->stats().table_writes, 0U);
        EXPECT_TRUE(image->close().has_value());
    }
    const auto plain = make_image({.image_bytes = 16 * kCluster});
    ASSERT_NE(plain, nullptr);
    const auto extent = plain->extent_at_blocking(GuestOffset{0}, 16 * kCluster);
    ASSERT_TRUE(extent.has_value());
    EXPECT_EQ(extent->kind, Mapping::Kind::unallocated);
    EXPECT_TRUE(plain->close().has_value());
}

}  // namespace
}  // namespace qed
