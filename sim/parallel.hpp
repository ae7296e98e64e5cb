// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace qed::sim {

/// What a run has counted, and which promises it found broken.
struct Tally {
    std::map<std::string, std::uint64_t> counts;
    std::vector<std::string> failures;

    void add(const Tally& other);
};

/// Where a worker is, kept where its parent finds it should the worker die.
class Position {
public:
    explicit Position(char* text) noexcept : text_(text) {}
    void set(const std::string& what) noexcept;
    static constexpr std::size_t kBytes = 1024;

private:
    char* text_;
};

/// Runs `work` in `jobs` processes, numbered from 0, and adds up their tallies. A process that dies
/// is a failure that tells what it was doing.
Tally run_parallel(unsigned jobs,
                   const std::function<void(unsigned worker, Tally&, Position&)>& work);

}  // namespace qed::sim
