// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/cluster_allocator.hpp"
#include "qed/block_file.hpp"
#include "qed/task.hpp"

namespace qed {

/// Reads every table of the image in `file` once, also those past the end of the disk, and tells
/// `allocator` which clusters no table names (docs/adr/0023-free-space.md). Refuses an image with
/// an entry that names nothing, or what another entry names: new clusters could come to be shared.
///
/// \param allocator  its end() is the end of the file
/// \param threads  that read tables; small images use fewer
/// \errors needs_check, io_error where a table cannot be read, unsupported (clusters scattered over
///         a file that is too long), out_of_memory
/// \cost   one pass over the tables; two bits for each cluster of the file while it runs; at most
///         kMaxQuestions questions for holes
Task<Result<void>> find_free_space(BlockFile& file, ClusterAllocator& allocator, unsigned threads);

/// Where the file has more holes and data by turns, the rest counts as data, until a moment of
/// idleness (IdleWork).
inline constexpr unsigned kMaxQuestions = 65'536;

}  // namespace qed
