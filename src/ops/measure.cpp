// SPDX-License-Identifier: Apache-2.0
#include "qed/measure.hpp"

#include "base/no_throw.hpp"
#include "ops/convert/disk_view.hpp"

namespace qed {
namespace {

constexpr std::uint64_t kNone = ~std::uint64_t{0};

/// The header cluster and the L1 table.
std::uint64_t fixed_bytes(const Geometry& geometry) {
    return geometry.cluster_bytes() + geometry.table_bytes();
}

/// Counts the clusters and tables of data ranges, which are added in order.
class Counter {
public:
    explicit Counter(const Geometry& geometry) : geometry_(geometry) {}

    void add(std::uint64_t begin, std::uint64_t length) {
        const GuestOffset first{begin};
        const GuestOffset last{begin + length - 1};
        const std::uint64_t first_cluster = geometry_.cluster_index(first);
        const std::uint64_t last_cluster = geometry_.cluster_index(last);
        clusters_ += last_cluster - first_cluster + (first_cluster == last_cluster_ ? 0 : 1);
        tables_ += geometry_.l1_index(last) - geometry_.l1_index(first) +
                   (geometry_.l1_index(first) == last_table_ ? 0 : 1);
        last_cluster_ = last_cluster;
        last_table_ = geometry_.l1_index(last);
    }
    std::uint64_t bytes() const {
        return fixed_bytes(geometry_) + tables_ * geometry_.table_bytes() +
               clusters_ * geometry_.cluster_bytes();
    }

private:
    const Geometry& geometry_;
    std::uint64_t clusters_ = 0;
    std::uint64_t tables_ = 0;
    std::uint64_t last_cluster_ = kNone;
    std::uint64_t last_table_ = kNone;
};

Result<Measurement> measure_image(Image& source, const Geometry& geometry) {
    Measurement result = measure_qed(source.size(), geometry);
    Counter counter(geometry);
    for (std::uint64_t at = 0; at < source.size();) {
        const auto where = disk_mapping(source, at, source.size() - at);
        if (!where) return std::unexpected(where.error().clone());
        if (where->mapping.is_stored()) counter.add(at, where->mapping.length);
        at += where->mapping.length;
    }
    result.required = counter.bytes();
    return result;
}

}  // namespace

Measurement measure_qed(std::uint64_t image_bytes, const Geometry& geometry) {
    Measurement result;
    result.required = fixed_bytes(geometry);
    result.fully_allocated = result.required +
                             geometry.l1_entries_used(image_bytes) * geometry.table_bytes() +
                             geometry.clusters_for(image_bytes) * geometry.cluster_bytes();
    return result;
}

Result<Measurement> measure_qed(Image& source, const Geometry& geometry) {
    return without_throwing([&] { return measure_image(source, geometry); });
}

}  // namespace qed
