// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include "chain/layer.hpp"
#include "qed/image.hpp"

namespace qed {

/// The access of library code to the layer that a public Image forwards to.
struct ImageAccess {
    static std::unique_ptr<Image> make(std::shared_ptr<Layer> layer) {
        return std::unique_ptr<Image>(new Image(std::move(layer)));
    }
    static Layer& layer_of(Image& image) noexcept { return *image.layer_; }
};

}  // namespace qed
