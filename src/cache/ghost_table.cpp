// SPDX-License-Identifier: Apache-2.0
#include "cache/ghost_table.hpp"

#include <algorithm>
#include <bit>

namespace qed {
namespace {

constexpr int kSpanBits = 20;

std::uint32_t fingerprint_of(std::uint64_t key) {
    return static_cast<std::uint32_t>(key >> 32);
}

}  // namespace

void GhostTable::reset(std::size_t keys, std::uint64_t span_bytes) noexcept {
    span_bytes_ = span_bytes;
    unit_shift_ = std::max(0, static_cast<int>(std::bit_width(span_bytes)) - kSpanBits);
    // Far enough from 0 that no stamp is before it, and that an unused ghost is an old one.
    now_ = 4 * span_bytes;
    buckets_ = ZeroedArray<Bucket>(std::bit_ceil(std::max<std::size_t>(keys / 4, 1)));
    if (buckets_.data() == nullptr) buckets_ = {};
}

void GhostTable::remember(std::uint64_t key, std::uint64_t bytes_ago) noexcept {
    if (buckets_.size() == 0 || bytes_ago > span_bytes_) return;
    const std::uint32_t fingerprint = fingerprint_of(key);
    std::array<Ghost, 4>& ghosts = bucket_of(key).ghosts;
    auto place = std::ranges::find(ghosts, fingerprint, &Ghost::fingerprint);
    if (place == ghosts.end()) {
        const std::uint32_t now = stamp(now_);
        const auto age = [now](const Ghost& ghost) { return now - ghost.stamp; };
        place = std::ranges::max_element(ghosts, {}, age);
    }
    *place = {.fingerprint = fingerprint, .stamp = stamp(now_ - bytes_ago)};
}

std::optional<std::uint64_t> GhostTable::take(std::uint64_t key) noexcept {
    if (buckets_.size() == 0) return std::nullopt;
    std::array<Ghost, 4>& ghosts = bucket_of(key).ghosts;
    const auto place = std::ranges::find(ghosts, fingerprint_of(key), &Ghost::fingerprint);
    if (place == ghosts.end()) return std::nullopt;
    const std::uint32_t units = stamp(now_) - place->stamp;
    const std::uint64_t age = std::uint64_t{units} << unit_shift_;
    *place = {.fingerprint = 0, .stamp = stamp(now_ - 2 * span_bytes_)};
    return age <= span_bytes_ ? std::optional(age) : std::nullopt;
}

}  // namespace qed
