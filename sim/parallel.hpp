// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace qed::sim {

/// The counts of a run, and the promises it found broken.
struct Tally {
    std::map<std::string, std::uint64_t> counts;
    std::vector<std::string> failures;

    void add(const Tally& other);
};

/// The progress of a worker, in memory that its parent can read if the worker dies.
class Position {
public:
    explicit Position(char* text) noexcept : text_(text) {}
    void set(const std::string& what) noexcept;
    static constexpr std::size_t kBytes = 1024;

private:
    char* text_;
};

/// Runs `work` in `jobs` processes, numbered from 0, and adds up their tallies. A process that dies
/// counts as a failure; its message says what the process was doing.
Tally run_parallel(unsigned jobs,
                   const std::function<void(unsigned worker, Tally&, Position&)>& work);

}  // namespace qed::sim
