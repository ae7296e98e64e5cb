// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace qed {

/// The number of slices that a miss reads. If misses come in order, it is twice as many as the last
/// time, up to a maximum. A few readers in order are tracked separately. Callers serialise all
/// calls.
class ReadAhead {
public:
    explicit ReadAhead(std::uint32_t most_slices) noexcept : most_(std::max(most_slices, 1U)) {}

    /// \param slice  the missed slice
    /// \param limit  the maximum; at least 1
    /// \returns  1 .. limit: `slice` and those that follow it
    std::uint32_t slices_for(std::uint64_t slice, std::uint64_t limit) noexcept {
        auto stream = std::ranges::find(streams_, slice, &Stream::next);
        if (stream != streams_.end()) {
            stream->slices = std::min(stream->slices * 2, most_);
        } else {
            stream = streams_.begin() + static_cast<std::ptrdiff_t>(oldest_);
            oldest_ = (oldest_ + 1) % streams_.size();
            stream->slices = 1;
        }
        const auto slices =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(stream->slices, limit));
        stream->next = slice + slices;
        return slices;
    }

private:
    /// A reader that reads the image in order.
    struct Stream {
        std::uint64_t next = ~std::uint64_t{0};
        std::uint32_t slices = 1;  ///< of its latest read
    };
    std::array<Stream, 4> streams_;
    std::size_t oldest_ = 0;
    std::uint32_t most_;
};

}  // namespace qed
