// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "qed/block_file.hpp"
#include "qed/error.hpp"

namespace qed::cli {

/// Formats that qed reads and writes through QEMU's programs: qcow2, vmdk, vdi, vhdx, vpc ...
bool is_foreign_format(std::string_view format);

struct ForeignOptions {
    bool writable = false;
    bool shared = false;                   ///< read-only: another program may write meanwhile
    bool any_backing = false;              ///< the image may make QEMU open other files
    std::string_view cache = "writeback";  ///< QEMU's name of the cache mode
};

/// An image of a foreign format, served by a private qemu-nbd on a private socket.
class ForeignImage {
public:
    /// \errors unsupported (qemu-utils is not installed), backing_refused, and QEMU's errors
    static Result<std::unique_ptr<ForeignImage>> open(const std::string& path,
                                                      const std::string& format,
                                                      const ForeignOptions& options);
    /// Creates an image with `qemu-img create`. \param options  its -o options
    static Result<void> create(const std::string& path, const std::string& format,
                               const std::vector<std::string>& options, std::uint64_t bytes);
    ~ForeignImage();
    ForeignImage(const ForeignImage&) = delete;
    ForeignImage& operator=(const ForeignImage&) = delete;

    /// The content of the image. Destroy it before close().
    std::unique_ptr<BlockFile> take_file() { return std::move(file_); }
    /// Stops the server and waits until it has closed the image.
    /// \errors io_error  the server ended with an error
    Result<void> close();

private:
    ForeignImage() = default;
    pid_t server_ = -1;
    std::string directory_;  ///< of the socket
    std::unique_ptr<BlockFile> file_;
};

}  // namespace qed::cli
