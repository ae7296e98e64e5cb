// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chain/format_driver.hpp"

namespace qed {

class QedDriver final : public FormatDriver {
public:
    std::string_view name() const noexcept override;
    bool probe(std::span<const std::byte> head) const noexcept override;
    Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                              std::span<const std::byte> head,
                                              BackingOpener& backing,
                                              OpenOptions options) const override;
    Task<Result<HeaderSummary>> summarize(BlockFile& file) const override;
    Result<void> check_create(const CreateOptions& options) const override;  // create.cpp
    Task<Result<void>> create(BlockFile& file, CreateOptions options) const override;
    Result<std::unique_ptr<SequentialWriter>> stream_writer(
        BlockFile& file, const CreateOptions& image, const WriterOptions& options) const override;
    Task<Result<CheckReport>> check(BlockFile& file, CheckOptions options) const override;
};

}  // namespace qed
