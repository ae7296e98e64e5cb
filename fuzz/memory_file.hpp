// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "qed/block_file.hpp"

namespace qed::fuzz {

/// A file in memory that fails with ENOSPC when it would exceed a limit. Requests complete at once.
class MemoryFile final : public BlockFile {
public:
    static constexpr std::uint64_t kMaxBytes = 64U << 20;

    explicit MemoryFile(std::span<const std::uint8_t> content)
        : bytes_(content.begin(), content.end()) {}

    std::vector<std::uint8_t> content() const { return bytes_; }

    bool start(IoOp& op) noexcept override {
        const std::scoped_lock lock(mutex_);
        op.error = run(op);
        return false;
    }
    Result<std::uint64_t> size() noexcept override {
        const std::scoped_lock lock(mutex_);
        return bytes_.size();
    }
    StorageTraits traits() const noexcept override { return {.can_punch = true}; }
    bool is_read_only() const noexcept override { return false; }
    std::string_view name() const noexcept override { return "input"; }

private:
    int run(IoOp& op) {
        switch (op.kind) {
            case IoKind::read:
            case IoKind::write:
                return transfer(op);
            case IoKind::truncate:
                return resize(op.offset);
            case IoKind::punch:
                for (std::uint64_t at = op.offset; at < bytes_.size() && at - op.offset < op.length;
                     ++at) {
                    bytes_[at] = 0;
                }
                return 0;
            case IoKind::allocate:
                return grow_to(op.offset, op.length);
            case IoKind::flush:
                return 0;
        }
        return EINVAL;
    }

    int transfer(IoOp& op) {
        const bool writes = op.kind == IoKind::write;
        if (writes) {
            if (const int error = grow_to(op.offset, op.length); error != 0) return error;
        }
        std::uint64_t at = op.offset;
        const std::size_t count = op.buffers != nullptr ? op.buffer_count : 1;
        for (const iovec& buffer : std::span(op.vector(), count)) {
            if (buffer.iov_len == 0) continue;
            auto* memory = static_cast<std::uint8_t*>(buffer.iov_base);
            const std::size_t inside =
                at < bytes_.size() ? std::min<std::size_t>(buffer.iov_len, bytes_.size() - at) : 0;
            if (writes) {
                std::memcpy(bytes_.data() + at, memory, buffer.iov_len);
            } else {
                if (inside > 0) std::memcpy(memory, bytes_.data() + at, inside);
                std::memset(memory + inside, 0, buffer.iov_len - inside);
            }
            at += buffer.iov_len;
        }
        return 0;
    }

    int resize(std::uint64_t bytes) {
        if (bytes > kMaxBytes) return ENOSPC;
        bytes_.resize(bytes);
        return 0;
    }

    int grow_to(std::uint64_t offset, std::uint64_t length) {
        if (offset > kMaxBytes || length > kMaxBytes - offset) return ENOSPC;
        return offset + length > bytes_.size() ? resize(offset + length) : 0;
    }

    mutable std::mutex mutex_;  // guards bytes_
    std::vector<std::uint8_t> bytes_;
};

}  // namespace qed::fuzz
