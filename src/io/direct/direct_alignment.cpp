// SPDX-License-Identifier: Apache-2.0
#include "io/direct/direct_alignment.hpp"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

#include "base/aligned_buffer.hpp"
#include "base/math.hpp"

namespace qed {

namespace {

constexpr std::uint32_t kSafeBlock = 4096;

bool reads_directly(int descriptor, std::byte* memory, std::uint32_t unit, off_t at) noexcept {
    ssize_t moved = 0;
    do {
        moved = ::pread(descriptor, memory, unit, at);
    } while (moved < 0 && errno == EINTR);
    return moved >= 0;
}

/// The offset of two blocks of data, or -1. In a hole every request works, so a test proves
/// nothing.
off_t find_data(int descriptor) noexcept {
    const off_t begin = ::lseek(descriptor, 0, SEEK_DATA);
    if (begin < 0) return -1;
    const off_t at = static_cast<off_t>(round_up(static_cast<std::uint64_t>(begin), kSafeBlock));
    const off_t end = ::lseek(descriptor, begin, SEEK_HOLE);
    return at + off_t{2} * kSafeBlock <= end ? at : -1;
}

}  // namespace

Alignment probe_direct_alignment(int descriptor) noexcept {
    constexpr Alignment kSafe{kSafeBlock, kSafeBlock};
    const off_t at = find_data(descriptor);
    if (at < 0) return kSafe;
    Result<AlignedBuffer> memory = AlignedBuffer::create(std::size_t{2} * kSafeBlock, kSafeBlock);
    if (!memory) return kSafe;
    for (const std::uint32_t unit : {1U, 512U, 1024U, 2048U}) {
        // Address, offset and length are multiples of the unit, but not of a larger power of two.
        if (reads_directly(descriptor, memory->data() + unit, unit, at + off_t{unit})) {
            return {unit, unit};
        }
    }
    return kSafe;
}

Alignment direct_alignment(int descriptor) noexcept {
    struct statx status{};
    if (::statx(descriptor, "", AT_EMPTY_PATH, STATX_TYPE | STATX_DIOALIGN, &status) == 0 &&
        (status.stx_mask & STATX_DIOALIGN) != 0) {
        // Zero means that O_DIRECT is accepted, but served from the page cache.
        if (status.stx_dio_offset_align == 0) return {};
        return {status.stx_dio_offset_align, status.stx_dio_mem_align};
    }
    int unit = 0;
    if (::ioctl(descriptor, BLKSSZGET, &unit) == 0 && unit > 0) {
        return {static_cast<std::uint32_t>(unit), static_cast<std::uint32_t>(unit)};
    }
    return probe_direct_alignment(descriptor);
}

}  // namespace qed
