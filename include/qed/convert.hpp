// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"
#include "qed/progress.hpp"

namespace qed {

/// How to copy one disk into another. Trivially destructible, like all options.
struct ConvertOptions {
    /// A run of at least this many zero bytes in stored data becomes a hole (multiple of 512).
    /// 0: no search for zeroes, the target is fully allocated.
    std::uint64_t sparse_bytes = 4096;
    /// Number of concurrent copies, each on its own thread; 0: chosen for this machine.
    unsigned copies = 0;
    /// Data may reach the target in any order; otherwise in guest order.
    bool out_of_order = false;
    /// The whole target reads as zeroes already, so zeroes need not be written.
    bool target_is_zero = false;
    /// Copy only what this many layers at the top of the source's chain allocate. The target's
    /// backing file supplies the rest, and must read the same. 0: all layers.
    unsigned copied_layers = 0;
    /// The part of the sources to copy to the start of the target.
    std::uint64_t begin = 0;
    std::uint64_t length = ~std::uint64_t{0};
    /// Write zeroes for ranges that the sources cannot read, instead of failing.
    bool salvage = false;
    /// Share blocks between the files instead of copying them, if the file system can.
    bool share_blocks = true;
    /// Start writing data back to the disk while the copy runs, so that the flush at the end has
    /// less left to do.
    bool write_early = false;
    /// Called after each piece, by one thread at a time; returns false to stop.
    Progress progress;
};
static_assert(std::is_trivially_destructible_v<ConvertOptions>);

struct ConvertReport {
    std::uint64_t data_bytes = 0;     ///< copied
    std::uint64_t shared_bytes = 0;   ///< blocks shared with the source instead of copied
    std::uint64_t zero_bytes = 0;     ///< stored as zeroes, in the target's cheapest way
    std::uint64_t skipped_bytes = 0;  ///< left to the target's backing file
    /// Ranges that could not be read and were replaced by zeroes: the first ones in order, and the
    /// sum of all.
    struct Range {
        std::uint64_t begin = 0;
        std::uint64_t length = 0;
    };
    std::vector<Range> unreadable;
    std::uint64_t unreadable_bytes = 0;
};

/// Concatenates the content of `sources` and copies it to the start of `target`, which must be at
/// least as large. The target keeps its bytes after that. Does not flush.
///
/// Thread-safety: no other thread may use the target meanwhile; other threads may read the sources.
/// With `copied_layers` this is a commit: it reads only those layers, and the target keeps
/// everything else. The layers below them need not be open (Image::open_file without backing).
/// \errors invalid_argument (the target is smaller), cancelled, those of reading and writing
/// \cost   one read and at most one write of each byte of data; a hole costs one look at the map
QED_API Result<ConvertReport> convert(std::span<Image* const> sources, Image& target,
                                      const ConvertOptions& options);

/// Like convert(), into a raw file or device. Extends the file to the length of the sources.
QED_API Result<ConvertReport> convert_to_raw(std::span<Image* const> sources, BlockFile& target,
                                             const ConvertOptions& options);

/// Like convert(), into a new QED image in the empty file `target`. The file is no valid image
/// until this has succeeded: the header is written last, after a flush. Much faster than writing to
/// an open Image, because no write waits for another. Clusters lie in guest order.
/// \param image  geometry and backing name; `image_bytes` 0: the size of the sources
QED_API Result<ConvertReport> convert_to_image(std::span<Image* const> sources, BlockFile& target,
                                               const CreateOptions& image,
                                               const ConvertOptions& options);

}  // namespace qed
