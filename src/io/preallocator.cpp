// SPDX-License-Identifier: Apache-2.0
#include "io/preallocator.hpp"

namespace qed {
namespace {

/// A reservation takes as long as ext4 needs to account for some 12 blocks of 4 KiB.
constexpr std::uint64_t kLeastBytes = 128U << 10U;

}  // namespace

Preallocator::Preallocator(BlockFile& file, bool wanted) noexcept
    : file_(file), pays_(wanted && file.traits().likes_preallocation) {}

void Preallocator::reserve(FileOffset at, std::uint64_t length) noexcept {
    if (!pays_ || length < kLeastBytes) return;
    // No extents (ext3), or not enough space: the writes report it.
    if (!file_.allocate(at, length).run_blocking()) pays_ = false;
}

}  // namespace qed
