// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/counters.hpp"
#include "chain/layer.hpp"
#include "engine/cow_engine.hpp"
#include "engine/flush_group.hpp"
#include "engine/guest_disk.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/header_store.hpp"
#include "formats/qed/resize.hpp"
#include "formats/qed/tables.hpp"

namespace qed {

enum class ImageCounter : std::uint8_t {
    reads,
    read_bytes,
    writes,
    write_bytes,
    zeroes,
    discards,
    flushes,
    count_,
};

/// An open QED image: owns its parts, checks and counts requests, and forwards them.
class QedLayer final : public Layer, private GuestDisk {
public:
    /// \param info    what read_header() has read from `file`
    /// \param tables  of the same file, with the L1 entries that the disk uses
    QedLayer(std::unique_ptr<BlockFile> file, const HeaderInfo& info,
             std::unique_ptr<QedTables> tables, std::shared_ptr<Image> backing,
             const OpenOptions& options);

    std::uint64_t size() const noexcept override { return bytes_.load(std::memory_order_acquire); }
    bool is_writable() const noexcept override { return writable_; }
    std::optional<Header> header() const override { return header_.header(); }
    const Geometry* geometry() const noexcept override { return &geometry_; }
    std::string backing_name() const override { return header_.backing_name(); }
    Stats stats() const override;

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        return tables_->cache().find(at, length);
    }
    std::size_t find_many(GuestOffset at, std::uint64_t length,
                          std::span<Mapping> found) noexcept override {
        return tables_->cache().find_runs(at, length, found);
    }
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override {
        return tables_->load(at, length);
    }
    Error explain(GuestOffset at) override { return tables_->explain(at); }
    RequestEpochs::Guard enter() noexcept override { return epochs_.enter(); }
    void count_read(std::uint64_t bytes) noexcept override;
    bool lacks_backing() const noexcept override { return lacks_backing_; }

    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, WriteFlags flags,
                             Mapping seen) override;
    Result<Mapping> try_write_in_place(GuestOffset at, std::span<const std::byte> data) override;
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                    WriteFlags flags) override;
    Task<Result<void>> discard(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> flush() override;
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) override;
    Task<Result<void>> set_backing_name(const char* name, BackingFormat format) override;
    Task<Result<void>> quiesce() override;
    Task<Result<void>> finish() override;

    /// For the opener.
    HeaderStore& header_store() noexcept { return header_; }
    QedTables& tables() noexcept { return *tables_; }

private:
    std::uint64_t base_bytes() const noexcept override;
    bool may_show_base() const noexcept override;
    Task<Result<void>> read_base(GuestOffset at, std::span<std::byte> buffer) override;
    Task<Result<void>> read_base_partly(GuestOffset at, std::span<std::byte> buffer,
                                        std::uint64_t stored);

    Result<void> check_write(GuestOffset at, std::uint64_t length) const;
    Result<void> admit_write(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> write_through(GuestOffset at, std::span<const std::byte> data, Mapping seen);

    const bool writable_;
    const bool lacks_backing_;  // the header names a backing file that was not opened
    const Geometry geometry_;
    const std::unique_ptr<QedTables> tables_;
    std::atomic<std::uint64_t> bytes_;
    RequestEpochs epochs_;
    FlushGroup flushes_;
    HeaderStore header_;
    CowEngine engine_;
    QedResize resize_;
    Counters<ImageCounter> counters_;
};

}  // namespace qed
