// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/format_driver.hpp"

namespace qed {

class RawDriver final : public FormatDriver {
public:
    std::string_view name() const noexcept override;
    /// Always false: a guest chooses the first bytes of a raw disk.
    bool probe(std::span<const std::byte>) const noexcept override { return false; }
    Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                              std::span<const std::byte> head,
                                              BackingOpener& backing,
                                              OpenOptions options) const override;
    Result<std::unique_ptr<SequentialWriter>> stream_writer(
        BlockFile& file, const CreateOptions& image, const WriterOptions& options) const override;
};

}  // namespace qed
