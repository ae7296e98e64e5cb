// SPDX-License-Identifier: Apache-2.0
#include "qed/geometry.hpp"

#include <fmt/format.h>

namespace qed {

Result<Geometry> Geometry::make(std::uint32_t cluster_bytes, std::uint32_t table_clusters) {
    if (!std::has_single_bit(cluster_bytes) || cluster_bytes < kMinClusterBytes ||
        cluster_bytes > kMaxClusterBytes) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("cluster_size is {}, expected a power of two from {} to {}",
                                cluster_bytes, kMinClusterBytes, kMaxClusterBytes));
    }
    if (!std::has_single_bit(table_clusters) || table_clusters > kMaxTableClusters) {
        return fail(Errc::corrupt_metadata,
                    fmt::format("table_size is {} clusters, expected a power of two from 1 to {}",
                                table_clusters, kMaxTableClusters));
    }
    return Geometry(static_cast<unsigned>(std::countr_zero(cluster_bytes)),
                    static_cast<unsigned>(std::countr_zero(table_clusters)));
}

std::uint32_t table_clusters_for(std::uint32_t cluster_bytes, std::uint64_t image_bytes) {
    std::uint32_t clusters = kDefaultTableClusters;
    for (; clusters < kMaxTableClusters; clusters *= 2) {
        const Result<Geometry> geometry = Geometry::make(cluster_bytes, clusters);
        if (!geometry || image_bytes <= geometry->max_image_bytes()) break;
    }
    return clusters;
}

std::uint64_t Geometry::max_image_bytes() const {
    // Two levels of tables can span 2^80 bytes; a size must fit a signed 64-bit file offset.
    const unsigned bits = table_span_bits() + entry_bits();
    return bits < 63 ? std::uint64_t{1} << bits : (std::uint64_t{1} << 63) - kSectorBytes;
}

}  // namespace qed
