// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>

#include "chain/layer.hpp"
#include "formats/qcow2/compressed_clusters.hpp"
#include "formats/qcow2/qcow2_header.hpp"
#include "formats/qcow2/qcow2_tables.hpp"

namespace qed {

/// An open qcow2 image, read-only.
class Qcow2Layer final : public Layer {
public:
    static constexpr std::string_view kFormat = "qcow2";

    Qcow2Layer(std::unique_ptr<BlockFile> file, Qcow2Header header,
               std::unique_ptr<Qcow2Tables> tables, std::shared_ptr<Layer> backing);

    const Qcow2Header& header() const noexcept { return header_; }

    Mapping find(GuestOffset at, std::uint64_t length) noexcept override;
    std::size_t find_many(GuestOffset at, std::uint64_t length,
                          std::span<Mapping> found) noexcept override;
    Task<Result<Mapping>> load(GuestOffset at, std::uint64_t length) override;
    Task<Result<void>> read_encoded(GuestOffset at, std::span<std::byte> buffer) override {
        return compressed_.read(at, buffer);
    }
    Error explain(GuestOffset at) override;

private:
    void add_to(Stats& stats) const override;

    const Qcow2Header header_;
    const std::unique_ptr<Qcow2Tables> tables_;
    CompressedClusters compressed_;
};

}  // namespace qed
