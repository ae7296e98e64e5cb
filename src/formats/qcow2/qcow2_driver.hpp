// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/format_driver.hpp"

namespace qed {

/// qcow2 images of version 2 and 3, for reading.
class Qcow2Driver final : public FormatDriver {
public:
    std::string_view name() const noexcept override;
    bool probe(std::span<const std::byte> head) const noexcept override;
    Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                              std::span<const std::byte> head,
                                              BackingOpener& backing,
                                              OpenOptions options) const override;
    Task<Result<HeaderSummary>> summarize(BlockFile& file) const override;
};

}  // namespace qed
