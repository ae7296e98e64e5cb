// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/layer.hpp"

namespace qed {

/// A raw file or device as the last layer of a chain: all of it is data, in place.
class RawLayer final : public Layer {
public:
    static constexpr std::string_view kFormat = "raw";

    /// A file that ends within a sector reads as if it were padded with zeroes.
    static Result<std::shared_ptr<Layer>> open(std::unique_ptr<BlockFile> file);

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override {
        return Mapping::in_place(FileOffset{at.value}, length);
    }
    Result<void> try_write_in_place(GuestOffset at, std::span<const std::byte> data,
                                    Mapping& seen) override;
    Task<Result<void>> write(GuestOffset at, std::span<const std::byte> data, WriteFlags flags,
                             Mapping seen) override;
    Task<Result<void>> write_zeroes(GuestOffset at, std::uint64_t length,
                                    WriteFlags flags) override;
    Task<Result<void>> discard(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> flush() override;
    Task<Result<void>> resize(std::uint64_t bytes, bool allow_data_loss) override;
    Task<Result<void>> set_backing(BackingReference backing) override;
    Task<Result<void>> quiesce(bool closes) override;

private:
    RawLayer(std::unique_ptr<BlockFile> file, LayerTraits traits)
        : Layer(std::move(file), nullptr, std::move(traits)) {}
    Result<void> check_write(GuestOffset at, std::uint64_t length) const;
};

}  // namespace qed
