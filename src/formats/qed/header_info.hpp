// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "qed/block_file.hpp"
#include "qed/format.hpp"
#include "qed/header.hpp"
#include "qed/task.hpp"

namespace qed {

/// The longest name of a backing file that every program on the image can use as a path: PATH_MAX
/// is 4096, but QEMU accepts at most 1023 bytes.
inline constexpr std::uint32_t kMaxBackingNameBytes = 1023;

/// The content of the header clusters, validated.
struct HeaderInfo {
    Header header;
    Geometry geometry;
    std::string backing_name;  ///< empty without a backing file
    std::uint64_t file_bytes = 0;

    BackingReference backing() const {
        if (!header.has_backing()) return {};
        return {.name = backing_name,
                .format = header.backing_is_raw() ? BackingFormat::raw : BackingFormat::unstated};
    }
};

/// Reads and validates the header of the image in `file`.
/// \param head  the first 4 KiB of the file, or all of a shorter one; valid until the task has
/// ended
/// \errors not_qed, corrupt_metadata, unsupported_feature, io_error; the file is named
Task<Result<HeaderInfo>> read_header(BlockFile& file);
Task<Result<HeaderInfo>> read_header(BlockFile& file, std::span<const std::byte> head);

}  // namespace qed
