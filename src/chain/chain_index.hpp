// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "base/zeroed_array.hpp"
#include "qed/units.hpp"

namespace qed {

class Layer;

/// Remembers for each slice of an overlay how many of the next layers have no data or zeroes there,
/// so that a lookup can skip them. The index learns while the disk is read; the layers below never
/// change while they are open. It costs one byte for each slice that was read, for a chain of any
/// length.
class ChainIndex {
public:
    /// `below`: the layers under the overlay, nearest first; `span_bits`: guest bytes of a slice.
    void start(const std::vector<Layer*>& below, unsigned span_bits, std::uint64_t image_bytes);
    bool is_on() const noexcept { return steps_.data() != nullptr; }

    struct Jump {
        std::uint32_t steps = 1;   ///< layers to go down, at least 1
        std::uint64_t length = 0;  ///< bytes starting at `at` for which this holds
    };
    /// Any thread; no I/O.
    Jump from(GuestOffset at, std::uint64_t length) noexcept;

private:
    std::uint8_t learn(std::uint64_t slice) noexcept;

    const std::vector<Layer*>* below_ = nullptr;
    unsigned span_bits_ = 0;
    std::uint64_t image_bytes_ = 0;
    ZeroedArray<std::atomic<std::uint8_t>> steps_;  // 0: not known yet
};

}  // namespace qed
