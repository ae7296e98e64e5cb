// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "qed/error.hpp"
#include "qed/image.hpp"

namespace qed {

/// The files of a chain as their headers name them, starting at one file: what an operation has to
/// know before it puts another image on top of the chain. The survey takes no locks and keeps no
/// layer open. The last file may be missing; its name still counts, because a new file could take
/// it.
class BackingSurvey {
public:
    /// Reads the headers of the file at `path` and of those below it, until a file has no backing
    /// file or cannot be read, or `limit` files were read.
    static Result<BackingSurvey> of(const std::string& path, BackingFormat format, unsigned limit);

    /// The number of files that could be read.
    unsigned layers() const noexcept { return layers_; }
    /// The backing file name in the header of the first file.
    const std::string& backing_name() const noexcept { return backing_name_; }

    /// \errors invalid_argument  the file at `path`, or one that will be created there, is among
    ///         the files: a chain over it would lead back to itself
    Result<void> check_free_of(const std::string& path) const;
    /// \errors backing_refused   an image on top of the chain could not be opened again
    Result<void> check_depth(const std::string& image_path, unsigned limit) const;
    /// \errors needs_check       the first file was not closed cleanly
    Result<void> check_clean() const;

private:
    struct File {
        std::string path;
        std::string place;  ///< its folder with links resolved, and its name
        dev_t device = 0;
        ino_t inode = 0;  ///< 0: the file is missing
    };

    static File examine(const std::string& path);
    bool read_layer(const std::string& path, BackingFormat& format, std::string& next);

    std::vector<File> files_;
    std::string backing_name_;
    unsigned layers_ = 0;
    bool needs_check_ = false;
};

}  // namespace qed
