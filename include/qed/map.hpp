// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "qed/api.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// Image::map_blocking() for as many consecutive extents as fit in `extents`, which is far cheaper
/// than one call per extent. The first extent starts at `offset`, and there are no gaps. Adjacent
/// extents of the same kind are merged within one call, but not across calls.
///
/// Thread-safety: like Image::map(). Blocks while it reads tables.
/// \param length  the most guest bytes to look at; the range lies inside the image
/// \returns the number of extents filled in; 0 only if `length` is 0 or `extents` is empty
/// \errors  those of Image::map() for the first extent. An error at a later extent ends the list;
///          the next call, which starts there, reports it
/// \cost    no table read when cached; no allocation
QED_API Result<std::size_t> map_extents(Image& image, GuestOffset offset, std::uint64_t length,
                                        std::span<MappedExtent> extents);

}  // namespace qed
