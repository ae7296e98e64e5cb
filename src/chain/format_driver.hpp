// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "chain/layer.hpp"
#include "io/sequential_writer.hpp"
#include "qed/block_file.hpp"
#include "qed/create_options.hpp"
#include "qed/error.hpp"
#include "qed/format.hpp"
#include "qed/open_options.hpp"
#include "qed/task.hpp"

namespace qed {

/// Opens what lies below the image that a driver is opening: by name under the caller's policy, or
/// a layer that the caller has brought along.
class BackingOpener {
public:
    BackingOpener() = default;
    BackingOpener(const BackingOpener&) = delete;
    BackingOpener& operator=(const BackingOpener&) = delete;
    virtual ~BackingOpener() = default;
    /// \param backing  as the header states it, also where it names none
    /// \returns null where there is none, or where it is not to be opened
    virtual Task<Result<std::shared_ptr<Layer>>> open(BackingReference backing) = 0;
};

/// One format of disk images. To add a format, derive from it, derive its layer from Layer, and
/// register it (formats/registry): nothing else has to know.
///
/// Thread-safety: a driver has no state; any member on any thread.
class FormatDriver {
public:
    FormatDriver() = default;
    FormatDriver(const FormatDriver&) = delete;
    FormatDriver& operator=(const FormatDriver&) = delete;
    virtual ~FormatDriver() = default;

    /// What users call the format; a string literal.
    virtual std::string_view name() const noexcept = 0;
    /// Whether a file that begins with these bytes is an image of this format. False for a format
    /// that cannot be told by its first bytes: its files are opened only where it is stated.
    virtual bool probe(std::span<const std::byte> head) const noexcept = 0;
    /// Opens the image in `file`. A writable image is opened for one writer, whose lock is held.
    /// \param backing  asked once, when the header is known
    virtual Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                                      BackingOpener& backing,
                                                      OpenOptions options) const = 0;

    // What not every format can do fails with unsupported.

    /// Whether create() can make such an image: asked before an existing file is touched.
    virtual Result<void> check_create(const CreateOptions& options) const;
    /// Writes an empty image into `file`, which is truncated first.
    virtual Task<Result<void>> create(BlockFile& file, CreateOptions options) const;
    /// For a whole new image of `image.image_bytes`, written from front to back into `file`.
    virtual Result<std::unique_ptr<SequentialWriter>> stream_writer(
        BlockFile& file, const CreateOptions& image, const WriterOptions& options) const;
};

}  // namespace qed
