// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

struct OutputOptions {
    bool direct = false;        ///< O_DIRECT
    bool sync = false;          ///< every write is durable when it completes (O_DSYNC)
    bool ignore_flush = false;  ///< flush does nothing
    bool exclusive = false;     ///< fail where the name is taken, now or when it is published
    /// Has a name from the start, for another program that writes the file: working_name().
    bool named = false;
};
static_assert(std::is_trivially_destructible_v<OutputOptions>);

/// What is durable when OutputFile::publish() returns.
enum class Durability : std::uint8_t {
    none,
    content,           ///< the file's bytes; flush_name() makes its name durable, too
    content_and_name,  ///< after a power cut the file is there with all its bytes
};

/// A file that appears under its name only when it is complete: the one way in which libqed makes
/// files. Until publish() it has no name at all or, where the file system cannot do that, one that
/// ends in `.unfinished`.
///
/// What a crash leaves: a failure, a full disk, a killed process or a power cut before publish()
/// leaves what was there before, and at most a file `NAME.xxxxxxxx.unfinished`. publish() is one
/// step: afterwards the name is the new file's. Processes that have the replaced file open, and its
/// other hard links, keep it. A symbolic link stays one; what it leads to is replaced. A replaced
/// file passes on its owner (where the process may give files away), group, mode, access list and
/// extended attributes. Block devices are written in place.
///
/// Thread-safety: one thread at a time. Everything that publish() needs is open from the start: it
/// takes no further descriptors.
class QED_API OutputFile {
public:
    /// Begins a file that will be called `path`. A file of that name stays locked until the end.
    /// \errors locked (the existing file is in use), already_exists (with `exclusive`),
    ///         invalid_argument (neither a file nor a block device), unsupported (a file that
    ///         nothing can take the place of: a mount point, an immutable file, another user's file
    ///         in a sticky folder; a device with `named`), permission_denied, not_found (the
    ///         folder), and those of open_file()
    static Result<std::unique_ptr<OutputFile>> create(const std::string& path,
                                                      const OutputOptions& options = {});
    /// Begins a file that takes the place of `locked`, which the caller has opened at `path` and
    /// locked. The lock is held until the end. \errors as of create()
    static Result<std::unique_ptr<OutputFile>> replace(const std::string& path,
                                                       std::unique_ptr<BlockFile> locked,
                                                       const OutputOptions& options = {});
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    /// Empty at first, except that a device is as it was.
    BlockFile& file();
    /// Hands the file over, to be opened as an image; publish() works afterwards, too.
    std::unique_ptr<BlockFile> take_file();
    /// The folder in which publish() changes names.
    const std::string& directory() const;
    /// With OutputOptions::named: the path of the unfinished file.
    std::string working_name() const;
    /// False for a device, which is written in place.
    bool is_new() const;

    /// Gives the file its name. Once.
    /// \errors already_exists (with `exclusive`), no_space, io_error ...; the name then still
    ///         belongs to what was there, unless the flush of the folder is what failed
    /// \cost   a flush of the file and one of the folder, as `durability` asks for
    Result<void> publish(Durability durability);
    /// After publish(): the names of all files that were published in this folder are durable.
    Result<void> flush_name();

private:
    struct Parts;
    explicit OutputFile(std::unique_ptr<Parts> parts) noexcept;
    std::unique_ptr<Parts> parts_;
};

}  // namespace qed
