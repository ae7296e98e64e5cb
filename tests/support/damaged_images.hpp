// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "support/qed_builder.hpp"

namespace qed::test {

/// Adds to an image a table, data, a zero cluster or a leak, as `choice` says. The image stays
/// consistent.
inline void build_step(QedBuilder& image, std::uint64_t choice) {
    const std::uint64_t l1_index = (choice >> 8) % 6;
    const std::uint64_t l2_index = (choice >> 16) % 24;
    const bool has_table = image.l1(l1_index) != 0;
    if (choice % 8 == 0) {
        image.add_leak(1 + (choice >> 24) % 3);
    } else if (!has_table) {
        image.add_table(l1_index);
    } else if (image.l2(l1_index, l2_index) == 0) {
        if (choice % 8 == 1) {
            image.set_l2(l1_index, l2_index, 1);
        } else {
            image.add_data(l1_index, l2_index);
        }
    }
}

/// An entry that a damaged table might hold: another entry's cluster, or no cluster of the file.
inline std::uint64_t strange_entry(const QedBuilder& image, std::uint64_t choice) {
    const std::uint64_t any_cluster = image.offset((choice >> 8) % (image.clusters() + 3));
    switch (choice % 8) {
        case 0:
            return any_cluster + (choice >> 24) % image.cluster_bytes();
        case 1:
            return any_cluster | std::uint64_t{1} << (40 + (choice >> 24) % 24);
        case 2:
            return choice | 2;
        default:
            return any_cluster;
    }
}

/// Damages an image in one place, as `choice` says.
inline void damage_step(QedBuilder& image, std::uint64_t choice) {
    const std::uint64_t l1_index = (choice >> 8) % 6;
    const std::uint64_t l2_index = (choice >> 16) % 24;
    switch (choice % 8) {
        case 0:
            image.set_l1(l1_index, strange_entry(image, choice >> 24));
            break;
        case 1:
            image.file.resize(image.file.bytes() + (choice >> 24) % 9000);
            break;
        case 2: {
            const std::uint64_t least =
                image.header().l1_table_offset.value + image.geometry().table_bytes();
            const std::uint64_t cut = (choice >> 24) % 20'000;
            if (image.file.bytes() >= least + cut) image.file.resize(image.file.bytes() - cut);
            break;
        }
        default: {
            const std::uint64_t table = image.l1(l1_index);
            const std::uint64_t at = table + l2_index * 8;
            if (table != 0 && at < image.file.bytes()) {
                image.file.store_u64(at, strange_entry(image, choice >> 24));
            }
        }
    }
}

/// A random image: `build` steps, then `damage` steps, then 4 KiB clusters in tables of
/// `table_clusters`.
inline QedBuilder damaged_image(std::uint32_t table_clusters,
                                const std::vector<std::uint64_t>& build,
                                const std::vector<std::uint64_t>& damage) {
    QedBuilder image(geometry(4096, table_clusters), 3 << 20);
    for (const std::uint64_t choice : build)
        build_step(image, choice);
    for (const std::uint64_t choice : damage)
        damage_step(image, choice);
    return image;
}

}  // namespace qed::test
