// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/counters.hpp"
#include "chain/layer.hpp"
#include "engine/cluster_allocator.hpp"
#include "engine/cluster_range_lock.hpp"
#include "engine/file_extender.hpp"
#include "engine/flush_group.hpp"
#include "engine/table_committer.hpp"
#include "formats/qed/entry_decoder.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/header_store.hpp"

namespace qed {

enum class ImageCounter : std::uint8_t {
    reads,
    read_bytes,
    writes,
    write_bytes,
    zeroes,
    discards,
    flushes,
    allocated_clusters,
    turn_waits,
    count_,
};

/// An open QED image.
class QedLayer final : public Layer {
public:
    /// \param info  what read_header() has read from `file`
    static Task<Result<std::unique_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                                     HeaderInfo info,
                                                     std::shared_ptr<Image> backing,
                                                     OpenOptions options);
    ~QedLayer() override;

    std::uint64_t size() const noexcept override { return bytes_.load(std::memory_order_acquire); }
    bool is_writable() const noexcept override { return options_.writable; }
    std::optional<Header> header() const override { return header_.copy(); }
    const Geometry* geometry() const noexcept override { return &geometry_; }
    std::string backing_name() const override;
    Stats stats() const override;

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        return cache_->find(at, length);
    }
    std::size_t find_many(GuestOffset at, std::uint64_t length,
                          std::span<Mapping> runs) noexcept override {
        return cache_->find_runs(at, length, runs);
    }
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override;
    Error explain(GuestOffset at) override;
    RequestEpochs::Guard enter() noexcept override { return epochs_.enter(); }
    void count_read(std::uint64_t bytes) noexcept override;
    bool lacks_backing() const noexcept override { return lacks_backing_; }

    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data,
                             WriteFlags flags) override;
    std::optional<Result<void>> write_in_place(GuestOffset at,
                                               std::span<const std::byte> data) override;
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                    WriteFlags flags) override;
    Task<Result<void>> discard(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> flush() override;
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) override;
    Task<Result<void>> set_backing_name(const char* name, BackingFormat format) override;
    Task<Result<void>> quiesce() override;
    Task<Result<void>> finish() override;

private:
    struct Piece;
    QedLayer(std::unique_ptr<BlockFile> file, HeaderInfo&& info, std::shared_ptr<Image> backing,
             const OpenOptions& options);

    // Opening (qed_open.cpp).
    Result<void> make_cache();
    Task<Result<void>> load_l1(std::uint64_t first, std::uint64_t image_bytes);
    std::uint64_t l1_loaded_for(std::uint64_t image_bytes) const noexcept;
    Task<Result<void>> prepare_writing();
    Task<Result<void>> scan_tables();
    Task<Result<void>> scan_table(std::uint64_t l1_index, std::span<std::byte> buffer);
    /// Guest bytes behind the `found` ones from `at` on whose entries lie in a hole of the file.
    std::uint64_t hole_behind(GuestOffset at, std::uint64_t found, std::uint64_t length);

    // Writing (qed_write.cpp).
    Result<void> check_write(GuestOffset at, std::uint64_t length) const;
    Result<void> check_not_stopped() const;
    Task<Result<Mapping>> look_up(GuestOffset at, std::uint64_t length);
    Task<Result<void>> write_through(GuestOffset at, std::span<const std::byte> data);
    /// \param is_request  of the guest, to be checked and counted; the image itself also writes
    ///                    behind its end, before it grows
    Task<Result<void>> write_range(GuestOffset at, std::span<const std::byte> data,
                                   bool is_request);
    Task<Result<std::uint64_t>> write_new_clusters(GuestOffset at, std::span<const std::byte> data);
    /// The data with what surrounds it in its clusters.
    Task<Result<void>> write_filled(Piece& piece);
    Task<Result<void>> write_joined(Piece& piece);
    Task<Result<void>> write_apart(Piece& piece);
    Task<Result<void>> copy_clusters(GuestOffset at, std::uint64_t length, FileOffset to,
                                     bool from_backing);
    Task<Result<void>> fill(GuestOffset at, std::span<std::byte> buffer, bool from_backing);
    Task<Result<void>> fill_partly(GuestOffset at, std::span<std::byte> buffer,
                                   std::uint64_t stored);
    TableUpdate update_for(GuestOffset at, std::uint64_t clusters, Entry base);

    // Zeroes and discard (qed_zero.cpp).
    Task<Result<void>> zero_range(GuestOffset at, std::uint64_t end, WriteFlags flags);
    Task<Result<void>> zero_edge(GuestOffset at, std::uint64_t length, bool may_write);
    std::uint64_t end_of_whole_clusters(std::uint64_t end) const noexcept;
    Task<Result<std::uint64_t>> mark_clusters(GuestOffset at, std::uint64_t end, Entry marker,
                                              bool always = false);
    Task<Result<bool>> needs_marking(GuestOffset at, std::uint64_t end, Entry marker, bool always);
    Task<Result<void>> punch_free_space();

    // Header and size (qed_header_changes.cpp).
    Task<Result<void>> grow(std::uint64_t bytes);
    Task<Result<void>> shrink(std::uint64_t bytes, bool allow_data_loss);
    Task<Result<void>> write_size(std::uint64_t bytes);
    Task<Result<void>> write_name(std::string_view name, Header& header);

    const OpenOptions options_;
    const Geometry geometry_;
    const bool strict_;
    const bool lacks_backing_;
    mutable std::mutex name_mutex_;  // guards backing_name_
    std::string backing_name_;
    MemoryBudget& budget_;
    QedEntryDecoder decoder_;
    RequestEpochs epochs_;
    ClusterAllocator allocator_;
    FileExtender extender_;
    FlushGroup flushes_;
    HeaderStore header_;
    std::unique_ptr<MappingCache> cache_;
    ClusterRangeLock range_locks_;
    std::optional<TableCommitter> committer_;  // made once the cache is
    AsyncMutex resizing_;
    std::atomic<std::uint64_t> bytes_;
    Counters<ImageCounter> counters_;
};

}  // namespace qed
