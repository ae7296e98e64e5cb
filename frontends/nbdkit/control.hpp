// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <dirent.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/mutex.hpp"

namespace qed::nbdkit {

/// The stream socket to a supervisor, which receives `ready` and `closed`. When the supervisor
/// closes its end, or dies, the clients are disconnected. Otherwise nbdkit would wait after TERM
/// until each idle client disconnects.
class Control {
public:
    /// Opens everything that it needs later, because the sandbox forbids opening files.
    /// \param descriptor    owned by this object
    /// \param grace_period  for clients that do not take the replies to their requests; then they
    ///                      are disconnected without them, or the server could never end
    Control(int descriptor, std::chrono::milliseconds grace_period);
    ~Control();
    Control(const Control&) = delete;
    Control& operator=(const Control&) = delete;

    /// \throws std::system_error if no thread can be started
    void start();
    void report(std::string_view line) noexcept;

private:
    /// The local address of a listening socket; accepted sockets share it.
    struct Address {
        sockaddr_storage storage{};
        socklen_t length = 0;
    };

    template <class Visit>
    void for_each_descriptor(Visit visit) const;
    std::vector<Address> listening_addresses() const;
    void run();
    /// \param how  as shutdown() expects it
    void disconnect_clients(int how) const;

    const int descriptor_;
    const std::chrono::milliseconds grace_period_;
    /// /proc/self/fd; used by one thread at a time.
    const std::unique_ptr<DIR, int (*)(DIR*)> descriptors_;
    const std::vector<Address> listening_;
    Mutex mutex_;
    bool stopping_ QED_GUARDED_BY(mutex_) = false;
    ConditionVariable wake_;
    std::thread thread_;
};

}  // namespace qed::nbdkit
