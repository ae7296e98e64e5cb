// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "chain/layer.hpp"
#include "engine/cow_engine.hpp"
#include "engine/flush_group.hpp"
#include "engine/guest_disk.hpp"
#include "formats/qed/header_info.hpp"
#include "formats/qed/header_store.hpp"
#include "formats/qed/resize.hpp"
#include "formats/qed/tables.hpp"
#include "qed/open_options.hpp"

namespace qed {

/// An open QED image: owns its parts, checks and counts requests, and forwards them.
class QedLayer final : public Layer, private GuestDisk, private Compaction {
public:
    /// \param info    the result of read_header() for `file`
    /// \param tables  of the same file, with the L1 entries that the disk uses
    QedLayer(std::unique_ptr<BlockFile> file, const HeaderInfo& info,
             std::unique_ptr<QedTables> tables, std::shared_ptr<Layer> backing,
             const OpenOptions& options);

    static constexpr std::string_view kFormat = "qed";
    Header header() const { return header_.header(); }
    const Geometry& geometry() const noexcept { return geometry_; }

    /// The functions of Layer; some are also those of GuestDisk.
    std::uint64_t size() const noexcept override { return Layer::size(); }
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

    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, WriteFlags flags,
                             Mapping seen) override;
    Result<void> try_write_in_place(GuestOffset at, std::span<const std::byte> data,
                                    Mapping& seen) override;
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                    WriteFlags flags) override;
    Task<Result<void>> discard(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> flush() override;
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) override;
    Task<Result<void>> set_backing(BackingReference backing) override;
    Task<Result<void>> quiesce(bool closes) override;

    /// For the code that opens the image.
    HeaderStore& header_store() noexcept { return header_; }
    CowEngine& engine() noexcept { return engine_; }

private:
    Task<Result<CompactStep>> compact(std::uint64_t bytes) override;
    Task<Result<SortStep>> sort(std::uint64_t bytes) override;
    void add_to(Stats& stats) const override;
    std::uint64_t base_bytes() const noexcept override;
    bool may_show_base() const noexcept override;
    Task<Result<void>> read_base(GuestOffset at, std::span<std::byte> buffer) override;
    Task<Result<void>> read_base_partly(GuestOffset at, std::span<std::byte> buffer,
                                        std::uint64_t stored);

    bool may_write(GuestOffset at, std::uint64_t length) const noexcept {
        return is_writable() && !flushes_.has_failed() && contains(at, length);
    }
    /// Why not, too.
    Result<void> check_write(GuestOffset at, std::uint64_t length) const;
    Result<void> admit_write(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> write_through(GuestOffset at, std::span<const std::byte> data, Mapping seen);

    const Geometry geometry_;
    const std::unique_ptr<QedTables> tables_;
    FlushGroup flushes_;
    HeaderStore header_;
    CowEngine engine_;
    QedResize resize_;
};

}  // namespace qed
