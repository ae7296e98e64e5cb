// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "base/unique_descriptor.hpp"
#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed {

/// The folder of a file, held open. Names in it can be changed and made durable even if the process
/// has no descriptor left, and in this folder even if its path leads elsewhere meanwhile. A name
/// here is the last part of a path.
class Folder {
public:
    /// Opens the folder of `path`. \errors those of open(2)
    static Result<Folder> of(const std::string& path);

    int descriptor() const noexcept { return descriptor_.get(); }
    const std::string& path() const noexcept { return path_; }

    /// Gives the file `from` the name `to`, which must be free.
    /// \errors already_exists, unsupported (the file system has neither hard links nor renaming
    ///         without replacement), those of rename(2)
    Result<void> rename_to_free_name(const std::string& from, const Folder& folder,
                                     const std::string& to) const;
    /// Gives the file `from` the name `to`; another file of that name loses it in the same step.
    Result<void> rename_over(const std::string& from, const std::string& to) const;
    /// Checks whether rename_over() could replace `name`, a regular file. Changes nothing. \errors
    /// unsupported, with the reason
    Result<void> check_replaceable(const std::string& name) const;
    /// Makes the changes of names so far durable. `file` is a file in the folder, or the descriptor
    /// of one: if the user may not list the folder, its file system is flushed.
    Result<void> flush(const BlockFile& file) const;
    Result<void> flush(int file) const;
    /// A name for an unfinished file that is to be called `name`: it is as short as the file system
    /// requires, and its ending says that the file is unfinished.
    std::string unfinished_name(const std::string& name) const;

private:
    Folder(std::string path, UniqueDescriptor descriptor, bool is_searchable_only);

    std::string path_;
    UniqueDescriptor descriptor_;
    std::size_t longest_name_;  ///< in bytes
    bool is_searchable_only_;   ///< O_PATH: the user may not list it, and fsync() needs that
};

/// The last part of a path.
std::string leaf_of(const std::string& path);

}  // namespace qed
