// SPDX-License-Identifier: Apache-2.0
#include "ops/convert/share_blocks.hpp"

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace qed {

Result<bool> share_blocks(const BlockRange& from, BlockFile& to, FileOffset at) {
    const int source = from.file->descriptor();
    const int target = to.descriptor();
    if (source < 0 || target < 0) return false;
    file_clone_range range{};
    range.src_fd = source;
    range.src_offset = from.offset.value;
    range.src_length = from.length;
    range.dest_offset = at.value;
    if (ioctl(target, FICLONERANGE, &range) == 0) return true;
    const int error = errno;
    switch (error) {
        case EOPNOTSUPP:
        case ENOTTY:
        case EXDEV:
        case EINVAL:
        case EISDIR:
        case EPERM:
        case ETXTBSY:
        case ENOSYS:
            return false;
        default:
            return std::unexpected(Error::from_errno(
                error, fmt::format("sharing {} bytes at {:#x} of {} with {}: {}", from.length,
                                   from.offset.value, from.file->name(), to.name(),
                                   strerrordesc_np(error))));
    }
}

}  // namespace qed
