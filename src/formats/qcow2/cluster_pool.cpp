// SPDX-License-Identifier: Apache-2.0
#include "formats/qcow2/cluster_pool.hpp"

#include <algorithm>
#include <utility>

namespace qed {
namespace {

constexpr std::uint64_t kMinClusters = 2;
constexpr std::uint64_t kMaxClusters = 64;  // they are searched one by one

}  // namespace

ClusterPool::ClusterPool(std::uint64_t cluster_bytes, std::uint64_t bytes)
    : slots_(std::clamp(bytes / cluster_bytes, kMinClusters, kMaxClusters)) {}

ClusterPool::Cluster ClusterPool::find(std::uint64_t offset) noexcept {
    const ScopedLock lock(mutex_);
    const auto slot = std::ranges::find_if(slots_, [offset](const Slot& one) {
        return one.cluster != nullptr && one.offset == offset;
    });
    if (slot == slots_.end()) return nullptr;
    slot->last_use = ++uses_;
    return slot->cluster;
}

void ClusterPool::add(std::uint64_t offset, Cluster cluster) noexcept {
    Cluster replaced;  // freed without the lock
    const ScopedLock lock(mutex_);
    auto slot = std::ranges::find_if(slots_, [offset](const Slot& one) {
        return one.cluster != nullptr && one.offset == offset;
    });
    if (slot == slots_.end()) slot = std::ranges::min_element(slots_, {}, &Slot::last_use);
    replaced = std::exchange(slot->cluster, std::move(cluster));
    slot->offset = offset;
    slot->last_use = ++uses_;
}

}  // namespace qed
