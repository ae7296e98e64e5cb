// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <memory>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

/// Ends the process with status 0, unless a step fails.
[[noreturn]] void end_with_a_static_image(const std::string& path) {
    // Made before the budget of the process, so destroyed after it could be.
    static std::unique_ptr<Image> image;
    auto opened = Image::open(path, OpenOptions{.writable = true});
    if (!opened) std::exit(2);
    image = std::move(*opened);
    std::vector<std::byte> data(1U << 20, std::byte{7});
    if (!image->write_blocking(GuestOffset{0}, data)) std::exit(3);
    if (!image->read_blocking(GuestOffset{0}, data)) std::exit(4);
    std::exit(0);
}

TEST(StaticImageDeathTest, AnImageMayOutliveEverythingElseAtTheEndOfTheProcess) {
    // A new process, in which the budget does not exist yet.
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    const test::TempDir dir;
    const std::string path = dir.file("disk.qed");
    CreateOptions create;
    create.image_bytes = std::uint64_t{1} << 30;
    ASSERT_TRUE(Image::create(path, create));
    EXPECT_EXIT(end_with_a_static_image(path), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace qed
