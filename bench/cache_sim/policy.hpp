// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace qed::cache_sim {

/// An entry of the simulated cache: a table, or a slice of one. Numbered from 0 without gaps.
using EntryId = std::uint32_t;

/// A position in the sequence of lookups.
using Step = std::uint32_t;

/// Stands for "no entry" and "never again".
inline constexpr std::uint32_t kNone = 0xffffffff;

/// The input of a policy before the first lookup. The spans outlive the policy.
struct PolicyInput {
    std::span<const EntryId> lookups;            ///< all lookups; only Belady uses them
    std::span<const std::uint32_t> entry_bytes;  ///< charge of each entry, indexed by EntryId
    std::uint64_t budget_bytes = 0;
};

/// `percent` of `bytes`, rounded down; exact for any number of bytes.
constexpr std::uint64_t percent_of(std::uint64_t bytes, std::uint64_t percent) {
    return bytes / 100 * percent + bytes % 100 * percent / 100;
}

/// Decides which resident entry is evicted. The simulator enforces the budget and knows the
/// resident entries.
///
/// Thread-safety: none; one simulation, one thread.
class EvictionPolicy {
public:
    EvictionPolicy() = default;
    EvictionPolicy(const EvictionPolicy&) = delete;
    EvictionPolicy& operator=(const EvictionPolicy&) = delete;
    virtual ~EvictionPolicy() = default;

    /// Lookup `now` found `entry` resident.
    virtual void on_hit(EntryId entry, Step now) = 0;

    /// Lookup `now` missed `entry`; the entry has been loaded and is now resident.
    virtual void on_insert(EntryId entry, Step now) = 0;

    /// Chooses an entry and forgets it. Called only while at least one entry is resident.
    virtual EntryId evict() = 0;
};

/// A policy by the name it has on the command line.
struct PolicyKind {
    std::string_view name;
    std::string_view summary;
    std::unique_ptr<EvictionPolicy> (*make)(const PolicyInput&);
};

/// Every policy, simplest first, the optimum last.
std::span<const PolicyKind> all_policies();

/// The policy called `name`, or nullptr.
const PolicyKind* find_policy(std::string_view name);

}  // namespace qed::cache_sim
