// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dirent.h>
#include <sys/socket.h>

#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.hpp"

namespace qed::nbdkit {

/// The line to a supervisor, a stream socket: it hears `ready` and `closed`, and when it closes
/// its end, or dies, the clients are disconnected. Without that nbdkit would wait, after TERM, for
/// each idle client to leave by itself.
class Control {
public:
    /// Opens what it needs later: in the sandbox nothing can be opened.
    /// \param descriptor  owned from here on
    explicit Control(int descriptor);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// \throws std::system_error when there can be no thread
    void start();
    void report(std::string_view line) noexcept;

private:
    /// The local end of a socket that listens; accepted sockets share it.
    struct Address {
        sockaddr_storage storage{};
        socklen_t length = 0;
    };

    template <class Visit>
    void for_each_descriptor(Visit visit) const;
    std::vector<Address> listening_addresses() const;
    void run();
    void disconnect_clients() const;

    const int descriptor_;
    /// /proc/self/fd; of one thread at a time.
    const std::unique_ptr<DIR, int (*)(DIR*)> descriptors_;
    const std::vector<Address> listening_;
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;
};

}  // namespace qed::nbdkit
