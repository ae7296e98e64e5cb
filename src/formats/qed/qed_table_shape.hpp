// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "cache/entry.hpp"
#include "cache/table_shape.hpp"
#include "qed/geometry.hpp"

namespace qed {

/// The tables of an image in the terms of its cache.
inline TableShape table_shape(const Geometry& geometry, std::uint32_t slice_bytes) {
    return {.entry_span_bits = geometry.cluster_bits(),
            .entries_per_table = geometry.table_entries(),
            .slice_entries = static_cast<std::uint32_t>(slice_bytes / sizeof(Entry)),
            .max_guest_bytes = geometry.max_image_bytes()};
}

}  // namespace qed
