// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;

/// Keeps its length whatever it is told, as a block device does.
class Device final : public BlockFile {
public:
    bool start(IoOp& op) noexcept override {
        if (op.kind == IoKind::truncate) return false;
        return memory.start(op);
    }
    Result<std::uint64_t> size() noexcept override { return memory.size(); }
    bool can_punch() const noexcept override { return true; }
    bool is_read_only() const noexcept override { return false; }
    std::string_view name() const noexcept override { return "/dev/sdz"; }

    MemoryFile memory{64U << 20};
};

TEST(CreateTest, ADeviceIsRefusedBeforeAnythingIsWrittenToIt) {
    Device device;
    device.memory.fill(0, 1U << 20, std::byte{0xff});
    const MemoryFile before(device.memory);
    CreateOptions create;
    create.image_bytes = 1U << 20;

    const auto created = sync_wait(Image::format(device, create));

    ASSERT_FALSE(created.has_value());
    EXPECT_EQ(created.error().code(), Errc::unsupported);
    EXPECT_TRUE(device.memory == before);
}

}  // namespace
}  // namespace qed
