// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qed/mapping.hpp"

namespace qed {

class Layer;

/// What a chain states about the first bytes of a guest range: the mapping of the topmost layer
/// that has data or zeroes there, or of the last layer that was examined.
struct ChainMapping {
    Mapping mapping;         ///< not_loaded: `length` is what the layer has to load
    Layer* layer = nullptr;  ///< states it; null: the layer at `depth` ends before the range
    unsigned depth = 0;      ///< 0: the image itself

    bool is_loaded() const noexcept { return mapping.kind != Mapping::Kind::not_loaded; }
    /// Also false if the layer lacks its backing file, because the content is then unknown.
    bool reads_as_zeroes() const noexcept;
};

}  // namespace qed
