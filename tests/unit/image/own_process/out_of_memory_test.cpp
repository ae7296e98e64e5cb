// SPDX-License-Identifier: Apache-2.0
// A request that runs out of memory at any moment fails alone: no other request waits forever, and
// the file agrees with the image. Allocations fail in this program, so it is separate from the
// others.
#include <memory>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "qed/image.hpp"
#include "support/forwarding_file.hpp"
#include "support/memory_file.hpp"
#include "support/replace_new.hpp"

namespace qed {
namespace {

using test::MemoryFile;

constexpr std::uint64_t kClusterBytes = 4096;
constexpr std::uint64_t kTableSpan = 512 * kClusterBytes;
constexpr std::uint64_t kDiskBytes = 4 * kTableSpan;

/// A file whose own allocations never fail.
class SparedFile final : public test::ForwardingFile {
public:
    using ForwardingFile::ForwardingFile;
    bool start(IoOp& op) noexcept override {
        const long left = std::exchange(test::allocations_until_failure, -1);
        const bool pending = forward(op);
        test::allocations_until_failure = left;
        return pending;
    }
};

std::unique_ptr<Image> open(MemoryFile& file, WriteOrder order) {
    OpenOptions options;
    options.writable = true;
    options.order = order;
    auto image = sync_wait(Image::open_file(std::make_unique<SparedFile>(file), nullptr, options));
    EXPECT_TRUE(image.has_value()) << image.error().message();
    return std::move(*image);
}

/// The ranges that the requests below may change, and their surroundings.
std::vector<std::byte> content(Image& image) {
    constexpr std::uint64_t kPart = 32 * kClusterBytes;
    std::vector<std::byte> bytes(3 * kPart);
    for (const std::uint64_t table : {0U, 1U, 2U}) {
        const std::uint64_t at = table * kTableSpan - (table == 1 ? 2 * kClusterBytes : 0);
        const auto part = std::span(bytes).subspan(table * kPart, kPart);
        const auto done = image.read_blocking(GuestOffset{at}, part);
        EXPECT_TRUE(done.has_value()) << done.error().message();
    }
    return bytes;
}

using Request = Result<void> (*)(Image&);

const std::vector<std::byte> kData(3 * kClusterBytes, std::byte{0xd1});

Result<void> write_into_new_table(Image& image) {
    return image.write_blocking({2 * kTableSpan + 700}, kData);
}
Result<void> write_into_both_tables(Image& image) {
    return image.write_blocking({kTableSpan - kClusterBytes}, kData);
}
Result<void> zero_data(Image& image) {
    return image.write_zeroes_blocking({kClusterBytes}, 4 * kClusterBytes);
}
Result<void> discard_data(Image& image) {
    return image.discard_blocking({kClusterBytes}, 4 * kClusterBytes);
}
Result<void> write_and_flush(Image& image) {
    QED_CHECK(write_into_both_tables(image));
    return image.flush_blocking();
}

class OutOfMemoryTest : public testing::TestWithParam<std::tuple<WriteOrder, Request>> {
protected:
    /// Returns true if the request ended before an allocation failed.
    bool run_with(long allocations) {
        const auto [order, request] = GetParam();
        MemoryFile file;
        CreateOptions create;
        create.image_bytes = kDiskBytes;
        create.cluster_bytes = kClusterBytes;
        create.table_clusters = 1;
        EXPECT_TRUE(sync_wait(Image::format(file, create)).has_value());
        auto image = open(file, order);
        const std::vector<std::byte> before(16 * kClusterBytes, std::byte{0xb0});
        EXPECT_TRUE(image->write_blocking({0}, before).has_value());
        EXPECT_TRUE(image->flush_blocking().has_value());
        bool succeeded = false;
        {
            const test::FailingNew failing(allocations);
            succeeded = request(*image).has_value();
        }
        // Writes in place, at allocated clusters and next to them.
        for (const std::uint64_t at : {kClusterBytes, 2 * kTableSpan, kTableSpan + 512}) {
            const auto later = image->write_blocking({at}, std::span(kData).first(512));
            EXPECT_TRUE(later.has_value()) << later.error().message();
        }
        EXPECT_TRUE(image->flush_blocking().has_value());
        const auto said = content(*image);
        image.reset();  // like a killed process
        image = open(file, order);
        EXPECT_TRUE(content(*image) == said) << "after " << allocations << " allocations";
        EXPECT_TRUE(image->close().has_value());
        return succeeded;
    }
};

TEST_P(OutOfMemoryTest, FailedAllocationFailsOneRequestAndKeepsTheFileConsistent) {
    long allocations = 0;
    while (!run_with(allocations) && !HasFailure())
        ASSERT_LT(++allocations, 1000);
    EXPECT_GT(allocations, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Requests, OutOfMemoryTest,
    testing::Combine(testing::Values(WriteOrder::strict, WriteOrder::ordered, WriteOrder::deferred),
                     testing::Values(write_into_new_table, write_into_both_tables, zero_data,
                                     discard_data, write_and_flush)));

}  // namespace
}  // namespace qed
