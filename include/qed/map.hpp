// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// Image::map_blocking() for as many extents in a row as `extents` takes, which is far cheaper than
/// one by one. They follow each other without a gap from `offset` on; neighbours of the same kind
/// are merged, but not across calls.
///
/// Thread-safety: as Image::map(). Blocks where tables have to be read.
/// \param length  bytes inside the image to look at, at most
/// \returns how many were filled in; 0 only when there was nothing to look at or no room
/// \errors  those of Image::map(), of the very first extent; a later one ends the list, and is met
///          again by who asks for the rest
/// \cost    no table read when cached; no allocation
Result<std::size_t> map_extents(Image& image, GuestOffset offset, std::uint64_t length,
                                std::span<MappedExtent> extents);

}  // namespace qed
