// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/disks/descriptor.hpp"

namespace qed::cli {

/// Removes a Unix socket, and the private directory that holds it, when this process is killed. A
/// small process waits for that; it ends together with this object.
class SocketCleaner {
public:
    SocketCleaner() = default;
    /// Call this with the signals that stop a program blocked, so that they do not end the waiting
    /// process. If no process can be started, a killed server leaves its socket.
    /// \param directory  empty if the directory of the socket stays
    SocketCleaner(const std::string& path, const std::string& directory);
    /// The caller has removed the files itself.
    void dismiss() noexcept;

private:
    Descriptor alive_;  // the waiting process sees its end
};

}  // namespace qed::cli
