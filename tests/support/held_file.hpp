// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

#include "support/forwarding_file.hpp"

namespace qed::test {

/// A file whose reads, or requests of another kind, end when the test ends them. The data of a held
/// read is fixed when it starts, so that a later write makes it stale.
class HeldFile final : public ForwardingFile {
public:
    using ForwardingFile::ForwardingFile;

    bool holds = true;                ///< false: requests end at once
    IoKind held_kind = IoKind::read;  ///< the kind of request that is held

    bool start(IoOp& op) noexcept override {
        IoOp now = op;
        static_cast<void>(forward(now));
        op.error = now.error;
        if (op.kind == IoKind::read) ++reads_;
        if (!holds || op.kind != held_kind) return false;
        held_.push_back(&op);
        return true;
    }
    /// Ends the oldest held request: with its data, or with `error` if that is not 0.
    void end_read(int error = 0) { end_read_at(0, error); }
    void end_read_at(std::size_t index, int error = 0) {
        IoOp& op = *held_.at(index);
        held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(index));
        if (error != 0) op.error = error;
        op.complete();
    }
    std::size_t held() const { return held_.size(); }
    const IoOp& held_read(std::size_t index) const { return *held_.at(index); }
    std::size_t reads() const { return reads_; }

private:
    std::vector<IoOp*> held_;
    std::size_t reads_ = 0;
};

}  // namespace qed::test
