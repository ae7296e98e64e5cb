// SPDX-License-Identifier: Apache-2.0
#include "support/closed_descriptors.hpp"

#include <array>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/temp_dir.hpp"

namespace qed {
namespace {

using test::ClosedDescriptors;

/// Makes, opens, writes and closes a chain of three; returns the first failure.
Result<void> use_chain(const test::TempDir& dir, unsigned& closed_meanwhile) {
    std::string below;
    for (const char* const name : {"base.qed", "mid.qed", "top.qed"}) {
        CreateOptions create;
        create.image_bytes = 1 << 20;
        create.exclusive = false;
        create.backing_name = below.empty() ? nullptr : below.c_str();
        create.backing_format = BackingFormat::qed;
        QED_CHECK(Image::create(dir.file(name), create));
        below = name;
    }
    OpenOptions options;
    options.writable = true;
    auto image = Image::open(dir.file("top.qed"), options);
    if (!image) return pass(image);
    closed_meanwhile = ClosedDescriptors::now();
    const std::array<std::byte, 512> data{};
    QED_CHECK((*image)->write_blocking(GuestOffset{0}, data));
    return (*image)->close();
}

TEST(ClosedDescriptors, WholeChainStaysOffTheStandardNumbers) {
    const test::TempDir dir;
    for (unsigned closed = 0; closed < ClosedDescriptors::kChoices; ++closed) {
        unsigned closed_meanwhile = 0;
        Result<void> done;
        {
            const ClosedDescriptors closing(closed);
            done = use_chain(dir, closed_meanwhile);
        }
        EXPECT_TRUE(done) << done.error().message();
        EXPECT_EQ(closed_meanwhile, closed);
    }
}

}  // namespace
}  // namespace qed
