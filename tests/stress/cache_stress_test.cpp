// SPDX-License-Identifier: Apache-2.0
// The table cache with many threads: readers, loads, one writer for each image, and evictions at
// every moment. The result of a lookup must be the entry's value at some time between the start and
// the end of the lookup.
#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "support/forwarding_file.hpp"
#include "unit/cache/cache_fixture.hpp"

namespace qed::test {
namespace {

constexpr std::uint64_t kTables = 4;
constexpr std::uint64_t kPerTable = 32768;
constexpr std::uint64_t kPerSlice = 512;
constexpr std::uint64_t kSlicesUsed = 40;  // in each table
constexpr int kWrites = 4000;              // of all images together
constexpr int kLookups = 4000;             // of each reader, at least
constexpr unsigned kSequenceBits = 12;

/// Reads take a while, so that they overlap.
class SlowFile final : public ForwardingFile {
public:
    using ForwardingFile::ForwardingFile;
    bool start(IoOp& op) noexcept override {
        static_cast<void>(forward(op));
        for (int i = 0; i < 3; ++i)
            std::this_thread::yield();
        return false;
    }
};

/// An image whose entries count up: entry `i` holds cluster (i + 1) * 4096 + n after its n-th
/// update, plus a constant; before the first it is unallocated.
class CountingImage {
public:
    CountingImage(MemoryBudget& budget, std::uint64_t first_cluster,
                  const TableImageOptions& options)
        : first_cluster_(first_cluster),
          memory_(std::uint64_t{1} << 30),
          file_(memory_),
          cache_(*MappingCache::create(
              file_, budget, TestTables(65536, 4).shape(options.slice_bytes), decoder_, options)),
          begun_(kTables * kPerTable),
          published_(kTables * kPerTable) {
        for (std::uint64_t i = 0; i < kTables; ++i)
            cache_->set_l1(i, table_at(i, 0));
    }

    const std::string& failure() const { return failure_; }

    /// A cluster that is written and read: a few slices are much hotter than others.
    static std::uint64_t random_cluster(std::mt19937_64& random) {
        const std::uint64_t slice = random() % (random() % 2 == 0 ? 4 : kSlicesUsed);
        return random() % kTables * kPerTable + slice * kPerSlice + random() % kPerSlice;
    }

    void look_up(std::uint64_t cluster) {
        const std::uint64_t least = published_[cluster].load(std::memory_order_acquire);
        const GuestOffset at{cluster * 65536};
        Mapping found = cache_->find(at, 65536);
        if (found.kind == Mapping::Kind::not_loaded) {
            auto loaded = sync_wait(cache_->load(at, 65536));
            if (!loaded) return fail("a load failed: " + loaded.error().message());
            found = *loaded;
        }
        judge(cluster, found, least);
    }

    /// Looks up neighbouring entries with one call, if they are in memory.
    void look_up_many(std::uint64_t cluster) {
        std::array<std::uint64_t, 16> least{};
        const std::uint64_t count = std::min(least.size(), kPerSlice - cluster % kPerSlice);
        for (std::uint64_t i = 0; i < count; ++i)
            least[i] = published_[cluster + i].load(std::memory_order_acquire);
        std::array<Mapping, 16> runs;
        const std::size_t found = cache_->find_runs({cluster * 65536}, count * 65536, runs);
        std::uint64_t i = 0;
        for (Mapping run : std::span(runs).first(found)) {
            for (; run.length != 0; run.length -= 65536, run.offset += 65536, ++i)
                judge(cluster + i, run, least[i]);
        }
    }

    /// Checks that a result is the latest update or an update in flight.
    void judge(std::uint64_t cluster, const Mapping& found, std::uint64_t least) {
        const std::uint64_t most = begun_[cluster].load(std::memory_order_acquire);
        std::uint64_t count = 0;
        if (found.kind == Mapping::Kind::data) {
            count = found.offset.value / 65536 - first_cluster_ - ((cluster + 1) << kSequenceBits);
        } else if (found.kind != Mapping::Kind::unallocated) {
            return fail(fmt::format("kind {}", static_cast<int>(found.kind)));
        }
        if (count < least || count > most) {
            fail(fmt::format("cluster {}: update {} seen, want {} to {}", cluster, count, least,
                             most));
        }
    }

    /// The only writer: updates one to eight neighbouring entries; some writes fail.
    void update(std::mt19937_64& random) {
        const std::uint64_t cluster = random_cluster(random);
        const std::uint64_t slice = cache_->slice_index({cluster * 65536});
        const std::uint32_t per_slice = cache_->addressing().slice_entries();
        const auto first = static_cast<std::uint32_t>(cluster % per_slice);
        const auto count = std::min<std::uint64_t>(1 + random() % 8, per_slice - first);
        auto pin = sync_wait(cache_->pin(slice));
        if (!pin) return fail("a pin failed: " + pin.error().message());
        std::vector<Entry> values;
        for (std::uint64_t i = cluster; i < cluster + count; ++i) {
            const std::uint64_t next = begun_[i].load(std::memory_order_relaxed) + 1;
            begun_[i].store(next, std::memory_order_release);
            values.push_back((first_cluster_ + ((i + 1) << kSequenceBits) + next) * 65536);
        }
        const bool fails = random() % 16 == 0;
        if (!fails || random() % 2 == 0) write(cluster, values);
        if (fails) {
            cache_->drop(slice);
            return;
        }
        if (!cache_->publish(*pin, first, values)) fail("no memory");
        for (std::uint64_t i = cluster; i < cluster + count; ++i) {
            published_[i].store(begun_[i].load(std::memory_order_relaxed),
                                std::memory_order_release);
        }
    }

    /// Moves a table to another place in the file and fills the old place with wrong entries, so
    /// that the test detects a cache that uses them.
    void move_table(std::mt19937_64& random) {
        const std::uint64_t table = random() % kTables;
        const std::uint64_t from = cache_->l1(table);
        const std::uint64_t to = table_at(table, from == table_at(table, 0) ? 1 : 0);
        std::vector<std::byte> bytes(kSlicesUsed * kPerSlice * 8);
        static_cast<void>(memory_.read({from}, bytes).run_blocking());
        static_cast<void>(memory_.write({to}, bytes).run_blocking());
        cache_->set_l1(table, to);
        std::ranges::fill(bytes, std::byte{0x33});
        static_cast<void>(memory_.write({from}, bytes).run_blocking());
    }

private:
    static std::uint64_t table_at(std::uint64_t table, std::uint64_t copy) {
        return (std::uint64_t{1} << 20) + (table * 2 + copy) * kPerTable * 8;
    }
    void write(std::uint64_t cluster, const std::vector<Entry>& values) {
        std::vector<std::byte> raw(values.size() * 8);
        for (std::size_t i = 0; i < values.size(); ++i)
            store_le64(raw, i, values[i]);
        const std::uint64_t table = cache_->l1(cluster / kPerTable);
        static_cast<void>(memory_.write({table + cluster % kPerTable * 8}, raw).run_blocking());
    }
    void fail(std::string what) {
        const std::scoped_lock lock(mutex_);
        if (failure_.empty()) failure_ = std::move(what);
    }

    std::uint64_t first_cluster_;
    MemoryFile memory_;
    SlowFile file_;
    PlainDecoder decoder_;
    std::unique_ptr<MappingCache> cache_;
    std::vector<std::atomic<std::uint64_t>> begun_;
    std::vector<std::atomic<std::uint64_t>> published_;
    std::mutex mutex_;  // guards failure_
    std::string failure_;
};

class CacheStressTest : public testing::Test {
protected:
    void run(MemoryBudget& budget, std::span<CountingImage* const> images, bool moves_tables) {
        std::atomic<unsigned> writers{static_cast<unsigned>(images.size())};
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < images.size(); ++i) {
            threads.emplace_back([&, i] {
                std::mt19937_64 random(i);
                const int writes = kWrites / static_cast<int>(images.size());
                for (int k = 0; k < writes; ++k) {
                    images[i]->update(random);
                    if (moves_tables && k % 64 == 0) images[i]->move_table(random);
                }
                --writers;
            });
        }
        for (std::uint64_t i = 0; i < 3; ++i) {
            threads.emplace_back([&, i] {
                std::mt19937_64 random(100 + i);
                for (int k = 0; k < kLookups || writers != 0; ++k) {
                    CountingImage& image = *images[random() % images.size()];
                    image.look_up(CountingImage::random_cluster(random));
                    if (k % 4 == 0) image.look_up_many(CountingImage::random_cluster(random));
                }
            });
        }
        threads.emplace_back([&] {
            std::mt19937_64 random(200);
            while (writers != 0) {
                if (random() % 64 == 0) budget.trim();
                if (random() % 16 == 0) budget.release_unused();
                if (random() % 16 == 0) budget.set_limit((64U + random() % 512) << 10);
                static_cast<void>(budget.stats());
                std::this_thread::yield();
            }
        });
        for (std::thread& thread : threads)
            thread.join();
        for (const CountingImage* image : images)
            EXPECT_EQ(image->failure(), "");
        budget.trim();
        EXPECT_EQ(budget.stats().bytes, 0U);
        EXPECT_EQ(budget.stats().pinned, 0U);
        EXPECT_EQ(budget.stats().loads_in_flight, 0U);
        EXPECT_GT(budget.stats().evictions, 100U);
        EXPECT_GT(budget.stats().hits, 100U);
    }
};

TEST_F(CacheStressTest, LookupsSeeWhatTheWriterMadeTrue) {
    MemoryBudget budget(128U << 10);
    CountingImage image(budget, 0, {.readahead_slices = 4});
    const std::array images{&image};
    run(budget, images, false);
}

TEST_F(CacheStressTest, SeveralImagesShareOneSmallBudget) {
    MemoryBudget budget(128U << 10);
    CountingImage narrow(budget, 0, {.readahead_slices = 8});
    CountingImage wide(budget, std::uint64_t{1} << 33, {.slice_bytes = 1024});
    CountingImage limited(budget, 0, {.limit_bytes = 64U << 10});
    const std::array images{&narrow, &wide, &limited};
    run(budget, images, false);
}

TEST_F(CacheStressTest, TablesThatMoveLeaveNothingBehind) {
    MemoryBudget budget(128U << 10);
    CountingImage image(budget, 0, {.readahead_slices = 8});
    const std::array images{&image};
    run(budget, images, true);
}

}  // namespace
}  // namespace qed::test
