// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "qed/api.hpp"
#include "qed/block_file.hpp"
#include "qed/files.hpp"
#include "qed/open_options.hpp"

namespace qed {

/// Opens files by name: the names that a user states, and those that headers hold. A storage of
/// your own is a class like this and a BlockFile; OpenOptions::storage passes it to Image::open().
///
/// Thread-safety: all members may be called from any thread at once.
class QED_API StorageOpener {
public:
    StorageOpener() = default;
    StorageOpener(const StorageOpener&) = delete;
    StorageOpener& operator=(const StorageOpener&) = delete;
    virtual ~StorageOpener() = default;

    /// Opens what a user calls `name`, and locks it as `options.lock` says.
    /// \errors those of open_file(), and those of the storage
    virtual Result<std::unique_ptr<BlockFile>> open(const std::string& name,
                                                    const FileOptions& options) = 0;
    /// Opens, for reading, what the header of the image `image_name` calls `backing_name`, if
    /// `policy` allows it. `image_name` is the BlockFile::name() of a file that this object has
    /// opened. The name is the word of a stranger: it must not reach anything else.
    /// \errors backing_refused, and those of open()
    virtual Result<std::unique_ptr<BlockFile>> open_backing(const std::string& image_name,
                                                            std::string_view backing_name,
                                                            const BackingPolicy& policy,
                                                            const FileOptions& options) = 0;
};

/// Files and block devices of this machine. Backing files are kept below the directory that the
/// policy allows, symbolic links included. What a program without a StorageOpener of its own uses.
QED_API StorageOpener& posix_storage() noexcept;
/// The same, and NBD exports for names that are NBD URIs (qed/nbd.hpp). An image on an NBD server
/// cannot have a backing file, and no header makes this connect to a server.
QED_API StorageOpener& file_and_nbd_storage() noexcept;

}  // namespace qed
