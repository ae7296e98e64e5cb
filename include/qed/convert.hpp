// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "qed/block_file.hpp"
#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// How to copy one disk into another. Trivially destructible, as all options.
struct ConvertOptions {
    /// Zeroes in stored data become holes where at least this many come together (multiple of
    /// 512). 0: nothing is looked for, and the target is allocated in full.
    std::uint64_t sparse_bytes = 4096;
    /// Copies under way at once, each on a thread of its own; 0: as many as pay on this machine.
    unsigned copies = 0;
    /// Data may reach the target in any order; otherwise in the guest's.
    bool out_of_order = false;
    /// The target reads as zeroes all over: zeroes need not be written.
    bool target_is_zero = false;
    /// Layers of the source's chain, from the top, whose content is copied; what they do not
    /// allocate is left to the target's backing file, which must read the same. 0: all layers.
    unsigned copied_layers = 0;
    /// The part of the sources that is copied, to the front of the target.
    std::uint64_t begin = 0;
    std::uint64_t length = ~std::uint64_t{0};
    /// Zeroes in place of what the sources cannot read, instead of an error.
    bool salvage = false;
    /// Share blocks between the files where the file system can, instead of copying them.
    bool share_blocks = true;
    /// Let the system begin to write data to the disk while the copy runs: the flush that follows
    /// then has less left to do.
    bool write_early = false;
    /// Called after each piece by one thread at a time; returns false to stop.
    bool (*progress)(void* context, std::uint64_t done, std::uint64_t total) = nullptr;
    void* progress_context = nullptr;
};
static_assert(std::is_trivially_destructible_v<ConvertOptions>);

struct ConvertReport {
    std::uint64_t data_bytes = 0;     ///< copied
    std::uint64_t shared_bytes = 0;   ///< given to the target without a copy
    std::uint64_t zero_bytes = 0;     ///< zeroes, stored as cheaply as the target can
    std::uint64_t skipped_bytes = 0;  ///< left to the target's backing file
    /// What could not be read and was replaced by zeroes: the first ranges, in order, and the
    /// sum of all.
    struct Range {
        std::uint64_t begin = 0;
        std::uint64_t length = 0;
    };
    std::vector<Range> unreadable;
    std::uint64_t unreadable_bytes = 0;
};

/// Copies the content of `sources`, one behind the other, into the front of `target`, which is at
/// least as large; what lies behind stays as it is. Nothing is flushed.
///
/// Thread-safety: nobody else may use the target meanwhile; the sources may be read by others.
/// With `copied_layers` this is a commit: only those layers are read, and the target keeps
/// everything else. Layers below need not be open then (Image::open_file without backing).
/// \errors invalid_argument (the target is smaller), cancelled, those of reading and writing
/// \cost   one read and at most one write of each byte of data; holes cost their map entries
Result<ConvertReport> convert(std::span<Image* const> sources, Image& target,
                              const ConvertOptions& options);

/// The same into a raw file or device, which afterwards is at least as long as the sources.
Result<ConvertReport> convert_to_raw(std::span<Image* const> sources, BlockFile& target,
                                     const ConvertOptions& options);

/// Writes a new QED image into `target`, an empty file that nobody relies on before this has
/// succeeded: it is in no usable state while the copy runs. Much faster than filling an Image,
/// because nothing has to be ordered; clusters lie in guest order. The header comes last, behind a
/// flush.
/// \param image  geometry and backing name; `image_bytes` 0: the size of the sources
Result<ConvertReport> convert_to_qed(std::span<Image* const> sources, BlockFile& target,
                                     const CreateOptions& image, const ConvertOptions& options);

}  // namespace qed
