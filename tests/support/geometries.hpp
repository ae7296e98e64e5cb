// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "qed/geometry.hpp"

namespace qed::test {

/// A geometry that is known to be legal.
inline Geometry geometry(std::uint32_t cluster_bytes, std::uint32_t table_clusters) {
    return Geometry::make(cluster_bytes, table_clusters).value();
}

/// Every legal geometry: 15 cluster sizes, 5 table sizes.
inline std::vector<Geometry> every_geometry() {
    std::vector<Geometry> all;
    for (std::uint32_t cluster = kMinClusterBytes; cluster <= kMaxClusterBytes; cluster *= 2) {
        for (std::uint32_t table = 1; table <= kMaxTableClusters; table *= 2) {
            all.push_back(geometry(cluster, table));
        }
    }
    return all;
}

}  // namespace qed::test
