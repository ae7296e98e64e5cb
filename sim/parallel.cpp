// SPDX-License-Identifier: Apache-2.0
#include "sim/parallel.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <sstream>

#include <fmt/format.h>

namespace qed::sim {

namespace {

/// One line for each count and failure; failures may hold line breaks.
std::string serialize(const Tally& tally) {
    std::string text;
    for (const auto& [name, count] : tally.counts)
        text += fmt::format("count {} {}\n", count, name);
    for (std::string failure : tally.failures) {
        std::ranges::replace(failure, '\n', '\x01');
        text += fmt::format("failure {}\n", failure);
    }
    return text;
}

Tally parse(const std::string& text) {
    Tally tally;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("count ")) {
            char* end = nullptr;
            const std::uint64_t count = std::strtoull(line.c_str() + 6, &end, 10);
            tally.counts[end + 1] += count;
        } else if (line.starts_with("failure ")) {
            std::string failure = line.substr(8);
            std::ranges::replace(failure, '\x01', '\n');
            tally.failures.push_back(std::move(failure));
        }
    }
    return tally;
}

struct Worker {
    pid_t process = 0;
    int output = -1;
    char* position = nullptr;
};

Worker start(unsigned number, char* position,
             const std::function<void(unsigned, Tally&, Position&)>& work) {
    int ends[2];
    if (pipe(ends) != 0) throw std::bad_alloc();
    const pid_t process = fork();
    if (process < 0) throw std::bad_alloc();
    if (process > 0) {
        close(ends[1]);
        return {process, ends[0], position};
    }
    close(ends[0]);
    Tally tally;
    Position where(position);
    work(number, tally, where);
    const std::string text = serialize(tally);
    const bool is_sent =
        write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
    std::fflush(nullptr);
    _exit(is_sent ? 0 : 1);
}

Tally finish(const Worker& worker) {
    std::string text;
    char buffer[4096];
    for (ssize_t bytes = 0; (bytes = read(worker.output, buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(bytes));
    close(worker.output);
    int status = 0;
    waitpid(worker.process, &status, 0);
    Tally tally = parse(text);
    if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0) {
        const int code = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
        tally.failures.push_back(
            fmt::format("the engine does not crash: the process ended with {} "
                        "{}\n  {}",
                        WIFSIGNALED(status) ? "signal" : "status", code, worker.position));
    }
    return tally;
}

}  // namespace

void Tally::add(const Tally& other) {
    for (const auto& [name, count] : other.counts)
        counts[name] += count;
    failures.insert(failures.end(), other.failures.begin(), other.failures.end());
}

void Position::set(const std::string& what) noexcept {
    const std::size_t bytes = std::min(what.size(), kBytes - 1);
    std::memcpy(text_, what.data(), bytes);
    text_[bytes] = '\0';
}

Tally run_parallel(unsigned jobs,
                   const std::function<void(unsigned worker, Tally&, Position&)>& work) {
    void* shared = mmap(nullptr, jobs * Position::kBytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw std::bad_alloc();
    std::fflush(nullptr);
    std::vector<Worker> workers;
    workers.reserve(jobs);
    for (unsigned number = 0; number < jobs; ++number) {
        workers.push_back(
            start(number, static_cast<char*>(shared) + number * Position::kBytes, work));
    }
    Tally total;
    for (const Worker& worker : workers)
        total.add(finish(worker));
    munmap(shared, jobs * Position::kBytes);
    return total;
}

}  // namespace qed::sim
