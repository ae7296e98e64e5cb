// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace qed::nbd_load {

/// One connection to an NBD server, for reads of one size. It sends requests and receives replies
/// in batches, so that the measured time is the server's. Errors are thrown (std::runtime_error,
/// std::system_error).
class Connection {
public:
    /// Connects to a Unix socket and chooses the export with the empty name.
    Connection(const std::string& socket, std::uint32_t request_bytes);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    std::uint64_t disk_bytes() const noexcept { return disk_bytes_; }

    /// Sends one read for each offset with one call.
    void send_reads(std::span<const std::uint64_t> offsets);

    /// Waits for data from the server. Returns how many reads it completes: 0 or more.
    std::size_t receive();

private:
    void negotiate();
    /// Returns false after the last reply.
    bool take_option_reply();
    void take(void* into, std::size_t bytes);
    void give(const void* from, std::size_t bytes);
    std::size_t receive_some(std::span<std::byte> into);

    int socket_ = -1;
    std::uint32_t request_bytes_;
    std::uint64_t disk_bytes_ = 0;
    std::vector<std::byte> requests_;
    std::vector<std::byte> replies_;  ///< the first `held_` bytes are not parsed yet
    std::size_t held_ = 0;
};

}  // namespace qed::nbd_load
