// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "qed/error.hpp"
#include "qed/geometry.hpp"
#include "qed/image.hpp"

namespace qed {

/// How large the file of an image would be, in bytes.
struct Measurement {
    std::uint64_t required = 0;         ///< with what the source stores now
    std::uint64_t fully_allocated = 0;  ///< when every cluster is written
};

/// The file of a QED image with the content of `source`.
/// \errors those of mapping the source
/// \cost   walks the source's map; data is not read, so zeroes that are stored count as data
Result<Measurement> measure_qed(Image& source, const Geometry& geometry);
/// The same for an empty disk of `image_bytes`.
Measurement measure_qed(std::uint64_t image_bytes, const Geometry& geometry);

}  // namespace qed
