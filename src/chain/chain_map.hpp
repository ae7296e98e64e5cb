// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "chain/layer.hpp"

namespace qed {

// What lies where on a disk, through all layers, for maps, block status, conversion, comparison and
// rebasing. The answers are data, encoded, zero, or unallocated where no layer has anything.

/// The first mapping of [at, at + length), as one look at the tables gives it. Blocks where tables
/// have to be read.
/// \param length  not 0, inside the disk
/// \errors those of reading tables; corrupt_metadata; backing_refused where a backing file lacks
Result<ChainMapping> first_mapping(Layer& top, GuestOffset at, std::uint64_t length);

/// The same with all that continues it: as long as the disk is stored in one way, up to `length`.
Result<ChainMapping> whole_mapping(Layer& top, GuestOffset at, std::uint64_t length);
Task<Result<ChainMapping>> whole_mapping_async(Layer& top, GuestOffset at, std::uint64_t length);

/// Whether `next`, which begins where `first` ends, is more of the same.
bool continues(const ChainMapping& first, const ChainMapping& next) noexcept;

}  // namespace qed
