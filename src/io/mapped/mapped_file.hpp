// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "io/mapped/file_mapping.hpp"
#include "io/posix/descriptor_access.hpp"
#include "io/posix/posix_file.hpp"
#include "qed/block_file.hpp"

namespace qed {

/// A read-only file whose readers copy from a mapping. Reads outside the mapping, and all reads
/// after the mapping is lost, go to the file, which returns the data or the error.
class MappedFile final : public BlockFile {
public:
    MappedFile(std::unique_ptr<PosixFile> raw, std::unique_ptr<FileMapping> mapping) noexcept
        : raw_(std::move(raw)), mapping_(std::move(mapping)) {}

    bool start(IoOp& op) noexcept override;
    Result<std::uint64_t> size() noexcept override { return raw_->size(); }
    std::uint64_t mapped_bytes() const noexcept override {
        return mapping_->is_lost() ? 0 : mapping_->bytes();
    }
    StorageTraits traits() const noexcept override { return raw_->traits(); }
    bool is_read_only() const noexcept override { return true; }
    std::string_view name() const noexcept override { return raw_->name(); }
    Result<DataRange> next_data(std::uint64_t at) noexcept override { return raw_->next_data(at); }
    std::optional<FileIdentity> identity() const noexcept override { return raw_->identity(); }
    Result<void> lock(LockRole role) override { return raw_->lock(role); }
    Result<bool> clone_range(BlockFile& source, FileOffset at, std::uint64_t length,
                             FileOffset to) override {
        return raw_->clone_range(source, at, length, to);
    }
    void start_writeback() noexcept override { raw_->start_writeback(); }
    Result<std::uint64_t> allocated_bytes() noexcept override { return raw_->allocated_bytes(); }

private:
    int descriptor() const noexcept override { return DescriptorAccess::of(*raw_); }
    bool copy(const IoOp& op) noexcept;

    std::unique_ptr<PosixFile> raw_;
    std::unique_ptr<FileMapping> mapping_;
};

}  // namespace qed
