// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "belady.hpp"
#include "policy.hpp"
#include "queue_policies.hpp"
#include "s3_fifo.hpp"
#include "shipped.hpp"

namespace qed::cache_sim {
namespace {

using Made = std::unique_ptr<EvictionPolicy>;

constexpr std::array kPolicies{
    PolicyKind{"fifo", "oldest first; QEMU's choice for QED",
               [](const PolicyInput& input) -> Made { return std::make_unique<Fifo>(input); }},
    PolicyKind{"lru", "least recently used first",
               [](const PolicyInput& input) -> Made { return std::make_unique<Lru>(input); }},
    PolicyKind{"clock", "second chance",
               [](const PolicyInput& input) -> Made { return std::make_unique<Clock>(input, 1); }},
    PolicyKind{"clock2", "CLOCK with a 2-bit counter",
               [](const PolicyInput& input) -> Made { return std::make_unique<Clock>(input, 3); }},
    PolicyKind{"sieve", "SIEVE",
               [](const PolicyInput& input) -> Made { return std::make_unique<Sieve>(input); }},
    PolicyKind{"s3fifo", "S3-FIFO as published: 10 % small queue, two uses to promote",
               [](const PolicyInput& input) -> Made {
                   return std::make_unique<S3Fifo>(input, S3Fifo::Options{});
               }},
    PolicyKind{"s3fifo-20", "S3-FIFO with a 20 % small queue, one use to promote",
               [](const PolicyInput& input) -> Made {
                   return std::make_unique<S3Fifo>(
                       input, S3Fifo::Options{.small_percent = 20, .uses_to_promote = 1});
               }},
    PolicyKind{"s3fifo-a", "S3-FIFO with an adaptive small queue: the one in libqed",
               [](const PolicyInput& input) -> Made { return std::make_unique<Shipped>(input); }},
    PolicyKind{"belady", "the optimum, which knows the future",
               [](const PolicyInput& input) -> Made { return std::make_unique<Belady>(input); }},
};

}  // namespace

std::span<const PolicyKind> all_policies() {
    return kPolicies;
}

const PolicyKind* find_policy(std::string_view name) {
    const auto found = std::ranges::find(kPolicies, name, &PolicyKind::name);
    return found == kPolicies.end() ? nullptr : &*found;
}

}  // namespace qed::cache_sim
