// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/guest_disk.hpp"
#include "engine/table_committer.hpp"
#include "support/memory_file.hpp"
#include "unit/cache/cache_fixture.hpp"

namespace qed::test {

/// A dirty mark in memory, which can be told to fail.
class FakeMarker final : public DirtyMarker {
public:
    bool is_dirty() const noexcept override { return dirty; }
    Task<Result<void>> set_dirty() override {
        ++sets;
        if (fails) co_return fail(Errc::io_error, "the mark cannot be set");
        dirty = true;
        co_return {};
    }
    Task<Result<void>> clear_dirty() override {
        dirty = false;
        co_return {};
    }

    bool dirty = false;
    bool fails = false;
    int sets = 0;
};

/// A disk of a given size, of which the committer asks nothing else.
class FakeDisk final : public GuestDisk {
public:
    std::uint64_t size() const noexcept override { return bytes; }
    Result<void> admit_write(GuestOffset, std::uint64_t) override { return {}; }
    Task<Result<Mapping>> load(GuestOffset, std::uint64_t) override { co_return Mapping{}; }
    Error explain(GuestOffset) override { return Error::out_of_memory(); }
    std::uint64_t base_bytes() const noexcept override { return 0; }
    bool may_show_base() const noexcept override { return false; }
    Task<Result<void>> read_base(GuestOffset, std::span<std::byte>) override { co_return {}; }

    std::uint64_t bytes = 0;
};

/// A committer over the tables of a TableImage: of its L1 table, the first entry names a table.
class CommitterFixture {
public:
    static constexpr std::uint64_t kCluster = 65536;
    static constexpr std::uint64_t kL1At = 65536;

    explicit CommitterFixture(TableCommitter::Rules rules)
        : image(budget, 1),
          allocator(ClusterSize(16), epochs),
          extender(image.memory),
          flushes(image.memory),
          committer(
              {.file = image.memory,
               .cache = *image.cache,
               .allocator = allocator,
               .extender = extender,
               .flushes = flushes,
               .marker = marker,
               .disk = disk},
              TableLayout{
                  .cluster = ClusterSize(16), .table_clusters = 4, .l1_table = FileOffset{kL1At}},
              rules) {
        disk.bytes = 2 * image.shape.table_entries() * kCluster;
        flushes.add_observer(allocator);
        image.file.holds = false;
        image.memory.store_u64(kL1At, image.table(0));
        const std::uint64_t end = image.memory.bytes() + 64 * kCluster;
        image.memory.resize(end);
        extender.start_at(end);
        allocator.set_end(end);
        image.memory.history = &history;
    }

    /// A cluster of the file that stands for one with data; `index` counts from the first free one.
    static FileOffset storage(std::uint64_t index) {
        return {TableImage::kFirstTable + (8 + index) * kCluster};
    }
    MappingUpdate data(std::uint64_t cluster, std::uint64_t count = 1,
                       std::uint64_t stored = 0) const {
        return {.at = image.guest(cluster),
                .clusters = count,
                .state = MappingUpdate::State::data,
                .storage = storage(stored)};
    }
    Result<void> commit(const MappingUpdate& update) {
        Running<Result<void>> running(image.executor, committer.commit(update));
        image.executor.run();
        return std::move(running.result());
    }
    Result<void> write_deferred() {
        Running<Result<void>> running(image.executor, committer.write_deferred());
        image.executor.run();
        return std::move(running.result());
    }
    /// The entry in the file, of a cluster that the first table maps.
    Entry entry_in_file(std::uint64_t cluster) const {
        return image.memory.load_u64(TableImage::kFirstTable + cluster * sizeof(Entry));
    }
    /// What was done to the file, a letter each: f for a flush, t for a write to the first table, l
    /// for one to the L1 table, n for any other write, which here means a new table.
    std::string steps() const {
        std::string letters;
        for (const FileChange& change : history) {
            if (change.kind == IoKind::flush) letters += 'f';
            if (change.kind != IoKind::write) continue;
            const bool is_first_table = change.offset >= image.table(0) &&
                                        change.offset < image.table(0) + image.shape.table_bytes();
            letters += change.offset < TableImage::kFirstTable ? 'l' : is_first_table ? 't' : 'n';
        }
        return letters;
    }

    MemoryBudget budget{4U << 20};
    TableImage image;
    RequestEpochs epochs;
    FakeMarker marker;
    FakeDisk disk;
    ClusterAllocator allocator;
    FileExtender extender;
    FlushGroup flushes;
    TableCommitter committer;
    std::vector<FileChange> history;
};

}  // namespace qed::test
