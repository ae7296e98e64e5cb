// SPDX-License-Identifier: Apache-2.0
// Images of the largest size with the largest and the smallest legal tables: their memory is
// limited by the budget, not by the size of their tables.
#include <array>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/geometries.hpp"
#include "support/sanitized.hpp"
#include "support/temp_dir.hpp"

namespace qed::test {
namespace {

/// Memory of this process that is not backed by files, in bytes.
std::uint64_t memory_in_use() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;) {
        std::uint64_t kib = 0;
        if (word == "RssAnon:" && status >> kib) return kib * 1024;
    }
    ADD_FAILURE() << "/proc/self/status has no RssAnon";
    return 0;
}

TEST(GeometryBudgetTest, TablesOfUpToOneGibibyteStayInsideTheBudget) {
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 20;
    const TempDir folder;
    const std::string path = folder.file("disk.qed");
    for (const Geometry& shape : every_geometry()) {
        SCOPED_TRACE(std::to_string(shape.cluster_bytes()) + " x " +
                     std::to_string(shape.table_clusters()));
        CreateOptions create;
        create.image_bytes = shape.max_image_bytes();
        create.cluster_bytes = static_cast<std::uint32_t>(shape.cluster_bytes());
        create.table_clusters = shape.table_clusters();
        ASSERT_TRUE(Image::create(path, create).has_value());
        const auto budget = CacheBudget::create(kLimit);
        const std::uint64_t before = memory_in_use();
        auto image = Image::open(path, {.writable = true, .budget = budget.get()});
        ASSERT_TRUE(image.has_value()) << image.error().message();

        std::array<std::byte, 512> sector{};
        for (std::uint64_t i = 0; i < 8; ++i) {
            sector.fill(static_cast<std::byte>(i + 1));
            const GuestOffset at{create.image_bytes / 8 * i / 512 * 512};
            ASSERT_TRUE((*image)->write_blocking(at, sector).has_value());
            ASSERT_LE(budget->stats().bytes, kLimit);
        }
        budget->trim();  // everything is read again
        for (std::uint64_t i = 0; i < 8; ++i) {
            const GuestOffset at{create.image_bytes / 8 * i / 512 * 512};
            ASSERT_TRUE((*image)->read_blocking(at, sector).has_value());
            ASSERT_EQ(sector[0], static_cast<std::byte>(i + 1));
            ASSERT_LE(budget->stats().bytes, kLimit);
        }
        EXPECT_LE(budget->stats().peak_bytes, kLimit);
        // The memory of a sanitizer would be counted too.
        const std::uint64_t used = memory_in_use();
        EXPECT_TRUE(QED_TEST_SANITIZED || used < before + (std::uint64_t{32} << 20))
            << used << " bytes in use, " << before << " at first";
        ASSERT_TRUE((*image)->close().has_value());
    }
}

}  // namespace
}  // namespace qed::test
