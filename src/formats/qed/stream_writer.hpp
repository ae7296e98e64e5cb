// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "io/preallocator.hpp"
#include "io/sequential_writer.hpp"
#include "qed/create_options.hpp"
#include "qed/geometry.hpp"
#include "qed/header.hpp"

namespace qed {

/// Writes a whole image in guest order: appends consecutive clusters to the file, writes each table
/// once, and the header last. Memory: the L1 entries in use and one slice of an L2 table, for any
/// geometry. Until finish() the file is not a valid image.
class StreamWriter final : public SequentialWriter {
public:
    /// \errors invalid_argument  the size or the name does not fit the geometry
    static Result<std::unique_ptr<StreamWriter>> create(BlockFile& file, const CreateOptions& image,
                                                        std::uint64_t image_bytes,
                                                        const WriterOptions& options);

    std::uint64_t grain() const noexcept override { return grain_; }
    std::uint64_t zero_unit() const noexcept override { return grain_; }
    Result<Place> place(std::uint64_t guest, std::uint64_t length) override;
    void reserve(const Place& at) noexcept override;
    Result<void> store(const Place& at, std::span<const std::byte> data) override;
    Result<void> zero(std::uint64_t guest, std::uint64_t length) override;
    Result<void> skip(std::uint64_t guest, std::uint64_t length) override;
    BlockFile* shared_file() noexcept override { return &file_; }
    std::uint64_t scratch_offset(std::uint64_t) const noexcept override { return 0; }
    void write_early() noexcept override { file_.start_writeback(); }
    Result<void> finish() override;

private:
    StreamWriter(BlockFile& file, const Geometry& geometry, const Header& header,
                 std::string backing_name, bool allocate_zeroes);
    Result<void> seek(std::uint64_t guest);
    Result<void> flush_slice();
    Result<void> set_entry(std::uint64_t guest, std::uint64_t entry);
    std::uint64_t entry(std::uint64_t guest) const;
    std::size_t slot_of(std::uint64_t guest) const;

    BlockFile& file_;
    Preallocator space_;
    Geometry geometry_;
    Header header_;
    std::string backing_name_;
    bool allocate_zeroes_;
    std::uint64_t grain_;
    std::uint64_t end_;  ///< of the file, a multiple of the cluster size
    std::vector<std::uint64_t> l1_;
    std::vector<std::byte> slice_;
    std::uint64_t slice_number_ = 0;  ///< counted over all L2 tables
    bool slice_dirty_ = false;
};

}  // namespace qed
