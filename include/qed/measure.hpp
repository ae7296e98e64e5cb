// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/geometry.hpp"
#include "qed/image.hpp"

namespace qed {

/// The size that an image file would have, in bytes.
struct Measurement {
    std::uint64_t required = 0;         ///< with the data that the source stores now
    std::uint64_t fully_allocated = 0;  ///< when every cluster is written
};

/// The size of a QED image with the content of `source`.
/// \errors those of mapping the source
/// \cost   walks the source's map and reads no data, so stored zeroes count as data
QED_API Result<Measurement> measure_qed(Image& source, const Geometry& geometry);
/// The same for an empty disk of `image_bytes`.
QED_API Measurement measure_qed(std::uint64_t image_bytes, const Geometry& geometry);

}  // namespace qed
