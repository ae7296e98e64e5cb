// SPDX-License-Identifier: Apache-2.0
#include "ghost_list.hpp"

#include <bit>

namespace qed::cache_sim {

// The clock starts past the span, so that no stamp can lie before zero.
GhostList::GhostList(std::size_t slots, std::uint64_t span_bytes)
    : buckets_(std::bit_ceil(std::max<std::size_t>(slots, 64)) / std::tuple_size_v<Bucket>),
      span_bytes_(span_bytes),
      now_(span_bytes) {}

GhostList::Bucket& GhostList::bucket_of(EntryId key) {
    const std::uint64_t hash = key * 0x9e3779b97f4a7c15;
    return buckets_[(hash >> 32) & (buckets_.size() - 1)];
}

void GhostList::remember(EntryId key, std::uint64_t head_start) {
    Bucket& bucket = bucket_of(key);
    const auto same = std::ranges::find(bucket, key, &Slot::key);
    // An unused slot has stamp 0, which is the oldest of all.
    auto& slot = same == bucket.end() ? *std::ranges::min_element(bucket, {}, &Slot::stamp) : *same;
    slot = {key, now_ - head_start};
}

std::optional<std::uint64_t> GhostList::take(EntryId key) {
    Bucket& bucket = bucket_of(key);
    const auto slot = std::ranges::find(bucket, key, &Slot::key);
    if (slot == bucket.end()) return std::nullopt;
    const std::uint64_t age = now_ - slot->stamp;
    *slot = {};
    return age <= span_bytes_ ? std::optional(age) : std::nullopt;
}

}  // namespace qed::cache_sim
