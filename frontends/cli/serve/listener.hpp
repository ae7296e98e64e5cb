// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/disks/descriptor.hpp"
#include "qed/error.hpp"

namespace qed::cli {

/// The sockets on which a server waits for clients: made here, so that their mode, their errors
/// and their removal are ours, and handed to nbdkit as systemd would.
class Listener {
public:
    /// A unix socket that only its owner can connect to. A socket that a dead server left behind
    /// is replaced; one that still answers is not.
    static Result<Listener> at_path(const std::string& path);
    /// A unix socket in a new directory of its own below $XDG_RUNTIME_DIR, $TMPDIR or /tmp.
    static Result<Listener> in_private_directory();
    /// TCP on every address that `host` stands for; port 0: a free one.
    static Result<Listener> on_tcp(const std::string& host, std::uint16_t port);
    /// What a superserver passed in LISTEN_FDS, or nothing when it passed none to this process.
    static Result<std::optional<Listener>> inherited();

    Listener(Listener&& other) noexcept;
    Listener& operator=(Listener&&) = delete;
    /// Closes the sockets and removes the files that were made for them.
    ~Listener();

    const std::vector<Descriptor>& sockets() const { return sockets_; }
    bool is_tcp() const { return path_.empty(); }
    /// Where a client on this machine finds the export.
    std::string uri(bool tls, std::string_view export_name) const;

private:
    Listener() = default;

    std::vector<Descriptor> sockets_;
    std::string path_;       // of a unix socket, else empty
    std::string directory_;  // that was made for it
    bool made_path_ = false;
    std::string authority_;  // HOST:PORT of a TCP socket
};

}  // namespace qed::cli
