// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/layer.hpp"

namespace qed {

/// A raw file or device as the bottom of a chain: all of it is data, in place.
class RawLayer final : public Layer {
public:
    RawLayer(std::unique_ptr<BlockFile> file, std::uint64_t bytes)
        : Layer(std::move(file), nullptr), bytes_(bytes) {}

    std::uint64_t size() const noexcept override { return bytes_; }
    bool is_writable() const noexcept override { return !file_->is_read_only(); }
    Stats stats() const override;
    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        return Mapping::in_place(FileOffset{at.value}, length);
    }
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override;
    Error explain(GuestOffset at) override;
    void count_read(std::uint64_t) noexcept override {}

    Result<Mapping> try_write_in_place(GuestOffset at, std::span<const std::byte> data) override;
    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, WriteFlags flags,
                             Mapping seen) override;
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                    WriteFlags flags) override;
    Task<Result<void>> discard(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> flush() override;
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) override;
    Task<Result<void>> set_backing_name(const char* name, BackingFormat format) override;
    Task<Result<void>> quiesce() override;
    Task<Result<void>> finish() override;

private:
    Result<void> check_write(GuestOffset at, std::uint64_t length) const;
    std::uint64_t bytes_;
};

}  // namespace qed
