// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "qed/block_file.hpp"

namespace qed::test {

/// Forwards everything to another file, which outlives it: for an image that owns its file while
/// the test owns the content. Doubles derive from it and override what they change.
class ForwardingFile : public BlockFile {
public:
    explicit ForwardingFile(BlockFile& file) : file_(file) {}

    bool start(IoOp& op) noexcept override { return forward(op); }
    Result<std::uint64_t> size() noexcept override { return file_.size(); }
    Alignment alignment() const noexcept override { return file_.alignment(); }
    StorageTraits traits() const noexcept override { return file_.traits(); }
    bool is_read_only() const noexcept override { return file_.is_read_only(); }
    std::string_view name() const noexcept override { return file_.name(); }
    Result<DataRange> next_data(std::uint64_t at) noexcept override { return file_.next_data(at); }
    std::optional<FileIdentity> identity() const noexcept override { return file_.identity(); }
    Result<void> lock(LockRole role) override { return file_.lock(role); }

protected:
    bool forward(IoOp& op) noexcept {
        op.file = &file_;
        const bool pending = file_.start(op);
        if (!pending) op.file = this;  // a pending request belongs to the other file
        return pending;
    }
    BlockFile& file() const noexcept { return file_; }

private:
    BlockFile& file_;
};

}  // namespace qed::test
