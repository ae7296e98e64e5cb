// SPDX-License-Identifier: Apache-2.0
// Lookups of the table cache are linearizable in every order of events. The seed decides when each
// read and write takes effect and ends, which of them fail, and which coroutine runs next.
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/world.hpp"
#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kSlices = 6;
constexpr std::uint64_t kPerSlice = 64;
constexpr std::uint64_t kSpread = 4;  // used entries of each slice; few, so that requests conflict
constexpr std::uint64_t kCluster = 65536;

/// Requests take effect at a random moment and end at a later one.
class RandomlyTimedFile final : public BlockFile {
public:
    RandomlyTimedFile(sim::World& world, MemoryFile& memory) : world_(world), memory_(memory) {}

    bool start(IoOp& op) noexcept override {
        requests_.push_back(std::make_unique<Request>(*this, op));
        world_.schedule(*requests_.back(), world_.random().below(40));
        return true;
    }
    Result<std::uint64_t> size() noexcept override { return memory_.size(); }
    bool is_read_only() const noexcept override { return false; }
    std::string_view name() const noexcept override { return "simulated"; }

    bool may_fail = false;

private:
    struct Request final : sim::Happening {
        Request(RandomlyTimedFile& owner, IoOp& started) : file(owner), op(started) {}
        void happen() override {
            if (!has_taken_effect) {
                has_taken_effect = true;
                const bool fails = file.may_fail && file.world_.random().below(12) == 0;
                // A failed write may have been done nevertheless.
                if (!fails || file.world_.random().below(2) == 0) run();
                if (fails) op.error = EIO;
                file.world_.schedule(*this, file.world_.random().below(40));
            } else {
                op.complete();
            }
        }
        void run() {
            op.file = &file.memory_;
            static_cast<void>(file.memory_.start(op));
            op.file = &file;
        }
        RandomlyTimedFile& file;
        IoOp& op;
        bool has_taken_effect = false;
    };
    sim::World& world_;
    MemoryFile& memory_;
    std::vector<std::unique_ptr<Request>> requests_;
};

/// One run: an image, several readers, one writer, and a coroutine that evicts.
class Schedule {
public:
    explicit Schedule(std::uint64_t seed)
        : world_(seed),
          memory_(std::uint64_t{1} << 21),
          file_(world_, memory_),
          budget_(1),
          cache_(*MappingCache::create(file_, budget_, TestTables(65536, 4).shape(512), decoder_,
                                       {.readahead_slices = 4})) {
        cache_->set_l1(0, kTables[0]);
        file_.may_fail = seed % 3 == 0;
    }

    void play() {
        world_.spawn(write(), [] { return std::string("the writer"); });
        for (std::uint64_t i = 0; i < 4; ++i)
            world_.spawn(read(40), [i] { return fmt::format("reader {}", i); });
        world_.spawn(disturb(), [] { return std::string("the evicting task"); });
        ASSERT_TRUE(world_.run(200'000));
        EXPECT_TRUE(world_.unfinished().empty()) << world_.unfinished().front();
        EXPECT_EQ(failure_, "");
        expect_file_and_memory_agree();
        budget_.trim();
        EXPECT_EQ(budget_.stats().bytes, 0U);
        EXPECT_EQ(budget_.stats().pinned, 0U);
    }
    CacheStats stats() const { return budget_.stats(); }

private:
    static constexpr std::array<std::uint64_t, 2> kTables{1U << 19, 1U << 20};

    std::uint64_t random_cluster() {
        return world_.random().below(kSlices) * kPerSlice + world_.random().below(kSpread) * 13;
    }
    void expect_file_and_memory_agree() {
        std::vector<std::byte> bytes(kSlices * kPerSlice * sizeof(Entry));
        ASSERT_TRUE(memory_.read({cache_->l1(0)}, bytes).run_blocking().has_value());
        for (std::uint64_t cluster = 0; cluster < kSlices * kPerSlice; ++cluster) {
            const Mapping found = cache_->find({cluster * kCluster}, kCluster);
            if (found.kind == Mapping::Kind::not_loaded) continue;
            EXPECT_EQ(found.offset.value, load_le64(bytes, cluster)) << "cluster " << cluster;
        }
    }
    static Entry entry(std::uint64_t cluster, std::uint64_t count) {
        return ((cluster + 1) * 4096 + count) * kCluster;
    }

    Task<Result<void>> read(int lookups) {
        for (int i = 0; i < lookups; ++i) {
            const std::uint64_t cluster = random_cluster();
            // Not older than the last value that was acknowledged or read before.
            const std::uint64_t least = std::max(published_[cluster], seen_[cluster]);
            const GuestOffset at{cluster * kCluster};
            Mapping found = cache_->find(at, kCluster);
            if (found.kind == Mapping::Kind::not_loaded) {
                Result<Mapping> loaded = co_await cache_->load(at, kCluster);
                if (!loaded) {
                    if (!file_.may_fail) fail("a load failed");
                    continue;
                }
                found = *loaded;
            }
            std::uint64_t count = 0;
            if (found.kind == Mapping::Kind::data) {
                count = found.offset.value / kCluster - (cluster + 1) * 4096;
            }
            if (count < least || count > begun_[cluster]) {
                fail(fmt::format("cluster {}: update {} seen, want {} to {}", cluster, count, least,
                                 begun_[cluster]));
            }
            seen_[cluster] = std::max(seen_[cluster], count);
            co_await yield();
        }
        readers_left_ -= 1;
        co_return Result<void>{};
    }

    Task<Result<void>> write() {
        while (readers_left_ > 0) {
            const std::uint64_t cluster = random_cluster();
            const std::uint64_t slice = cluster / kPerSlice;
            Result<SliceRef> pin = co_await cache_->pin(slice);
            if (!pin) continue;
            // The write includes the neighbouring entries of its sector.
            std::array<std::byte, kPerSlice * 8> raw{};
            for (std::uint32_t i = 0; i < kPerSlice; ++i)
                store_le64(raw, i, pin->entry(i));
            const std::array value{entry(cluster, ++begun_[cluster])};
            store_le64(raw, cluster % kPerSlice, value[0]);
            const FileOffset at{cache_->l1(0) + slice * sizeof raw};
            Result<void> done = co_await file_.write(at, raw);
            if (done) {
                if (!cache_->publish(*pin, static_cast<std::uint32_t>(cluster % kPerSlice),
                                     value)) {
                    fail("no memory");
                }
                published_[cluster] = begun_[cluster];
            } else {
                cache_->drop(slice);
            }
            if (world_.random().below(3) == 0) co_await yield();
            if (world_.random().below(8) == 0) move_table();
        }
        co_return Result<void>{};
    }

    // Reads in flight from the old place are stale.
    void move_table() {
        const std::uint64_t from = cache_->l1(0);
        const std::uint64_t to = from == kTables[0] ? kTables[1] : kTables[0];
        std::vector<std::byte> bytes(kSlices * kPerSlice * sizeof(Entry));
        const bool is_read = memory_.read({from}, bytes).run_blocking().has_value();
        const bool is_written = memory_.write({to}, bytes).run_blocking().has_value();
        if (!is_read || !is_written) fail("the table cannot be moved");
        cache_->set_l1(0, to);
        std::ranges::fill(bytes, std::byte{0x33});
        if (!memory_.write({from}, bytes).run_blocking()) fail("the old table cannot be spoilt");
    }

    Task<Result<void>> disturb() {
        while (readers_left_ > 0) {
            if (world_.random().below(4) == 0) budget_.trim();
            if (world_.random().below(4) == 0) budget_.release_unused();
            co_await yield();
        }
        co_return Result<void>{};
    }

    void fail(const std::string& what) {
        if (failure_.empty()) failure_ = what;
    }

    sim::World world_;
    MemoryFile memory_;
    RandomlyTimedFile file_;
    MemoryBudget budget_;
    PlainDecoder decoder_;
    std::unique_ptr<MappingCache> cache_;
    std::array<std::uint64_t, kSlices * kPerSlice> begun_{};
    std::array<std::uint64_t, kSlices * kPerSlice> published_{};
    std::array<std::uint64_t, kSlices * kPerSlice> seen_{};
    int readers_left_ = 4;
    std::string failure_;
};

TEST(CacheLinearizabilityTest, NoOrderOfEventsShowsAnOldMapping) {
    CacheStats all;
    for (std::uint64_t seed = 0; seed < 400; ++seed) {
        Schedule run(seed);
        run.play();
        ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
        all.hits += run.stats().hits;
        all.coalesced += run.stats().coalesced;
        all.stale_dropped += run.stats().stale_dropped;
        all.duplicates_dropped += run.stats().duplicates_dropped;
        all.evictions += run.stats().evictions;
    }
    // The seeds must cover these cases.
    EXPECT_GT(all.hits, 1000U);
    EXPECT_GT(all.coalesced, 1000U);
    EXPECT_GT(all.stale_dropped, 100U);
    EXPECT_GT(all.duplicates_dropped, 10U);
    EXPECT_GT(all.evictions, 1000U);
}

}  // namespace
}  // namespace qed::test
