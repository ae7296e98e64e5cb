// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "cli/terminal/options.hpp"
#include "qed/block_file.hpp"
#include "qed/files.hpp"

namespace qed::cli {

/// A file that appears under its name only when it is complete. Until commit() it has no name at
/// all or, where the file system cannot do that, one that says it is unfinished; a failure or a
/// kill leaves what was there before. Devices are written in place.
/// Whoever has the old file open keeps it; other hard links to it keep it too.
class OutputFile {
public:
    /// \errors locked (the existing file is in use), already_exists (not a file or device), and
    ///         those of opening
    static Result<std::unique_ptr<OutputFile>> create(const std::string& path, CacheMode cache);
    /// The same for another program that writes the file by the name working_name(). No device.
    static Result<std::unique_ptr<OutputFile>> create_named(const std::string& path);
    /// Replaces a file that the caller has opened and locked; the lock lasts until the end.
    static Result<std::unique_ptr<OutputFile>> replace(const std::string& path, CacheMode cache,
                                                       std::unique_ptr<BlockFile> locked);
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    BlockFile& file() { return *file_; }
    /// Gives the file away, to be opened as an image; commit() works on all the same.
    std::unique_ptr<BlockFile> take_file() { return std::move(file_); }
    /// The folder that commit() needs.
    const std::string& directory() const { return directory_; }
    const std::string& working_name() const { return temporary_; }
    /// Empty and ours; false for a device.
    bool is_new() const { return is_new_; }
    /// Gives the file its name. `durable`: it is on the disk with all its bytes before this
    /// returns.
    Result<void> commit(bool durable);

private:
    explicit OutputFile(const std::string& path);
    /// Locks what is there already. True: there is something, and it is a device.
    Result<bool> hold_old(const FileOptions& options);
    Result<void> open_new(CacheMode cache, bool named);
    Result<void> adopt_rights_of_old();
    Result<void> link_as(const std::string& name);

    std::string path_;       ///< with symbolic links resolved
    std::string directory_;  ///< of path_
    std::string temporary_;  ///< the unfinished file's name, if it has one
    std::unique_ptr<BlockFile> file_;
    std::unique_ptr<BlockFile> old_;  ///< locked, so that nobody starts to use it meanwhile
    int descriptor_ = -1;             ///< a duplicate: outlives file_
    bool is_new_ = false;
};

}  // namespace qed::cli
