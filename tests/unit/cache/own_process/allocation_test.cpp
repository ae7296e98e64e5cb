// SPDX-License-Identifier: Apache-2.0
// What the table cache does when memory runs out, and what a hit does not do. This program counts
// and fails allocations and counts locks, so it is not part of the others.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include <gtest/gtest.h>

#include "support/sanitized.hpp"
#include "unit/cache/cache_fixture.hpp"

namespace {

std::atomic<std::int64_t> allocations_left{-1};  // negative: any number
std::atomic<std::uint64_t> allocations{0};
std::atomic<std::uint64_t> locks_taken{0};

bool may_allocate() noexcept {
    allocations.fetch_add(1, std::memory_order_relaxed);
    if (allocations_left.load(std::memory_order_relaxed) < 0) return true;
    return allocations_left.fetch_sub(1, std::memory_order_relaxed) > 0;
}

void* allocate(std::size_t bytes, std::size_t alignment) noexcept {
    if (!may_allocate()) {
        allocations_left.store(0, std::memory_order_relaxed);
        return nullptr;
    }
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    return std::aligned_alloc(alignment, rounded);
}

// Not inline: the compiler would see that what `new` returned is given to free().
[[gnu::noinline]] void release(void* memory) noexcept {
    std::free(memory);
}

constexpr std::size_t kPlain = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

void* operator new(std::size_t bytes) {
    if (void* memory = allocate(bytes, kPlain)) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
    return allocate(bytes, kPlain);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    if (void* memory = allocate(bytes, static_cast<std::size_t>(alignment))) return memory;
    throw std::bad_alloc();
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept {
    release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
    release(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}

// Sanitizers bring their own versions of these.
#if !QED_TEST_SANITIZED
#define QED_TEST_COUNTS_LOCKS 1
extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    using Lock = int (*)(pthread_mutex_t*);
    static const auto real = reinterpret_cast<Lock>(::dlsym(RTLD_NEXT, "pthread_mutex_lock"));
    locks_taken.fetch_add(1, std::memory_order_relaxed);
    return real(mutex);
}
// Arenas and directories take their memory here.
extern "C" void* mmap(void* address, size_t length, int protection, int flags, int file,
                      off_t offset) noexcept {
    using Map = void* (*)(void*, size_t, int, int, int, off_t);
    static const auto real = reinterpret_cast<Map>(::dlsym(RTLD_NEXT, "mmap"));
    if ((flags & MAP_NORESERVE) != 0 && !may_allocate()) {
        allocations_left.store(0, std::memory_order_relaxed);
        return MAP_FAILED;
    }
    return real(address, length, protection, flags, file, offset);
}
#endif

namespace qed::test {
namespace {

constexpr std::uint64_t kCluster = 65536;
constexpr std::uint64_t kPerSlice = 512;

/// From now on, `count` allocations succeed and all later ones fail.
class FailingMemory {
public:
    explicit FailingMemory(std::int64_t count) { allocations_left = count; }
    FailingMemory(const FailingMemory&) = delete;
    FailingMemory& operator=(const FailingMemory&) = delete;
    ~FailingMemory() { allocations_left = -1; }
    bool has_failed() const { return allocations_left == 0; }
};

TEST(AllocationTest, HitAllocatesNothingAndTakesNoLock) {
    MemoryBudget budget(1U << 20);
    TableImage image(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t i = 0; i < 8; ++i)  // a form that is looked up in steps
        image.put(i * 50, (i + 20) * kCluster);
    image.put_scattered(1);
    ASSERT_TRUE(image.load(0).has_value());
    ASSERT_TRUE(image.load(kPerSlice).has_value());
    const std::uint64_t allocations_before = allocations;
    const std::uint64_t locks_before = locks_taken;
    for (std::uint64_t cluster = 0; cluster < 2 * kPerSlice; ++cluster) {
        ASSERT_NE(image.find(cluster).kind, Mapping::Kind::not_loaded);
        ASSERT_NE(image.find(cluster, 5).kind, Mapping::Kind::not_loaded);
    }
    EXPECT_EQ(allocations, allocations_before);
    EXPECT_EQ(locks_taken, locks_before);
#ifdef QED_TEST_COUNTS_LOCKS
    const SliceRef pin = image.pin(0);
    EXPECT_GT(locks_taken, locks_before) << "locks are counted";
#endif
    EXPECT_EQ(image.file.reads(), 2U);
}

TEST(AllocationTest, MakingACacheEitherWorksOrSaysThatThereIsNoMemory) {
    MemoryFile memory(1U << 20);
    const PlainDecoder decoder;
    unsigned failures = 0;
    for (std::int64_t count = 0; failures == 0 || count < 20; ++count) {
        MemoryBudget budget(1U << 20);
        const FailingMemory failing(count);
        const auto cache =
            MappingCache::create(memory, budget, TestTables(65536, 4).shape(4096), decoder, {});
        if (!cache) {
            ++failures;
            EXPECT_EQ(cache.error().code(), Errc::out_of_memory);
        } else if (!failing.has_failed()) {
            break;
        }
    }
    EXPECT_GT(failures, 0U);
}

// Memory runs out at every point of a load in turn; each time nothing is lost but the load.
TEST(AllocationTest, LoadThatFindsNoMemoryFailsAndTheNextOneWorks) {
    unsigned failures = 0;
    for (std::int64_t count = 0;; ++count) {
        MemoryBudget budget(1U << 20);
        TableImage image(budget, 4, {.readahead_slices = 4});
        for (std::uint64_t slice = 0; slice < 4; ++slice)
            image.put_scattered(slice);
        image.file.holds = false;
        bool has_failed = false;
        {
            const FailingMemory failing(count);
            for (std::uint64_t slice = 0; slice < 3; ++slice) {
                const auto found = sync_wait(image.cache->load(image.slice_start(slice), kCluster));
                if (found) {
                    EXPECT_EQ(found->offset.value, image.scattered(slice, 0));
                } else {
                    EXPECT_EQ(found.error().code(), Errc::out_of_memory);
                    ++failures;
                }
            }
            has_failed = failing.has_failed();
        }
        EXPECT_EQ(budget.stats().pinned, 0U) << count;
        EXPECT_EQ(budget.stats().loads_in_flight, 0U) << count;
        for (std::uint64_t slice = 0; slice < 4; ++slice) {
            EXPECT_EQ(image.load(slice * kPerSlice)->offset.value, image.scattered(slice, 0));
        }
        if (!has_failed) break;
    }
    EXPECT_GT(failures, 10U);
}

TEST(AllocationTest, WaitersOfAReadThatFindsNoMemoryFail) {
    unsigned failures = 0;
    for (std::int64_t count = 0;; ++count) {
        MemoryBudget budget(1U << 20);
        TableImage image(budget, 4);
        image.put_scattered(0);
        auto one = image.start_pin(0);
        auto two = image.start_pin(0);
        bool has_failed = false;
        {
            const FailingMemory failing(count);
            image.end_read();
            has_failed = failing.has_failed();
        }
        ASSERT_TRUE(one.done() && two.done());
        ASSERT_EQ(one.result().has_value(), two.result().has_value());
        if (!one.result().has_value()) ++failures;
        if (!has_failed) break;
    }
    EXPECT_GT(failures, 0U);
}

TEST(AllocationTest, FailedReadIsReportedEvenIfThereIsNoMemoryForTheMessage) {
    for (std::int64_t count = 0;; ++count) {
        MemoryBudget budget(1U << 20);
        TableImage image(budget, 4);
        auto one = image.start_pin(0);
        auto two = image.start_pin(0);
        bool has_failed = false;
        {
            const FailingMemory failing(count);
            image.end_read(EIO);
            has_failed = failing.has_failed();
        }
        ASSERT_TRUE(one.done() && two.done());
        ASSERT_FALSE(one.result().has_value() || two.result().has_value());
        ASSERT_TRUE(image.load(0).has_value());
        if (!has_failed) break;
    }
}

TEST(AllocationTest, UpdateThatFindsNoMemoryChangesNothing) {
    unsigned failures = 0;
    for (std::int64_t count = 0; count < 3; ++count) {
        MemoryBudget budget(1U << 20);
        TableImage image(budget, 4);
        const SliceRef pin = image.pin(0);  // has no payload: its first entry needs one
        const FailingMemory failing(count);
        if (image.cache->publish(pin, 3, std::array<Entry, 1>{9 * kCluster})) {
            EXPECT_EQ(image.find(3).offset.value, 9 * kCluster);
        } else {
            ++failures;
            EXPECT_EQ(image.find(3).kind, Mapping::Kind::unallocated);
            EXPECT_EQ(pin.entry(3), kUnallocatedEntry);
        }
        EXPECT_FALSE(pin.is_detached());
    }
    EXPECT_GT(failures, 0U);
}

TEST(AllocationTest, NewTableIsLinkedEvenIfItFindsNoPlaceInTheCache) {
    MemoryBudget budget(1U << 20);
    TableImage image(budget, 4);
    image.cache->set_l1(0, 0);
    {
        const FailingMemory failing(0);
        image.cache->install_table(0, image.table(0));
        EXPECT_FALSE(image.cache->try_pin(0));
    }
    EXPECT_EQ(image.find(0).kind, Mapping::Kind::not_loaded) << "readers find it in the file";
    EXPECT_EQ(image.load(0)->kind, Mapping::Kind::unallocated);
}

TEST(AllocationTest, EvictionWorksWithoutMemory) {
    MemoryBudget budget(128U << 10);
    TableImage image(budget, 4, {.readahead_slices = 1});
    for (std::uint64_t slice = 0; slice < 30; ++slice) {
        image.put_scattered(slice);
        ASSERT_TRUE(image.load(slice * kPerSlice).has_value());
    }
    const FailingMemory failing(0);
    budget.trim();
    EXPECT_EQ(budget.stats().bytes, 0U);
}

}  // namespace
}  // namespace qed::test
