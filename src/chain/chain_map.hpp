// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "chain/layer.hpp"

namespace qed {

// The state of guest ranges through all layers, for maps, block status, conversion, comparison and
// rebasing. The result is data, encoded, zero, or unallocated if no layer has data or zeroes.

/// The first mapping of [at, at + length), as one lookup in the tables gives it. Blocks while it
/// reads tables.
/// \param length  not 0, inside the disk
/// \errors those of reading tables; corrupt_metadata; backing_refused if a backing file
///         that the range needs was not opened
Result<ChainMapping> first_mapping(Layer& top, GuestOffset at, std::uint64_t length);

/// The same, extended over all following bytes that are stored in the same way, up to `length`.
Result<ChainMapping> whole_mapping(Layer& top, GuestOffset at, std::uint64_t length);
Task<Result<ChainMapping>> whole_mapping_async(Layer& top, GuestOffset at, std::uint64_t length);

/// Whether `next`, which starts at the end of `first`, is of the same kind and continues it.
bool continues(const ChainMapping& first, const ChainMapping& next) noexcept;

}  // namespace qed
