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
    bool lock = true;           ///< false: take and test no locks on a file that is replaced
    /// The file has a name from the start, so that another program can write it: working_name().
    bool named = false;
};
static_assert(std::is_trivially_destructible_v<OutputOptions>);

/// What is durable when OutputFile::publish() returns.
enum class Durability : std::uint8_t {
    none,
    content,           ///< the file's bytes; flush_name() makes its name durable, too
    content_and_name,  ///< after a power cut the name exists and the file has all its bytes
};

/// A file that appears under its name only when it is complete. libqed creates every file in this
/// way. Until publish() the file has no name or, if the file system cannot create such a file, a
/// name that ends in `.unfinished`.
///
/// After a failure, a full disk, a killed process or a power cut before publish(), the old file is
/// unchanged, and at most a file `NAME.xxxxxxxx.unfinished` is left. publish() is one step:
/// afterwards the name belongs to the new file. Processes that have the replaced file open keep it,
/// and so do its other hard links. A symbolic link stays one; the file that it leads to is
/// replaced. The new file gets the owner (if the process may give files away), group, mode, access
/// list and extended attributes of the replaced file. Block devices are written in place.
///
/// Thread-safety: one thread at a time. publish() needs no further descriptors: create() opens
/// everything that it uses.
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

    /// Empty at first; a device has its old content.
    BlockFile& file();
    /// Releases the file to the caller, who can open it as an image; publish() works afterwards,
    /// too.
    std::unique_ptr<BlockFile> take_file();
    /// The folder in which publish() changes names.
    const std::string& directory() const;
    /// With OutputOptions::named: the path of the unfinished file.
    std::string working_name() const;
    /// False for a device, which is written in place.
    bool is_new() const;

    /// Gives the file its name. Call it once.
    /// \errors already_exists (with `exclusive`), no_space, io_error ...; the name then still
    ///         belongs to what was there, unless the flush of the folder is what failed
    /// \cost   a flush of the file and one of the folder, as `durability` asks for
    Result<void> publish(Durability durability);
    /// After publish(): makes the names of all files that were published in this folder durable.
    Result<void> flush_name();

private:
    struct Parts;
    explicit OutputFile(std::unique_ptr<Parts> parts) noexcept;
    std::unique_ptr<Parts> parts_;
};

}  // namespace qed
