// SPDX-License-Identifier: Apache-2.0
#include "control.hpp"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>

namespace qed::nbdkit {
namespace {

/// The interval of the search for clients that connected while others were disconnected.
constexpr std::chrono::milliseconds kAgain{50};

bool is_listening(int descriptor) {
    int answer = 0;
    socklen_t length = sizeof answer;
    return ::getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) == 0 &&
           answer != 0;
}

std::uint16_t port_of(const sockaddr_storage& address) {
    // sin_port and sin6_port have the same offset.
    sockaddr_in internet{};
    std::memcpy(&internet, &address, sizeof internet);
    return internet.sin_port;
}

/// Whether a socket with this local address was accepted from `listener`. The host of a TCP
/// listener may be a wildcard, so only the port is compared.
bool belongs_to(const sockaddr_storage& local, socklen_t length, const sockaddr_storage& listener,
                socklen_t listener_length) {
    if (local.ss_family != listener.ss_family) return false;
    if (local.ss_family == AF_INET || local.ss_family == AF_INET6) {
        return port_of(local) == port_of(listener);
    }
    return length == listener_length && std::memcmp(&local, &listener, length) == 0;
}

}  // namespace

Control::Control(int descriptor, std::chrono::milliseconds grace_period)
    : descriptor_(descriptor),
      grace_period_(grace_period),
      descriptors_(::opendir("/proc/self/fd"), &::closedir),
      listening_(listening_addresses()) {}

void Control::start() {
    thread_ = std::thread([this] { run(); });
}

Control::~Control() {
    {
        const ScopedLock lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    ::shutdown(descriptor_, SHUT_RD);
    if (thread_.joinable()) thread_.join();
    ::close(descriptor_);
}

void Control::report(std::string_view line) noexcept {
    // A supervisor that has ended needs no report.
    [[maybe_unused]] const ssize_t sent =
        ::send(descriptor_, line.data(), line.size(), MSG_NOSIGNAL);
}

template <class Visit>
void Control::for_each_descriptor(Visit visit) const {
    if (descriptors_ == nullptr) return;
    ::rewinddir(descriptors_.get());
    while (const dirent* entry = ::readdir(descriptors_.get())) {
        const std::string_view name(entry->d_name);
        int number = -1;
        std::from_chars(name.data(), name.data() + name.size(), number);
        visit(number);
    }
}

std::vector<Control::Address> Control::listening_addresses() const {
    std::vector<Address> found;
    for_each_descriptor([&found](int descriptor) {
        Address address;
        address.length = sizeof address.storage;
        if (is_listening(descriptor) &&
            ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address.storage),
                          &address.length) == 0) {
            found.push_back(address);
        }
    });
    return found;
}

void Control::run() {
    char ignored = 0;
    while (::recv(descriptor_, &ignored, sizeof ignored, 0) > 0) {
    }
    const auto patient_until = std::chrono::steady_clock::now() + grace_period_;
    const ScopedLock lock(mutex_);
    while (!stopping_) {
        // At first only the receiving side, so that requests in flight are still answered.
        const bool is_patient = std::chrono::steady_clock::now() < patient_until;
        disconnect_clients(is_patient ? SHUT_RD : SHUT_RDWR);
        wake_.wait_for(mutex_, kAgain);
    }
}

void Control::disconnect_clients(int how) const {
    for_each_descriptor([this, how](int descriptor) {
        Address local;
        local.length = sizeof local.storage;
        if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&local.storage), &local.length) !=
                0 ||
            is_listening(descriptor)) {
            return;
        }
        const bool is_client = std::ranges::any_of(listening_, [&local](const Address& listener) {
            return belongs_to(local.storage, local.length, listener.storage, listener.length);
        });
        if (is_client) ::shutdown(descriptor, how);
    });
}

}  // namespace qed::nbdkit
