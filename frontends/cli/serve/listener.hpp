// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/disks/descriptor.hpp"
#include "cli/serve/socket_cleaner.hpp"
#include "qed/error.hpp"

namespace qed::cli {

/// The sockets on which a server waits for clients. This program creates them, so that it controls
/// their mode, their errors and their removal, and passes them to nbdkit like systemd.
class Listener {
public:
    /// A Unix socket that only its owner can connect to. Replaces the socket of a dead server, but
    /// not one that still answers.
    static Result<Listener> at_path(const std::string& path);
    /// A Unix socket in a new directory below $XDG_RUNTIME_DIR, $TMPDIR or /tmp.
    static Result<Listener> in_private_directory();
    /// TCP on every address of `host`; port 0 chooses a free port.
    static Result<Listener> on_tcp(const std::string& host, std::uint16_t port);
    /// The sockets that a superserver passed in LISTEN_FDS, or nothing if it passed none.
    static Result<std::optional<Listener>> inherited();

    Listener(Listener&& other) noexcept;
    Listener& operator=(Listener&&) = delete;
    /// Closes the sockets and removes the files that were made for them.
    ~Listener();

    const std::vector<Descriptor>& sockets() const { return sockets_; }
    /// From now on, the files that were made are also removed if this process is killed.
    void clean_when_killed();
    bool is_tcp() const { return path_.empty(); }
    /// The address of the export for a client on this machine.
    std::string uri(bool tls, std::string_view export_name) const;

private:
    Listener() = default;

    std::vector<Descriptor> sockets_;
    std::string path_;       // of a Unix socket, else empty
    std::string directory_;  // the private directory of the socket, or empty
    bool made_path_ = false;
    SocketCleaner cleaner_;
    std::string authority_;  // HOST:PORT of a TCP socket
};

}  // namespace qed::cli
