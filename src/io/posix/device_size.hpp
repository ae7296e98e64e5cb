// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

namespace qed {

/// The length of a block device in bytes; returns 0 or an errno.
inline int device_size(int descriptor, std::uint64_t& bytes) noexcept {
    return ::ioctl(descriptor, BLKGETSIZE64, &bytes) == 0 ? 0 : errno;
}

}  // namespace qed
