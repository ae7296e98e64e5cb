// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include "chain/layer.hpp"
#include "io/sequential_writer.hpp"
#include "qed/block_file.hpp"
#include "qed/check.hpp"
#include "qed/create_options.hpp"
#include "qed/error.hpp"
#include "qed/format.hpp"
#include "qed/open_options.hpp"
#include "qed/task.hpp"

namespace qed {

/// Opens the layer below the image that a driver is opening: by its name under the caller's policy,
/// or a layer that the caller supplies.
class BackingOpener {
public:
    BackingOpener() = default;
    BackingOpener(const BackingOpener&) = delete;
    BackingOpener& operator=(const BackingOpener&) = delete;
    virtual ~BackingOpener() = default;
    /// \param backing  as the header states it; asked also if the header names no file
    /// \returns null if there is no backing file, or if the policy says not to open it
    virtual Task<Result<std::shared_ptr<Layer>>> open(BackingReference backing) = 0;
};

/// What a header states about an image, read without opening it.
struct HeaderSummary {
    BackingReference backing;
    bool needs_check = false;  ///< it was not closed cleanly
};

/// One format of disk images. To add a format, derive from this class, derive its layer from Layer,
/// and register the driver (formats/registry). No other code has to change.
///
/// Thread-safety: a driver has no state; any member on any thread.
class FormatDriver {
public:
    FormatDriver() = default;
    FormatDriver(const FormatDriver&) = delete;
    FormatDriver& operator=(const FormatDriver&) = delete;
    virtual ~FormatDriver() = default;

    /// The name of the format for users; a string literal.
    virtual std::string_view name() const noexcept = 0;
    /// Whether a file that starts with these bytes is an image of this format. False for a format
    /// that cannot be recognised by its first bytes; its files are opened only if the caller
    /// states the format.
    virtual bool probe(std::span<const std::byte> head) const noexcept = 0;
    /// Opens the image in `file`. A writable image is opened for one writer, whose lock is held.
    /// \param head     the bytes that probe() was asked about, valid until the task has ended;
    ///                 empty if the caller stated the format and has not read them
    /// \param backing  called once, after the header was read
    virtual Task<Result<std::shared_ptr<Layer>>> open(std::unique_ptr<BlockFile> file,
                                                      std::span<const std::byte> head,
                                                      BackingOpener& backing,
                                                      OpenOptions options) const = 0;

    /// Reads the header only. The default is that of a format without backing files.
    virtual Task<Result<HeaderSummary>> summarize(BlockFile& file) const;

    // A format that cannot do one of the following leaves it to these defaults, which fail with
    // unsupported.

    /// Whether create() can create such an image. Called before an existing file is changed.
    virtual Result<void> check_create(const CreateOptions& options) const;
    /// Writes an empty image into `file`, which is truncated first.
    virtual Task<Result<void>> create(BlockFile& file, CreateOptions options) const;
    /// A writer for a whole new image of `image.image_bytes`, in guest order, into `file`.
    virtual Result<std::unique_ptr<SequentialWriter>> stream_writer(
        BlockFile& file, const CreateOptions& image, const WriterOptions& options) const;
    /// check_file() for images of this format.
    virtual Task<Result<CheckReport>> check(BlockFile& file, CheckOptions options) const;
};

}  // namespace qed
