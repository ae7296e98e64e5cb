// SPDX-License-Identifier: Apache-2.0
#include "cli/serve/listener.hpp"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>

namespace qed::cli {
namespace {

constexpr int kBacklog = 128;
constexpr int kFirstInherited = 3;  // SD_LISTEN_FDS_START

Error system_error(std::string what) {
    const int code = errno;
    return Error::from_errno(code, fmt::format("{}: {}", what, std::strerror(code)));
}

Result<sockaddr_un> unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail(Errc::invalid_argument,
                    fmt::format("{}: a unix socket's path has at most {} bytes, this one has {}",
                                path, sizeof address.sun_path - 1, path.size()));
    }
    std::ranges::copy(path, address.sun_path);
    return address;
}

int connect_unix(int socket, const sockaddr_un& address) {
    return ::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

/// Removes the socket at `path` if no server listens on it any more.
Result<void> remove_stale_socket(const std::string& path, const sockaddr_un& address) {
    struct stat found{};
    if (::lstat(path.c_str(), &found) != 0) return {};
    if (!S_ISSOCK(found.st_mode)) {
        return fail(Errc::already_exists,
                    fmt::format("{}: a file that is not a socket exists there", path));
    }
    const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!probe) return std::unexpected(system_error("making a unix socket"));
    if (connect_unix(probe.get(), address) == 0 || errno != ECONNREFUSED) {
        return fail(
            Errc::already_exists,
            fmt::format("{}: another server listens there; stop it or choose another path", path));
    }
    if (::unlink(path.c_str()) != 0) {
        return std::unexpected(system_error(fmt::format("{}: removing a dead socket", path)));
    }
    return {};
}

Result<Descriptor> listen_unix(const std::string& path) {
    const auto address = unix_address(path);
    if (!address) return std::unexpected(address.error().clone());
    if (auto removed = remove_stale_socket(path, *address); !removed) return pass(removed);
    Descriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return std::unexpected(system_error("making a unix socket"));
    // The mode must be right from the first moment; this program has one thread.
    const mode_t old_mask = ::umask(0177);
    const int bound =
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
    const int bind_error = errno;
    ::umask(old_mask);
    errno = bind_error;
    if (bound != 0 || ::listen(socket.get(), kBacklog) != 0) {
        return std::unexpected(system_error(fmt::format("{}: listening", path)));
    }
    return socket;
}

using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

Result<AddressList> resolve(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE;
    addrinfo* found = nullptr;
    if (const int code = ::getaddrinfo(host.c_str(), nullptr, &hints, &found); code != 0) {
        return fail(Errc::invalid_argument,
                    fmt::format("{}: no address to listen on: {}", host, ::gai_strerror(code)));
    }
    return AddressList(found, &::freeaddrinfo);
}

void set_port(sockaddr* address, std::uint16_t port) {
    if (address->sa_family == AF_INET6) {
        reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
    } else {
        reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
    }
}

/// \param error  the errno of what failed, if no socket is returned
Descriptor listen_tcp(const addrinfo& at, int& error) {
    Descriptor socket(::socket(at.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) {
        error = errno;
        return {};
    }
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at.ai_family == AF_INET6) {
        ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    }
    if (::bind(socket.get(), at.ai_addr, at.ai_addrlen) == 0 &&
        ::listen(socket.get(), kBacklog) == 0) {
        return socket;
    }
    error = errno;
    return {};
}

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = sizeof(sockaddr_storage);
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

Result<SocketAddress> own_address(const Descriptor& socket) {
    SocketAddress address;
    if (::getsockname(socket.get(), address.get(), &address.length) != 0) {
        return std::unexpected(system_error(fmt::format("descriptor {}", socket.get())));
    }
    return address;
}

std::uint16_t port_of(SocketAddress address) {
    return ntohs(address.storage.ss_family == AF_INET6
                     ? reinterpret_cast<sockaddr_in6*>(address.get())->sin6_port
                     : reinterpret_cast<sockaddr_in*>(address.get())->sin_port);
}

std::string authority(std::string_view host, std::uint16_t port) {
    return host.contains(':') ? fmt::format("[{}]:{}", host, port)
                              : fmt::format("{}:{}", host, port);
}

/// Where a client on this machine reaches a socket, which was asked for as `host`. No client can
/// connect to the wildcard address.
std::string reachable(std::string_view host, SocketAddress address) {
    const std::uint16_t port = port_of(address);
    if (address.storage.ss_family == AF_INET6) {
        const auto* const inet6 = reinterpret_cast<sockaddr_in6*>(address.get());
        if (IN6_IS_ADDR_UNSPECIFIED(&inet6->sin6_addr)) return authority("::1", port);
    } else if (reinterpret_cast<sockaddr_in*>(address.get())->sin_addr.s_addr == INADDR_ANY) {
        return authority("127.0.0.1", port);
    }
    return authority(host, port);
}

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char c : text) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || std::string_view("-._~/").contains(c);
        if (plain) {
            encoded += c;
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return encoded;
}

/// The number in an environment variable; nothing if it is absent or no number.
std::optional<long> environment_number(const char* name) {
    const char* text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    long value = 0;
    const char* end = text + std::strlen(text);
    const auto parsed = std::from_chars(text, end, value);
    if (parsed.ec != std::errc{} || parsed.ptr != end) return std::nullopt;
    return value;
}

const char* runtime_directory() {
    for (const char* name : {"XDG_RUNTIME_DIR", "TMPDIR"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value == '/') return value;
    }
    return "/tmp";
}

}  // namespace

Listener::Listener(Listener&& other) noexcept
    : sockets_(std::move(other.sockets_)),
      path_(std::move(other.path_)),
      directory_(std::exchange(other.directory_, {})),
      made_path_(std::exchange(other.made_path_, false)),
      cleaner_(std::move(other.cleaner_)),
      authority_(std::move(other.authority_)) {}

Listener::~Listener() {
    if (made_path_) ::unlink(path_.c_str());
    if (!directory_.empty()) ::rmdir(directory_.c_str());
    cleaner_.dismiss();
}

void Listener::clean_when_killed() {
    if (made_path_) cleaner_ = SocketCleaner(path_, directory_);
}

Result<Listener> Listener::at_path(const std::string& path) {
    auto socket = listen_unix(path);
    if (!socket) return pass(socket);
    Listener listener;
    listener.sockets_.push_back(std::move(*socket));
    // A client may run in another directory than this server.
    const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(path.c_str(), nullptr),
                                                               std::free);
    listener.path_ = absolute ? absolute.get() : path;
    listener.made_path_ = true;
    return listener;
}

Result<Listener> Listener::in_private_directory() {
    std::string directory = fmt::format("{}/qed-serve.XXXXXX", runtime_directory());
    if (::mkdtemp(directory.data()) == nullptr) {
        return std::unexpected(
            system_error(fmt::format("{}: making a directory for the socket", directory)));
    }
    auto listener = at_path(directory + "/nbd.sock");
    if (!listener) {
        ::rmdir(directory.c_str());
        return listener;
    }
    listener->directory_ = std::move(directory);
    return listener;
}

Result<Listener> Listener::on_tcp(const std::string& host, std::uint16_t port) {
    auto addresses = resolve(host);
    if (!addresses) return pass(addresses);
    Listener listener;
    int failure = 0;
    for (addrinfo* at = addresses->get(); at != nullptr; at = at->ai_next) {
        set_port(at->ai_addr, port);
        int error = 0;
        Descriptor socket = listen_tcp(*at, error);
        if (!socket) {
            // A host without IPv6 still resolves localhost to ::1.
            if (error != EAFNOSUPPORT && error != EADDRNOTAVAIL) failure = error;
            continue;
        }
        auto address = own_address(socket);
        if (!address) return pass(address);
        port = port_of(*address);  // the same free port for all addresses
        if (listener.authority_.empty()) listener.authority_ = reachable(host, *address);
        listener.sockets_.push_back(std::move(socket));
    }
    if (failure != 0 || listener.sockets_.empty()) {
        const int code = failure != 0 ? failure : EADDRNOTAVAIL;
        return std::unexpected(Error::from_errno(
            code, fmt::format("listening on {}: {}", authority(host, port), std::strerror(code))));
    }
    return listener;
}

Result<std::optional<Listener>> Listener::inherited() {
    if (environment_number("LISTEN_PID") != ::getpid()) return std::nullopt;
    const long count = environment_number("LISTEN_FDS").value_or(0);
    if (count < 1 || count > kBacklog) {
        return fail(
            Errc::invalid_argument,
            fmt::format("LISTEN_FDS is '{}', expected a number from 1 to {}",
                        std::getenv("LISTEN_FDS") != nullptr ? std::getenv("LISTEN_FDS") : "",
                        kBacklog));
    }
    Listener listener;
    for (int i = 0; i < count; ++i)
        listener.sockets_.emplace_back(kFirstInherited + i);
    auto address = own_address(listener.sockets_.front());
    if (!address) return pass(address);
    if (address->storage.ss_family == AF_UNIX) {
        const auto* local = reinterpret_cast<const sockaddr_un*>(address->get());
        listener.path_ = local->sun_path;
    } else {
        char host[NI_MAXHOST] = "";
        ::getnameinfo(address->get(), address->length, host, sizeof host, nullptr, 0,
                      NI_NUMERICHOST);
        listener.authority_ = reachable(host, *address);
    }
    return std::optional<Listener>(std::move(listener));
}

std::string Listener::uri(bool tls, std::string_view export_name) const {
    const std::string_view scheme = tls ? "nbds" : "nbd";
    const std::string name = percent_encoded(export_name);
    if (is_tcp()) return fmt::format("{}://{}/{}", scheme, authority_, name);
    return fmt::format("{}+unix:///{}?socket={}", scheme, name, percent_encoded(path_));
}

}  // namespace qed::cli
