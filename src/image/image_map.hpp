// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "chain/layer.hpp"
#include "qed/image.hpp"

namespace qed {

/// Image::map().
Task<Result<MappedExtent>> map_first(Layer& layer, GuestOffset at, std::uint64_t length);

}  // namespace qed
