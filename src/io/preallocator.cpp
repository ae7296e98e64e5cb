// SPDX-License-Identifier: Apache-2.0
#include "io/preallocator.hpp"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace qed {
namespace {

/// A reservation takes as long as ext4 needs to account for some 12 blocks of 4 KiB.
constexpr std::uint64_t kLeastBytes = 128U << 10U;

bool is_regular_file(BlockFile& file) noexcept {
    struct stat status{};
    return file.descriptor() >= 0 && ::fstat(file.descriptor(), &status) == 0 &&
           S_ISREG(status.st_mode);
}

/// Other file systems than ext4 (whose magic number ext2 and ext3 share) gain nothing: XFS takes
/// longer, tmpfs would fill the pages twice, and btrfs would not compress them.
bool is_on_ext4(BlockFile& file) noexcept {
    struct statfs status{};
    return ::fstatfs(file.descriptor(), &status) == 0 && status.f_type == EXT4_SUPER_MAGIC;
}

}  // namespace

Preallocator::Preallocator(BlockFile& file, bool wanted) noexcept
    : file_(file),
      // Direct writes bypass the page cache, where the accounting is done.
      pays_(wanted && is_regular_file(file) && file.alignment().offset == 1 && is_on_ext4(file)) {}

void Preallocator::reserve(FileOffset at, std::uint64_t length) noexcept {
    if (!pays_ || length < kLeastBytes) return;
    // No extents (ext3), or not enough space: the writes report it.
    if (!file_.allocate(at, length).run_blocking()) pays_ = false;
}

}  // namespace qed
