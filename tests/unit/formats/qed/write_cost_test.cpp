// SPDX-License-Identifier: Apache-2.0
// The requests to the file of an allocating write, and the reuse of freed clusters.
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "coro/when_all.hpp"
#include "qed/image.hpp"
#include "support/memory_file.hpp"

namespace qed {
namespace {

using test::MemoryFile;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::SizeIs;

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kSector = 512;

struct Request {
    IoKind kind;
    std::uint64_t offset;
    std::uint64_t length;
};

/// Records every request, as one entry however many buffers it has.
class RecordingFile final : public BlockFile {
public:
    explicit RecordingFile(std::vector<Request>& requests) : requests_(requests) {}
    bool start(IoOp& op) noexcept override {
        requests_.push_back({op.kind, op.offset, op.length});
        return memory_.start(op);
    }
    Result<std::uint64_t> size() noexcept override { return memory_.size(); }
    StorageTraits traits() const noexcept override { return {.can_punch = true}; }
    bool is_read_only() const noexcept override { return false; }
    std::string_view name() const noexcept override { return memory_.name(); }
    std::uint64_t stored_bytes() const { return memory_.stored_bytes(); }

private:
    MemoryFile memory_;
    std::vector<Request>& requests_;
};

/// An image with one cluster, open for writing; what it does to its file is recorded.
class WriteCostTest : public testing::Test {
protected:
    /// Opens a new image and writes its first sector.
    void open(WriteOrder order, bool has_backing = false) {
        auto file = std::make_unique<RecordingFile>(requests_);
        file_ = file.get();
        CreateOptions create;
        create.image_bytes = 4096 * kCluster;
        std::shared_ptr<Image> base;
        if (has_backing) {
            create.backing_name = "base.raw";
            create.backing_format = BackingFormat::raw;
            auto raw = std::make_unique<MemoryFile>(create.image_bytes);
            raw->fill(0, 64 * kCluster, std::byte{0xBA});
            base = *Image::open_raw(std::move(raw));
        }
        ASSERT_TRUE(sync_wait(Image::format(*file_, create)).has_value());
        OpenOptions options;
        options.writable = true;
        options.order = order;
        auto image = sync_wait(Image::open_file(std::move(file), std::move(base), options));
        ASSERT_TRUE(image.has_value()) << image.error().message();
        image_ = std::move(*image);
        requests_.clear();
        write(0, kSector);
    }

    void write(std::uint64_t at, std::uint64_t bytes) {
        const std::vector<std::byte> data(bytes, std::byte{7});
        const auto done = image_->write_blocking(GuestOffset{at}, data);
        ASSERT_TRUE(done.has_value()) << done.error().message();
    }

    /// Lengths of writes.
    struct Lengths {
        std::vector<std::uint64_t> tables;  ///< writes below kUsed
        std::vector<std::uint64_t> data;    ///< writes at kUsed and above
        unsigned flushes = 0;
    };
    /// The requests since the last call.
    Lengths costs() {
        Lengths lengths;
        for (const Request& request : std::exchange(requests_, {})) {
            if (request.kind == IoKind::flush) ++lengths.flushes;
            if (request.kind != IoKind::write) continue;
            (request.offset < kUsed ? lengths.tables : lengths.data).push_back(request.length);
        }
        return lengths;
    }
    /// The end of the file after open(): header, L1 table, data, L2 table.
    static constexpr std::uint64_t kUsed = (1 + 4 + 1 + 4) * kCluster;

    std::vector<Request> requests_;
    RecordingFile* file_ = nullptr;
    std::unique_ptr<Image> image_;
};

TEST(OpenCost, OpeningReadsTheHeaderOnce) {
    std::vector<Request> requests;
    auto file = std::make_unique<RecordingFile>(requests);
    CreateOptions create;
    create.image_bytes = 4096 * kCluster;
    create.backing_name = "base.raw";
    create.backing_format = BackingFormat::raw;
    ASSERT_TRUE(sync_wait(Image::format(*file, create)).has_value());
    requests.clear();

    const auto image = sync_wait(Image::open_file(std::move(file), nullptr, {}));

    ASSERT_TRUE(image.has_value()) << image.error().message();
    EXPECT_EQ((*image)->backing_name(), "base.raw");
    const auto is_of_header = [](const Request& request) { return request.offset < kCluster; };
    EXPECT_EQ(std::ranges::count_if(requests, is_of_header), 1);
}

TEST_F(WriteCostTest, AFirstWriteWithoutABackingFileWritesItsBytesAndASectorOfTheTable) {
    open(WriteOrder::ordered);
    static_cast<void>(costs());
    write(5 * kCluster + 8192, 4096);
    const Lengths ordered = costs();
    EXPECT_THAT(ordered.data, ElementsAre(4096));
    EXPECT_THAT(ordered.tables, ElementsAre(kSector));
    EXPECT_EQ(ordered.flushes, 0U);

    open(WriteOrder::strict);
    static_cast<void>(costs());
    write(5 * kCluster + 8192, 4096);
    const Lengths strict = costs();
    EXPECT_THAT(strict.data, ElementsAre(4096));
    EXPECT_THAT(strict.tables, ElementsAre(kSector));
    EXPECT_EQ(strict.flushes, 1U);
}

TEST_F(WriteCostTest, TheVeryFirstWriteWritesSectorsOfItsTablesOnly) {
    for (const WriteOrder order : {WriteOrder::ordered, WriteOrder::strict}) {
        open(order);  // which writes one sector of data
        std::uint64_t bytes = 0;
        for (const Request& request : requests_) {
            if (request.kind == IoKind::write) bytes += request.length;
        }
        // The data, the header for NEED_CHECK, a sector of the L2 table and one of the L1 table.
        EXPECT_LE(bytes, 4096 + 3 * kSector);
        EXPECT_GE(bytes, 3 * kSector);
    }
}

TEST_F(WriteCostTest, AdjacentNewClustersOfARequestAreOneFileWriteAndOneTableWrite) {
    for (const WriteOrder order : {WriteOrder::ordered, WriteOrder::strict}) {
        open(order);
        static_cast<void>(costs());
        write(3 * kCluster + 512, 16 * kCluster);
        const Lengths lengths = costs();
        EXPECT_THAT(lengths.data, ElementsAre(16 * kCluster));
        EXPECT_THAT(lengths.tables, ElementsAre(kSector));
    }
}

TEST_F(WriteCostTest, AFirstWriteOverABackingFileIsOneWriteOfTheWholeClusterAndOneFlush) {
    open(WriteOrder::automatic, true);
    static_cast<void>(costs());
    write(5 * kCluster + 8192, 4096);
    const Lengths lengths = costs();
    EXPECT_THAT(lengths.data, ElementsAre(kCluster));
    EXPECT_THAT(lengths.tables, ElementsAre(kSector));
    EXPECT_EQ(lengths.flushes, 1U);
}

TEST_F(WriteCostTest, AFirstWriteAsksTheTablesTwice) {
    for (const bool has_backing : {false, true}) {
        open(WriteOrder::automatic, has_backing);
        write(4 * kCluster, 4096);  // its slice is in memory
        const CacheStats before = image_->stats().cache;
        write(5 * kCluster + 8192, 4096);
        const CacheStats after = image_->stats().cache;
        EXPECT_EQ(after.hits - before.hits, 2U);
        EXPECT_EQ(after.misses, before.misses);
    }
}

TEST_F(WriteCostTest, AnAwaitedFirstWriteAsksTheTablesTwice) {
    open(WriteOrder::automatic);
    write(4 * kCluster, 4096);
    const std::vector<std::byte> data(4096, std::byte{9});
    const CacheStats before = image_->stats().cache;
    ASSERT_TRUE(sync_wait(image_->write(GuestOffset{5 * kCluster}, data)).has_value());
    EXPECT_EQ(image_->stats().cache.hits - before.hits, 2U);
}

Task<Result<void>> write_lane(Image& image, std::uint64_t at, std::span<const std::byte> data) {
    Result<void> done = co_await image.write(GuestOffset{at}, data);
    co_return done;
}

Task<Result<void>> write_at_once(Image& image, std::vector<std::uint64_t> offsets) {
    const std::vector<std::byte> data(4096, std::byte{9});
    std::size_t taken = 0;
    auto next = [&]() -> std::optional<Task<Result<void>>> {
        if (taken == offsets.size()) return std::nullopt;
        return write_lane(image, offsets[taken++], data);
    };
    Result<void> done = co_await when_all(offsets.size(), next);
    co_return done;
}

TEST_F(WriteCostTest, RequestsInFlightShareOneFlushAndOneTableWrite) {
    for (const bool has_backing : {false, true}) {
        open(WriteOrder::strict, has_backing);
        static_cast<void>(costs());
        std::vector<std::uint64_t> offsets;
        for (std::uint64_t cluster = 8; cluster < 40; ++cluster)
            offsets.push_back(cluster * kCluster);
        const auto done = sync_wait(write_at_once(*image_, offsets));
        ASSERT_TRUE(done.has_value()) << done.error().message();
        const Lengths lengths = costs();
        EXPECT_THAT(lengths.data, SizeIs(32));
        EXPECT_THAT(lengths.data, Each(has_backing ? kCluster : 4096));
        EXPECT_THAT(lengths.tables, ElementsAre(kSector));
        EXPECT_EQ(lengths.flushes, 1U);
    }
}

TEST_F(WriteCostTest, DeferredWritesTouchNoTableUntilTheFlush) {
    open(WriteOrder::deferred, true);
    ASSERT_TRUE(image_->flush_blocking().has_value());
    static_cast<void>(costs());
    for (std::uint64_t cluster = 8; cluster < 40; ++cluster)
        write(cluster * kCluster, 4096);
    const Lengths before = costs();
    EXPECT_THAT(before.data, SizeIs(32));
    EXPECT_THAT(before.tables, IsEmpty());
    EXPECT_EQ(before.flushes, 0U);
    ASSERT_TRUE(image_->flush_blocking().has_value());
    const Lengths after = costs();
    EXPECT_THAT(after.data, IsEmpty());
    EXPECT_THAT(after.tables, ElementsAre(kSector));
    EXPECT_EQ(after.flushes, 2U);  // the data before the entries, and the entries
}

TEST_F(WriteCostTest, DiscardedClustersAreUsedAgainOnceTheDiscardIsDurable) {
    open(WriteOrder::ordered);
    write(8 * kCluster, 8 * kCluster);
    const std::uint64_t used = kUsed + 8 * kCluster;
    ASSERT_TRUE(image_->discard_blocking(GuestOffset{8 * kCluster}, 8 * kCluster).has_value());
    write(20 * kCluster, kCluster);  // not durable yet: this one lies elsewhere
    const auto extent = image_->extent_at_blocking(GuestOffset{20 * kCluster}, kCluster);
    ASSERT_TRUE(extent.has_value());
    EXPECT_GE(extent->offset.value, used);

    ASSERT_TRUE(image_->flush_blocking().has_value());
    for (std::uint64_t cluster = 30; cluster < 38; ++cluster) {
        write(cluster * kCluster, kCluster);
        const auto reused = image_->extent_at_blocking(GuestOffset{cluster * kCluster}, kCluster);
        ASSERT_TRUE(reused.has_value());
        EXPECT_THAT(reused->offset.value, Le(used - kCluster));
    }
    EXPECT_EQ(image_->stats().reused_clusters, 8U);
}

TEST_F(WriteCostTest, ADiscardWritesNoSectorsOfTheTableBeforeOrAfterWhatChanges) {
    open(WriteOrder::ordered);
    write(70 * kCluster, kCluster);
    static_cast<void>(costs());
    ASSERT_TRUE(image_->discard_blocking(GuestOffset{kCluster}, 511 * kCluster).has_value());
    EXPECT_THAT(costs().tables, ElementsAre(kSector));
    EXPECT_EQ(image_->extent_at_blocking(GuestOffset{70 * kCluster}, 1)->kind,
              Mapping::Kind::unallocated);
}

TEST_F(WriteCostTest, QuiescePunchesDiscardedClustersAndTruncatesTheFile) {
    open(WriteOrder::ordered);
    write(8 * kCluster, 4 * kCluster);
    ASSERT_TRUE(image_->discard_blocking(GuestOffset{8 * kCluster}, 2 * kCluster).has_value());
    const std::uint64_t stored = file_->stored_bytes();
    ASSERT_TRUE(image_->quiesce_blocking().has_value());
    EXPECT_EQ(stored - file_->stored_bytes(), 2 * kCluster);

    ASSERT_TRUE(image_->discard_blocking(GuestOffset{8 * kCluster}, 4 * kCluster).has_value());
    requests_.clear();
    ASSERT_TRUE(image_->close().has_value());
    ASSERT_FALSE(requests_.empty());
    EXPECT_EQ(requests_.back().kind, IoKind::truncate);
    EXPECT_EQ(requests_.back().offset, kUsed);
}

}  // namespace
}  // namespace qed
