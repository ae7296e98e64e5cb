// SPDX-License-Identifier: Apache-2.0
// qed-nbd-load: random reads of an NBD export by clients that need little CPU time.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "connection.hpp"

namespace {

using qed::nbd_load::Connection;

struct Load {
    std::string socket;
    unsigned connections = 1;
    unsigned depth = 32;
    std::uint32_t bytes = 4096;
    std::uint64_t requests = 100000;  ///< for each connection
};

void read_at_random(Connection& connection, const Load& load, unsigned seed) {
    if (connection.disk_bytes() < load.bytes) {
        throw std::runtime_error(fmt::format("a disk of {} bytes has no room for reads of {}",
                                             connection.disk_bytes(), load.bytes));
    }
    std::mt19937_64 random(seed);
    std::uniform_int_distribution<std::uint64_t> place(0, connection.disk_bytes() / load.bytes - 1);
    std::vector<std::uint64_t> offsets;
    std::uint64_t not_sent = load.requests;
    for (std::uint64_t in_flight = 0; not_sent + in_flight > 0;) {
        offsets.clear();
        for (; not_sent > 0 && in_flight < load.depth; --not_sent, ++in_flight)
            offsets.push_back(place(random) * load.bytes);
        if (!offsets.empty()) connection.send_reads(offsets);
        in_flight -= connection.receive();
    }
}

double seconds_of(const Load& load) {
    std::vector<std::unique_ptr<Connection>> connections;
    for (unsigned i = 0; i < load.connections; ++i)
        connections.push_back(std::make_unique<Connection>(load.socket, load.bytes));
    std::mutex mutex;  // guards failure
    std::exception_ptr failure;
    const auto begin = std::chrono::steady_clock::now();
    {
        std::vector<std::jthread> threads;
        for (unsigned i = 0; i < load.connections; ++i) {
            threads.emplace_back([&, i] {
                try {
                    read_at_random(*connections[i], load, i + 1);
                } catch (...) {
                    const std::scoped_lock lock(mutex);
                    failure = std::current_exception();
                }
            });
        }
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
    if (failure) std::rethrow_exception(failure);
    return taken.count();
}

}  // namespace

int main(int argc, char** argv) {
    Load load;
    CLI::App app("Random reads from an NBD server on a unix socket; prints JSON.", "qed-nbd-load");
    app.add_option("SOCKET", load.socket, "where the server listens")->required();
    app.add_option("-c,--connections", load.connections, "each with a thread of its own")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1024U));
    app.add_option("-d,--depth", load.depth, "requests in flight for each connection")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1024U));
    app.add_option("-s,--bytes", load.bytes, "size of a read")
        ->capture_default_str()
        ->check(CLI::Range(1U, 1U << 25U));
    app.add_option("-n,--requests", load.requests, "reads of each connection")
        ->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        const double seconds = seconds_of(load);
        const auto all = static_cast<double>(load.requests * load.connections);
        fmt::print("{{\"seconds\": {:.6f}, \"iops\": {:.0f}}}\n", seconds, all / seconds);
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "qed-nbd-load: {}\n", error.what());
        return 1;
    }
}
