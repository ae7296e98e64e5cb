// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <endian.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include <fmt/format.h>

namespace qed::nbd_load {

namespace {

constexpr std::uint64_t kGreetingMagic = 0x4e42444d41474943;  // "NBDMAGIC"
constexpr std::uint64_t kOptionMagic = 0x49484156454f5054;    // "IHAVEOPT"
constexpr std::uint32_t kRequestMagic = 0x25609513;
constexpr std::uint32_t kReplyMagic = 0x67446698;
constexpr std::uint16_t kFixedNewstyle = 1;
constexpr std::uint16_t kNoZeroes = 2;
constexpr std::uint64_t kOptionReplyMagic = 0x3e889045565a9;
constexpr std::uint32_t kOptionGo = 7;
constexpr std::uint32_t kReplyAck = 1;
constexpr std::uint32_t kReplyInfo = 3;
constexpr std::uint16_t kInfoExport = 0;
constexpr std::uint32_t kMaxOptionReplyBytes = 4096;
constexpr std::uint16_t kCommandDisconnect = 2;

constexpr std::size_t kRequestBytes = 28;
constexpr std::size_t kReplyBytes = 16;
constexpr std::size_t kReceiveBytes = std::size_t{1} << 20;

template <class Number>
std::byte* put(std::byte* at, Number big_endian) {
    std::memcpy(at, &big_endian, sizeof big_endian);
    return at + sizeof big_endian;
}

std::byte* put_request(std::byte* at, std::uint16_t command, std::uint64_t offset,
                       std::uint32_t bytes) {
    at = put(at, htobe32(kRequestMagic));
    at = put(at, std::uint16_t{0});  // flags
    at = put(at, htobe16(command));
    at = put(at, offset);  // the cookie; this client ignores it in replies
    at = put(at, htobe64(offset));
    return put(at, htobe32(bytes));
}

template <class Number>
Number load(const std::byte* at) {
    Number number{};
    std::memcpy(&number, at, sizeof number);
    return number;
}

[[noreturn]] void fail_with_errno(const std::string& what) {
    throw std::system_error(errno, std::generic_category(), what);
}

}  // namespace

Connection::Connection(const std::string& socket, std::uint32_t request_bytes)
    : request_bytes_(request_bytes),
      replies_(std::max(kReceiveBytes, 2 * (kReplyBytes + std::size_t{request_bytes}))) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) {
        throw std::runtime_error(fmt::format("{}: longer than {} bytes, the limit for sockets",
                                             socket, sizeof address.sun_path - 1));
    }
    std::ranges::copy(socket, address.sun_path);
    socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_ < 0) fail_with_errno("cannot make a socket");
    try {
        const auto* where = reinterpret_cast<const sockaddr*>(&address);
        if (::connect(socket_, where, sizeof address) != 0) fail_with_errno(socket);
        negotiate();
    } catch (...) {
        ::close(socket_);
        throw;
    }
}

Connection::~Connection() {
    std::array<std::byte, kRequestBytes> goodbye{};
    put_request(goodbye.data(), kCommandDisconnect, 0, 0);
    ::send(socket_, goodbye.data(), goodbye.size(), MSG_NOSIGNAL);
    ::close(socket_);
}

void Connection::negotiate() {
    std::array<std::byte, 18> greeting{};
    take(greeting.data(), greeting.size());
    const auto flags = be16toh(load<std::uint16_t>(&greeting[16]));
    constexpr std::uint16_t kNeeded = kFixedNewstyle | kNoZeroes;
    if (be64toh(load<std::uint64_t>(greeting.data())) != kGreetingMagic ||
        be64toh(load<std::uint64_t>(&greeting[8])) != kOptionMagic ||
        (flags & kNeeded) != kNeeded) {
        throw std::runtime_error("the server does not speak NBD's fixed newstyle negotiation");
    }
    std::array<std::byte, 26> choice{};
    std::byte* at = put(choice.data(), htobe32(std::uint32_t{kNeeded}));
    at = put(at, htobe64(kOptionMagic));
    at = put(at, htobe32(kOptionGo));
    at = put(at, htobe32(std::uint32_t{6}));  // bytes that follow:
    at = put(at, std::uint32_t{0});           // an empty name
    put(at, std::uint16_t{0});                // no information requests
    give(choice.data(), choice.size());
    while (take_option_reply()) {
    }
}

bool Connection::take_option_reply() {
    std::array<std::byte, 20> head{};
    take(head.data(), head.size());
    const auto kind = be32toh(load<std::uint32_t>(&head[12]));
    const auto bytes = be32toh(load<std::uint32_t>(&head[16]));
    if (be64toh(load<std::uint64_t>(head.data())) != kOptionReplyMagic ||
        bytes > kMaxOptionReplyBytes) {
        throw std::runtime_error("the server sent something that is no reply to an option");
    }
    std::vector<std::byte> body(bytes);
    take(body.data(), body.size());
    if (kind == kReplyAck) return false;
    if (kind != kReplyInfo) {
        throw std::runtime_error(fmt::format("the server refuses its export: reply {:#x}", kind));
    }
    const bool tells_size = body.size() >= 10 && load<std::uint16_t>(body.data()) == kInfoExport;
    if (tells_size) disk_bytes_ = be64toh(load<std::uint64_t>(&body[2]));
    return true;
}

void Connection::send_reads(std::span<const std::uint64_t> offsets) {
    constexpr std::uint16_t kCommandRead = 0;
    requests_.resize(offsets.size() * kRequestBytes);
    std::byte* at = requests_.data();
    for (const std::uint64_t offset : offsets)
        at = put_request(at, kCommandRead, offset, request_bytes_);
    give(requests_.data(), requests_.size());
}

std::size_t Connection::receive() {
    held_ += receive_some(std::span(replies_).subspan(held_));
    const std::size_t reply_bytes = kReplyBytes + request_bytes_;
    std::size_t done = 0;
    for (; held_ - done * reply_bytes >= kReplyBytes; ++done) {
        const std::byte* reply = replies_.data() + done * reply_bytes;
        if (be32toh(load<std::uint32_t>(reply)) != kReplyMagic) {
            throw std::runtime_error("the server sent something that is no simple reply");
        }
        if (const auto error = be32toh(load<std::uint32_t>(reply + 4)); error != 0) {
            throw std::runtime_error(
                fmt::format("the server answered a read with error {}", error));
        }
        if (held_ - done * reply_bytes < reply_bytes) break;
    }
    held_ -= done * reply_bytes;
    std::memmove(replies_.data(), replies_.data() + done * reply_bytes, held_);
    return done;
}

void Connection::take(void* into, std::size_t bytes) {
    std::span rest(static_cast<std::byte*>(into), bytes);
    while (!rest.empty())
        rest = rest.subspan(receive_some(rest));
}

void Connection::give(const void* from, std::size_t bytes) {
    const auto* at = static_cast<const std::byte*>(from);
    while (bytes > 0) {
        const ssize_t sent = ::send(socket_, at, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) fail_with_errno("sending to the server");
        if (sent < 0) continue;
        at += sent;
        bytes -= static_cast<std::size_t>(sent);
    }
}

std::size_t Connection::receive_some(std::span<std::byte> into) {
    while (true) {
        const ssize_t got = ::recv(socket_, into.data(), into.size(), 0);
        if (got > 0) return static_cast<std::size_t>(got);
        if (got == 0) throw std::runtime_error("the server closed the connection");
        if (errno != EINTR) fail_with_errno("receiving from the server");
    }
}

}  // namespace qed::nbd_load
