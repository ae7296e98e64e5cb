// SPDX-License-Identifier: Apache-2.0
#include "chain/chain_index.hpp"

#include <algorithm>
#include <limits>

#include "chain/layer.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kMaxSlices = 1U << 24;

}  // namespace

void ChainIndex::start(const std::vector<Layer*>& below, unsigned span_bits,
                       std::uint64_t image_bytes) {
    const std::uint64_t slices = ((image_bytes - 1) >> span_bits) + 1;
    if (below.size() < 2 || slices > kMaxSlices) return;
    below_ = &below;
    span_bits_ = span_bits;
    image_bytes_ = image_bytes;
    steps_ = ZeroedArray<std::atomic<std::uint8_t>>(slices);
}

ChainIndex::Jump ChainIndex::from(GuestOffset at, std::uint64_t length) noexcept {
    // After the examined end, the image may have grown over layers that end there.
    if (!is_on() || at.value >= image_bytes_) return {.length = length};
    const std::uint64_t slice = at.value >> span_bits_;
    std::uint8_t steps = steps_[slice].load(std::memory_order_relaxed);
    if (steps == 0) steps = learn(slice);
    if (steps == 1) return {.length = length};
    const std::uint64_t left = std::min((slice + 1) << span_bits_, image_bytes_) - at.value;
    return {.steps = steps, .length = std::min(length, left)};
}

std::uint8_t ChainIndex::learn(std::uint64_t slice) noexcept {
    const GuestOffset begin{slice << span_bits_};
    const std::uint64_t end = std::min((slice + 1) << span_bits_, image_bytes_);
    std::size_t steps = 1;
    // The last layer is never skipped: it answers for ranges that no layer allocates.
    for (const std::size_t last = below_->size() - 1; steps <= last; ++steps) {
        Layer& layer = *(*below_)[steps - 1];
        if (layer.size() < end || layer.lacks_backing()) break;
        if (steps == std::numeric_limits<std::uint8_t>::max()) break;
        const Mapping found = layer.find(begin, end - begin.value);
        if (found.kind == Mapping::Kind::not_loaded)
            return static_cast<std::uint8_t>(steps);  // unknown until it is loaded
        if (found.kind != Mapping::Kind::unallocated || found.length != end - begin.value) break;
    }
    const auto known = static_cast<std::uint8_t>(steps);
    steps_[slice].store(known, std::memory_order_relaxed);
    return known;
}

}  // namespace qed
